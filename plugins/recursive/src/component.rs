//! The plugin's face to the host: the exports of the world `chunker-plugin`.

use crate::{chunking::chunks, config::Config, document};

wit_bindgen::generate!({ path: "../../wit/0.9", world: "chunker-plugin" });

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::log;
use ibid::plugin::tokens;
use ibid::plugin::types::{Failure, Span};

struct Component;

export!(Component);

impl Guest for Component {
    type Chunker = Recursive;
}

/// The chunker: its settings are all that it keeps.
struct Recursive(Config);

impl GuestChunker for Recursive {
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
        let chunks = chunks(&Host(document), ours(within), &self.0);
        let piece = |chunk: crate::packing::Chunk| Piece {
            at: theirs(chunk.at),
            context: chunk.context.into_iter().map(theirs).collect(),
            attrs: Vec::new(),
        };
        Ok(chunks.into_iter().map(piece).collect())
    }
}

/// The host's document.
struct Host<'a>(&'a Doc);

impl document::Document for Host<'_> {
    fn len(&self) -> u32 {
        self.0.len()
    }

    fn text(&self, at: document::Span) -> String {
        self.0.text(theirs(at))
    }

    fn units(&self, within: document::Span) -> Vec<document::Unit> {
        let units = self.0.units(theirs(within));
        units
            .into_iter()
            .map(|unit| document::Unit {
                at: ours(unit.at),
                kind: kind(&unit.kind, unit.level),
                title: unit.title.map(ours),
            })
            .collect()
    }

    fn pages(&self, within: document::Span) -> Vec<document::Span> {
        self.0.pages(theirs(within)).into_iter().map(|page| ours(page.at)).collect()
    }

    fn count(&self, spans: &[document::Span]) -> Vec<u32> {
        let spans: Vec<Span> = spans.iter().copied().map(theirs).collect();
        tokens::count_spans(self.0, &spans)
    }
}

fn kind(name: &str, level: u8) -> document::Kind {
    match name {
        "heading" => document::Kind::Heading(level),
        "table-row" => document::Kind::Row,
        "list-item" => document::Kind::Item,
        "code" => document::Kind::Code,
        _ => document::Kind::Block,
    }
}

fn ours(at: Span) -> document::Span {
    document::Span {
        start: at.start,
        end: at.end,
    }
}

fn theirs(at: document::Span) -> Span {
    Span {
        start: at.start,
        end: at.end,
    }
}
