//! The contract's imports and exports, generated from its WIT files. Everything that a plugin sees of them are this crate's traits and
//! records: the bindings lift into those records and lower them directly.

use crate::{
    Analyzer, Attr, Chunker, CodedUnit, Document, Draft, Extractor, Failure, Formatter, Page, Piece, Plan, SemanticChunker,
    SemanticDocument, Source, Span, Unit, Upload, panics,
};
use std::marker::PhantomData;

/// What the host offers to any kind of plugin. What a plugin does not call does not become an import of its component.
mod host {
    wit_bindgen::generate!({
        path: "../../wit/1",
        inline: "
            package ibid:sdk;

            world host {
                import ibid:plugin/log@1.0.0;
                import ibid:plugin/document@1.0.0;
                import ibid:plugin/tokens@1.0.0;
                import ibid:plugin/embed@1.0.0;
                import ibid:plugin/intake@1.0.0;
            }
        ",
        world: "ibid:sdk/host",
        with: { "ibid:plugin/types@1.0.0": crate::types },
        generate_all,
    });
}

/// The world of extractors.
pub mod extractor {
    wit_bindgen::generate!({
        path: "../../wit/1",
        world: "extractor-plugin",
        with: {
            "ibid:plugin/types@1.0.0": crate::types,
            "ibid:plugin/log@1.0.0": crate::bindings::host::ibid::plugin::log,
            "ibid:plugin/intake@1.0.0": crate::bindings::host::ibid::plugin::intake,
        },
        pub_export_macro: true,
    });
}

/// The world of chunkers. A semantic chunker exports the same, and calls the embedder's import beside.
pub mod chunker {
    wit_bindgen::generate!({
        path: "../../wit/1",
        world: "chunker-plugin",
        with: {
            "ibid:plugin/types@1.0.0": crate::types,
            "ibid:plugin/log@1.0.0": crate::bindings::host::ibid::plugin::log,
            "ibid:plugin/document@1.0.0": crate::bindings::host::ibid::plugin::document,
            "ibid:plugin/tokens@1.0.0": crate::bindings::host::ibid::plugin::tokens,
            "ibid:plugin/chunking@1.0.0/piece": crate::Piece,
        },
        pub_export_macro: true,
    });
}

/// The world of analyzers.
pub mod analyzer {
    wit_bindgen::generate!({
        path: "../../wit/1",
        world: "analyzer-plugin",
        with: {
            "ibid:plugin/types@1.0.0": crate::types,
            "ibid:plugin/log@1.0.0": crate::bindings::host::ibid::plugin::log,
            "ibid:plugin/analysis@1.0.0/search": crate::Search,
            "ibid:plugin/analysis@1.0.0/plan": crate::Plan,
        },
        pub_export_macro: true,
    });
}

/// The world of formatters.
pub mod formatter {
    wit_bindgen::generate!({
        path: "../../wit/1",
        world: "citation-plugin",
        with: {
            "ibid:plugin/types@1.0.0": crate::types,
            "ibid:plugin/log@1.0.0": crate::bindings::host::ibid::plugin::log,
            "ibid:plugin/citing@1.0.0/source": crate::Source,
        },
        pub_export_macro: true,
    });
}

use analyzer::exports::ibid::plugin::analysis::{self, GuestAnalyzer};
use chunker::exports::ibid::plugin::chunking::{self, GuestChunker};
use extractor::exports::ibid::plugin::extraction::{self, GuestExtractor};
use formatter::exports::ibid::plugin::citing::{self, GuestFormatter};
use host::ibid::plugin::{document::Doc, embed, intake, tokens};

pub use host::ibid::plugin::log::write as log;

/// Prepares a fresh instance, then opens its plugin.
fn start<P>(open: impl FnOnce(&str) -> Result<P, Failure>, config: &str) -> Result<P, Failure> {
    panics::report_to(crate::log::error);
    open(config)
}

/// The exports of a plugin.
pub struct Component<P>(PhantomData<P>);

/// The exports of a semantic chunker.
pub struct SemanticComponent<P>(PhantomData<P>);

/// A plugin that is open: the resource that its world exports.
pub struct Opened<P>(P);

/// A semantic chunker that is open.
pub struct OpenedSemantic<P>(P);

impl<P: Extractor> extraction::Guest for Component<P> {
    type Extractor = Opened<P>;
}

impl<P: Extractor> GuestExtractor for Opened<P> {
    fn open(config: String) -> Result<extraction::Extractor, Failure> {
        start(P::open, &config).map(|plugin| extraction::Extractor::new(Self(plugin)))
    }

    fn extract(&self, source: &intake::Blob, target: &intake::Draft) -> Result<(), Failure> {
        self.0.extract(source, &mut Target(target))
    }
}

impl<P: Chunker> chunking::Guest for Component<P> {
    type Chunker = Opened<P>;
}

impl<P: Chunker> GuestChunker for Opened<P> {
    fn open(config: String) -> Result<chunking::Chunker, Failure> {
        start(P::open, &config).map(|plugin| chunking::Chunker::new(Self(plugin)))
    }

    fn chunk(&self, document: &Doc, within: Span) -> Result<Vec<Piece>, Failure> {
        self.0.chunk(document, within)
    }
}

impl<P: SemanticChunker> chunking::Guest for SemanticComponent<P> {
    type Chunker = OpenedSemantic<P>;
}

impl<P: SemanticChunker> GuestChunker for OpenedSemantic<P> {
    fn open(config: String) -> Result<chunking::Chunker, Failure> {
        start(P::open, &config).map(|plugin| chunking::Chunker::new(Self(plugin)))
    }

    fn chunk(&self, document: &Doc, within: Span) -> Result<Vec<Piece>, Failure> {
        self.0.chunk(document, within)
    }
}

impl<P: Analyzer> analysis::Guest for Component<P> {
    type Analyzer = Opened<P>;
}

impl<P: Analyzer> GuestAnalyzer for Opened<P> {
    fn open(config: String) -> Result<analysis::Analyzer, Failure> {
        start(P::open, &config).map(|plugin| analysis::Analyzer::new(Self(plugin)))
    }

    fn analyze(&self, query: String, attrs: Vec<Attr>) -> Result<Plan, Failure> {
        self.0.analyze(&query, &attrs)
    }
}

impl<P: Formatter> citing::Guest for Component<P> {
    type Formatter = Opened<P>;
}

impl<P: Formatter> GuestFormatter for Opened<P> {
    fn open(config: String) -> Result<citing::Formatter, Failure> {
        start(P::open, &config).map(|plugin| citing::Formatter::new(Self(plugin)))
    }

    fn mark(&self, cited: Vec<Source>) -> Result<String, Failure> {
        self.0.mark(&cited)
    }

    fn entry(&self, cited: Source) -> Result<String, Failure> {
        self.0.entry(&cited)
    }

    fn finish(&self, cited: Vec<Source>) -> Result<String, Failure> {
        self.0.finish(&cited)
    }
}

impl Document for Doc {
    fn len(&self) -> u32 {
        Doc::len(self)
    }

    fn text(&self, at: Span) -> String {
        Doc::text(self, at)
    }

    fn units(&self, within: Span) -> Vec<Unit> {
        Doc::units(self, within)
    }

    fn coded_units(&self, within: Span) -> Vec<CodedUnit> {
        Doc::coded_units(self, within)
    }

    fn unit_kinds(&self) -> Vec<String> {
        Doc::unit_kinds(self)
    }

    fn pages(&self, within: Span) -> Vec<Page> {
        Doc::pages(self, within)
    }

    fn attrs(&self) -> Vec<Attr> {
        Doc::attrs(self)
    }

    fn count(&self, text: &str) -> u32 {
        tokens::count(text)
    }

    fn count_spans(&self, spans: &[Span]) -> Vec<u32> {
        tokens::count_spans(self, spans)
    }
}

impl SemanticDocument for Doc {
    fn neighbour_similarity(&self, spans: &[Span]) -> Result<Vec<f32>, Failure> {
        embed::neighbour_similarity(self, spans)
    }
}

impl Upload for intake::Blob {
    fn len(&self) -> u64 {
        intake::Blob::len(self)
    }

    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        intake::Blob::read(self, offset, length)
    }
}

/// The host's draft.
struct Target<'a>(&'a intake::Draft);

impl Draft for Target<'_> {
    fn write(&mut self, text: &str) -> u32 {
        self.0.write(text)
    }

    fn begin_page(&mut self, number: u32, label: Option<&str>) {
        self.0.begin_page(number, label);
    }

    fn add_units(&mut self, units: &[Unit]) {
        self.0.add_units(units);
    }

    fn add_attrs(&mut self, attrs: &[Attr]) {
        self.0.add_attrs(attrs);
    }

    fn progress(&mut self, done: f32) {
        self.0.progress(done);
    }
}
