//! Creates plugin projects and builds them from source: the implementation of `ibid plugin new` and `ibid plugin build`.
//!
//! A plugin in Rust is a cargo package of crate type `cdylib` that uses `wit-bindgen`, with a `plugin.toml` beside its `Cargo.toml`. It is
//! compiled for `wasm32-unknown-unknown`, which has no system interface, then turned into a component, and its manifest is embedded. The
//! tools of the Bytecode Alliance bundle a plugin in JavaScript or Python with its interpreter.
//!
//! Blocks for as long as those tools run. `check`, `test` and `bench` run the built component in the host.

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
mod try_plugin;

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
pub use try_plugin::Input;
