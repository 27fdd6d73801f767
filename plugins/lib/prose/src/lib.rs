//! The parts that chunkers share: the document, the boundaries of prose, its sentences, and its headings.

pub mod boundary;
pub mod document;
pub mod headings;
pub mod host;
#[cfg(feature = "memory")]
pub mod memory;
pub mod refine;
mod scan;
pub mod sentences;
