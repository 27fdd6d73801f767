//! Makes plugin projects and builds them from source: what `ibid plugin new` and `ibid plugin build` do.
//!
//! A plugin is a cargo package of crate type `cdylib` that uses `wit-bindgen`, with a
//! `plugin.toml` beside its `Cargo.toml`. It is compiled for `wasm32-unknown-unknown`, which offers
//! no system at all, then made a component, and its manifest is embedded.
//!
//! Blocks for as long as cargo does. Only `check` depends on the host: it runs what was built.

mod build;
mod check;
mod component;
mod error;
mod source;
mod template;
mod toolchain;

pub use build::{BuildOptions, Built, build};
pub use check::{Finding, Report, check};
pub use component::package;
pub use error::AuthorError;
pub use source::{SOURCE_FILE, read_manifest};
pub use template::new_project;
pub use toolchain::Toolchain;
