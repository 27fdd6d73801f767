//! The contract's Rust bindings, generated from `wit/`: one module for the interfaces that guests may import, and one world for each kind,
//! which shares its types. Converts between these types and plain ones.

use crate::error::Reason;
use ibid_types::document::{Attrs, Span, Unit};

/// The longest message and code of a plugin's failure, in bytes. It is a sentence for people.
const MAX_MESSAGE_BYTES: usize = 2_000;
const MAX_CODE_BYTES: usize = 64;

mod offered {
    wasmtime::component::bindgen!({
        path: "../../wit/1",
        inline: "
            package ibid:host;
            world offered {
                import ibid:plugin/types@1.0.0;
                import ibid:plugin/log@1.0.0;
                import ibid:plugin/document@1.0.0;
                import ibid:plugin/tokens@1.0.0;
                import ibid:plugin/embed@1.0.0;
                import ibid:plugin/intake@1.0.0;
            }
        ",
        imports: { default: trappable },
        with: {
            "ibid:plugin/document.doc": crate::host::imports::Doc,
            "ibid:plugin/intake.blob": crate::host::intake::BlobHandle,
            "ibid:plugin/intake.draft": crate::host::intake::DraftHandle,
        },
    });
}

pub use offered::ibid::plugin as import;

/// The exports of an extractor.
pub mod extractor {
    wasmtime::component::bindgen!({
        path: "../../wit/1",
        world: "extractor-plugin",
        with: {
            "ibid:plugin/types": super::import::types,
            "ibid:plugin/log": super::import::log,
            "ibid:plugin/intake": super::import::intake,
        },
    });
}

/// The exports of a chunker. The world of semantic chunkers is used, since it includes the imports of the other one.
pub mod chunker {
    wasmtime::component::bindgen!({
        path: "../../wit/1",
        world: "semantic-chunker-plugin",
        with: {
            "ibid:plugin/types": super::import::types,
            "ibid:plugin/log": super::import::log,
            "ibid:plugin/document": super::import::document,
            "ibid:plugin/tokens": super::import::tokens,
            "ibid:plugin/embed": super::import::embed,
        },
    });
}

/// The exports of an analyzer.
pub mod analyzer {
    wasmtime::component::bindgen!({
        path: "../../wit/1",
        world: "analyzer-plugin",
        with: {
            "ibid:plugin/types": super::import::types,
            "ibid:plugin/log": super::import::log,
        },
    });
}

/// The exports of a formatter.
pub mod formatter {
    wasmtime::component::bindgen!({
        path: "../../wit/1",
        world: "citation-plugin",
        with: {
            "ibid:plugin/types": super::import::types,
            "ibid:plugin/log": super::import::log,
        },
    });
}

impl From<Span> for import::types::Span {
    fn from(span: Span) -> Self {
        Self {
            start: span.start,
            end: span.end,
        }
    }
}

impl From<import::types::Span> for Span {
    fn from(span: import::types::Span) -> Self {
        Self {
            start: span.start,
            end: span.end,
        }
    }
}

impl From<import::types::Unit> for Unit {
    fn from(unit: import::types::Unit) -> Self {
        Self {
            at: unit.at.into(),
            kind: unit.kind,
            level: unit.level,
            title: unit.title.map(Span::from),
        }
    }
}

impl From<&Unit> for import::types::Unit {
    fn from(unit: &Unit) -> Self {
        Self {
            at: unit.at.into(),
            kind: unit.kind.clone(),
            level: unit.level,
            title: unit.title.map(Into::into),
        }
    }
}

impl From<import::types::Failure> for Reason {
    fn from(failure: import::types::Failure) -> Self {
        Reason::Failure {
            code: cut(failure.code, MAX_CODE_BYTES),
            message: cut(failure.message, MAX_MESSAGE_BYTES),
            at: failure.at.map(Span::from),
        }
    }
}

/// Converts metadata to the guest's types.
pub fn to_guest(attrs: &Attrs) -> Vec<import::types::Attr> {
    attrs
        .iter()
        .map(|(key, value)| import::types::Attr {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

/// Shortens a text to at most `max` bytes, at a character's boundary.
pub fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}
