//! A chunker that spins before anything is asked of it: `_initialize` runs when a component is instantiated.

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::types::{Failure, Span};
use std::hint::black_box;

wit_bindgen::generate!({ path: "../../../wit/1", world: "chunker-plugin" });

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    loop {
        black_box(());
    }
}

struct Hostile;

struct Instance;

impl Guest for Hostile {
    type Chunker = Instance;
}

impl GuestChunker for Instance {
    fn open(_: String) -> Result<Chunker, Failure> {
        Ok(Chunker::new(Instance))
    }

    fn chunk(&self, _: &Doc, _: Span) -> Result<Vec<Piece>, Failure> {
        Ok(vec![])
    }
}

export!(Hostile);
