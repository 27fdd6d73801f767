//! The parts that chunkers share: the document as they read it, where prose can be cut, its sentences, its headings.

pub mod boundary;
pub mod document;
pub mod headings;
pub mod host;
#[cfg(feature = "memory")]
pub mod memory;
pub mod refine;
mod scan;
pub mod sentences;
