//! The chunker that the host calls.

use crate::{config::Config, grouping};
use ibid_plugin::{Failure, Piece, SemanticChunker, SemanticDocument, Settings, Span};
use prose::host::Host;

ibid_plugin::semantic_chunker!(Semantic);

/// The chunker. It has no state but its settings.
struct Semantic(Config);

impl SemanticChunker for Semantic {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn chunk(&self, document: &impl SemanticDocument, within: Span) -> Result<Vec<Piece>, Failure> {
        let sentences = prose::sentences::sentences(&Host::new(document), within);
        let similar = document.neighbour_similarity(&sentences)?;
        let tokens = document.count_spans(&sentences);
        let groups = grouping::groups(&sentences, &tokens, &similar, &self.0);
        Ok(groups.into_iter().map(Piece::new).collect())
    }
}
