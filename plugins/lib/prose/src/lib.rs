//! What chunkers share: the document as they see it, where prose can be cut, and its sentences.

pub mod boundary;
pub mod document;
pub mod sentences;
