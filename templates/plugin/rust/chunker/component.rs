//! The glue: the exports of the world `chunker-plugin`.

use crate::{Config, join, paragraphs};
use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::types::{Failure, Span};
use ibid::plugin::{log, tokens};

wit_bindgen::generate!({ path: "wit", world: "chunker-plugin" });

struct Component;

export!(Component);

impl Guest for Component {
    type Chunker = Plugin;
}

struct Plugin(Config);

impl GuestChunker for Plugin {
    fn open(config: String) -> Result<Chunker, Failure> {
        // Without this a panic is a crash without a word.
        std::panic::set_hook(Box::new(|panic| log::write("error", &panic.to_string())));
        let config = serde_json::from_str(&config).map_err(|error| Failure {
            code: "INVALID_CONFIG".into(),
            message: error.to_string(),
            at: None,
        })?;
        Ok(Chunker::new(Plugin(config)))
    }

    fn chunk(&self, document: &Doc, within: Span) -> Result<Vec<Piece>, Failure> {
        // The whole part at once; a document of many megabytes is better read in windows of 64 KiB or more.
        let text = document.text(within);
        let span = |at: &std::ops::Range<usize>| Span {
            start: within.start + at.start as u32,
            end: within.start + at.end as u32,
        };
        let paragraphs = paragraphs(&text);
        let spans: Vec<Span> = paragraphs.iter().map(span).collect();
        // One call for all of them: each call into the host costs.
        let tokens = tokens::count_spans(document, &spans);
        let chunks = join(&paragraphs, &tokens, &self.0);
        Ok(chunks
            .iter()
            .map(|at| Piece {
                at: span(at),
                context: Vec::new(),
                attrs: Vec::new(),
            })
            .collect())
    }
}
