//! The plugin's face to the host: the exports of the world `chunker-plugin`.

use crate::{config::Config, windows};

wit_bindgen::generate!({ path: "../../wit/1", world: "chunker-plugin" });

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::log;
use ibid::plugin::types::{Failure, Span};
use prose::document::Chunk;

prose::host_document!();

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
        let sentences = prose::sentences::sentences(&Host::new(document), ours(within));
        Ok(windows::windows(&sentences, &self.0)
            .into_iter()
            .map(|at| piece(Chunk { at, context: Vec::new() }))
            .collect())
    }
}
