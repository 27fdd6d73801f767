//! The chunker that the host calls.

use crate::{chunking::chunks, config::Config};
use ibid_plugin::{Chunker, Document, Failure, Piece, Settings, Span};
use prose::host::Host;

ibid_plugin::chunker!(Recursive);
ibid_plugin::heap!();

/// The chunker. It has no state but its settings.
struct Recursive(Config);

impl Chunker for Recursive {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn chunk(&self, document: &impl Document, within: Span) -> Result<Vec<Piece>, Failure> {
        let chunks = chunks(&Host::new(document), within, &self.0);
        Ok(chunks.into_iter().map(Piece::from).collect())
    }
}
