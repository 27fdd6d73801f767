//! The plugin's face to the host: the exports of the world `semantic-chunker-plugin`.

use crate::{config::Config, grouping};

wit_bindgen::generate!({ path: "../../wit/1", world: "semantic-chunker-plugin" });

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::types::{Failure, Span};
use ibid::plugin::{embed, log};
use prose::document::Chunk;

prose::host_document!();

struct Component;

export!(Component);

impl Guest for Component {
    type Chunker = Semantic;
}

/// The chunker: its settings are all that it keeps.
struct Semantic(Config);

impl GuestChunker for Semantic {
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
        let host = Host::new(document);
        let sentences = prose::sentences::sentences(&host, ours(within));
        let spans: Vec<Span> = sentences.iter().copied().map(theirs).collect();
        let similar = embed::neighbour_similarity(document, &spans)?;
        let tokens = prose::document::Document::count(&host, &sentences);
        Ok(grouping::groups(&sentences, &tokens, &similar, &self.0)
            .into_iter()
            .map(|at| piece(Chunk { at, context: Vec::new() }))
            .collect())
    }
}
