//! What chunkers share: the document as they see it, where prose can be cut, its sentences, its headings.

pub mod boundary;
pub mod document;
mod glue;
pub mod headings;
#[cfg(feature = "memory")]
pub mod memory;
pub mod refine;
mod scan;
pub mod sentences;
