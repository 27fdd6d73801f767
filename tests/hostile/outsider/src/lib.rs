//! A chunker that wants what no plugin is given: the environment.

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::types::{Failure, Span};

wit_bindgen::generate!({
    path: "../../../wit/1",
    inline: "
        package wasi:cli@0.2.0;
        interface environment {
            get-environment: func() -> list<tuple<string, string>>;
        }
        world outsider {
            include ibid:plugin/chunker-plugin@1.0.0;
            import environment;
        }
    ",
    world: "wasi:cli/outsider",
    generate_all,
});

struct Outsider;

struct Instance;

impl Guest for Outsider {
    type Chunker = Instance;
}

impl GuestChunker for Instance {
    fn open(_: String) -> Result<Chunker, Failure> {
        Ok(Chunker::new(Instance))
    }

    fn chunk(&self, _: &Doc, _: Span) -> Result<Vec<Piece>, Failure> {
        let secrets = wasi::cli::environment::get_environment();
        Err(Failure {
            code: "GOT".into(),
            message: format!("{secrets:?}"),
            at: None,
        })
    }
}

export!(Outsider);
