//! The plugin's face to the host: the exports of the world `chunker-plugin`.

use crate::{config::Config, windows};
use prose::document as prose_document;

wit_bindgen::generate!({ path: "../../wit/0.9", world: "chunker-plugin" });

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::types::{Failure, Span};
use ibid::plugin::{log, tokens};

struct Component;

export!(Component);

impl Guest for Component {
    type Chunker = Sentences;
}

/// The chunker: its settings are all that it keeps.
struct Sentences(Config);

impl GuestChunker for Sentences {
    fn open(config: String) -> Result<Chunker, Failure> {
        panic_words::to(|words| log::write("error", words));
        let config = Config::parse(&config).map_err(|message| Failure {
            code: "INVALID_CONFIG".to_owned(),
            message,
            at: None,
        })?;
        Ok(Chunker::new(Self(config)))
    }

    fn chunk(&self, document: &Doc, within: Span) -> Result<Vec<Piece>, Failure> {
        let sentences = prose::sentences::sentences(&Host(document), ours(within));
        Ok(windows::windows(&sentences, &self.0).into_iter().map(piece).collect())
    }
}

fn piece(at: prose_document::Span) -> Piece {
    Piece {
        at: theirs(at),
        context: Vec::new(),
        attrs: Vec::new(),
    }
}

/// The host's document.
struct Host<'a>(&'a Doc);

impl prose_document::Document for Host<'_> {
    fn len(&self) -> u32 {
        self.0.len()
    }

    fn text(&self, at: prose_document::Span) -> String {
        self.0.text(theirs(at))
    }

    fn units(&self, within: prose_document::Span) -> Vec<prose_document::Unit> {
        let units = self.0.units(theirs(within));
        units
            .into_iter()
            .map(|unit| prose_document::Unit {
                at: ours(unit.at),
                kind: kind(&unit.kind, unit.level),
                title: unit.title.map(ours),
            })
            .collect()
    }

    fn pages(&self, within: prose_document::Span) -> Vec<prose_document::Span> {
        self.0.pages(theirs(within)).into_iter().map(|page| ours(page.at)).collect()
    }

    fn count(&self, spans: &[prose_document::Span]) -> Vec<u32> {
        let spans: Vec<Span> = spans.iter().copied().map(theirs).collect();
        tokens::count_spans(self.0, &spans)
    }
}

fn kind(name: &str, level: u8) -> prose_document::Kind {
    match name {
        "heading" => prose_document::Kind::Heading(level),
        "table-row" => prose_document::Kind::Row,
        "list-item" => prose_document::Kind::Item,
        "code" => prose_document::Kind::Code,
        _ => prose_document::Kind::Block,
    }
}

fn ours(at: Span) -> prose_document::Span {
    prose_document::Span {
        start: at.start,
        end: at.end,
    }
}

fn theirs(at: prose_document::Span) -> Span {
    Span {
        start: at.start,
        end: at.end,
    }
}
