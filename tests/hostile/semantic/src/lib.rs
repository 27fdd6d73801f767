//! A chunker that uses the embedder, and more of it than it may.

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::embed::neighbour_similarity;
use ibid::plugin::types::{Attr, Failure, Span};

wit_bindgen::generate!({ path: "../../../wit/1", world: "semantic-chunker-plugin" });

struct Hostile;

struct Instance {
    config: String,
}

impl Guest for Hostile {
    type Chunker = Instance;
}

impl GuestChunker for Instance {
    fn open(config: String) -> Result<Chunker, Failure> {
        Ok(Chunker::new(Instance { config }))
    }

    fn chunk(&self, document: &Doc, within: Span) -> Result<Vec<Piece>, Failure> {
        let what = self.config.split('"').nth(3).unwrap_or("");
        let similar = match what {
            "spans" => neighbour_similarity(document, &vec![within; 20_001])?,
            "flood" => loop {
                neighbour_similarity(document, &vec![within; 5_000])?;
            },
            "none" => neighbour_similarity(document, &[])?,
            "one" => neighbour_similarity(document, &[within])?,
            // Of bytes 0..1, the rest, and the whole twice.
            _ => {
                let first = Span { start: 0, end: 1 };
                let rest = Span { start: 1, end: u32::MAX };
                neighbour_similarity(document, &[first, rest, within, within])?
            }
        };
        let similar = similar.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ");
        Ok(vec![Piece {
            at: within,
            context: vec![],
            attrs: vec![Attr {
                key: "similar".into(),
                value: similar,
            }],
        }])
    }
}

export!(Hostile);
