//! The chunker that the host calls.

use crate::{config::Config, packing::chunks};
use ibid_plugin::{Chunker, Document, Failure, Piece, Settings, Span};
use prose::host::Host;

ibid_plugin::chunker!(Structure);
ibid_plugin::heap!();

/// The chunker: its settings are all that it keeps.
struct Structure(Config);

impl Chunker for Structure {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn chunk(&self, document: &impl Document, within: Span) -> Result<Vec<Piece>, Failure> {
        let chunks = chunks(&Host::new(document), within, &self.0);
        Ok(chunks.into_iter().map(Piece::from).collect())
    }
}
