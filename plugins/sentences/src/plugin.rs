//! The chunker that the host calls.

use crate::{config::Config, windows};
use ibid_plugin::{Chunker, Document, Failure, Piece, Settings, Span};
use prose::host::Host;

ibid_plugin::chunker!(Sentences);

/// The chunker. It has no state but its settings.
struct Sentences(Config);

impl Chunker for Sentences {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn chunk(&self, document: &impl Document, within: Span) -> Result<Vec<Piece>, Failure> {
        let sentences = prose::sentences::sentences(&Host::new(document), within);
        Ok(windows::windows(&sentences, &self.0).into_iter().map(Piece::new).collect())
    }
}
