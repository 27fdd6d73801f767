//! Ibid's PDF extractor: text in reading order, pages, structure and metadata of PDF files.
//!
//! The logic is plain Rust on lopdf's parser and runs anywhere; compiled for `wasm32` it is a
//! plugin. Everything a file contains counts as hostile: work is
//! bounded by [`Limits`], and damage costs what is damaged, never a panic.
#![deny(missing_docs)]

mod bidi;
mod config;
mod extract;
mod extremes;
mod failure;
mod file;
mod font;
mod hyphen;
mod interpret;
mod layout;
mod lexer;
mod limits;
mod matrix;
mod metadata;
mod normalize;
mod object;
mod outline;
mod pictures;
mod plugin;
mod structure;

pub use config::Config;
pub use extract::extract;
pub use failure::Failure;
pub use ibid_plugin::testing::Collected;
pub use layout::CellSeparator;
pub use limits::Limits;
