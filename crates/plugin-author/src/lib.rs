//! Makes plugin projects and builds them from source: what `ibid plugin new` and `ibid plugin build` do.
//!
//! A plugin in Rust is a cargo package of crate type `cdylib` that uses `wit-bindgen`, with a
//! `plugin.toml` beside its `Cargo.toml`. It is compiled for `wasm32-unknown-unknown`, which offers
//! no system at all, then made a component, and its manifest is embedded. One in JavaScript or Python
//! is bundled with its interpreter by the tools of the Bytecode Alliance.
//!
//! Blocks for as long as those tools do. `check`, `test` and `bench` run what was built in the host.

mod bench;
mod build;
mod check;
mod component;
mod error;
mod fixture;
mod language;
mod oci;
mod source;
mod template;
mod toolchain;
mod trial;

pub use bench::{Measured, Times, bench, sample};
pub use build::{BuildOptions, Built, build};
pub use check::{Finding, Report, check};
pub use component::package;
pub use error::AuthorError;
pub use fixture::{FixtureEnd, FixtureReport, largest_input, read_input, test};
pub use language::Language;
pub use oci::{Pulled, pull, push};
pub use source::{SOURCE_FILE, read_manifest};
pub use template::new_project;
pub use toolchain::Toolchain;
pub use trial::Input;
