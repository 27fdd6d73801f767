//! The plugin's face to the host: the exports of the world `chunker-plugin`.

use crate::{config::Config, packing::chunks};

wit_bindgen::generate!({ path: "../../wit/1", world: "chunker-plugin" });

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::log;
use ibid::plugin::types::{Failure, Span};

prose::host_document!();

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

struct Component;

export!(Component);

impl Guest for Component {
    type Chunker = Structure;
}

/// The chunker: its settings are all that it keeps.
struct Structure(Config);

impl GuestChunker for Structure {
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
        Ok(chunks(&Host::new(document), ours(within), &self.0).into_iter().map(piece).collect())
    }
}
