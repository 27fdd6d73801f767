//! Reads plain text: an extractor.
//!
//! UTF-8 is passed on byte for byte, so that offsets into the text are offsets into the file.
//! Blank lines separate paragraphs.

pub mod paragraphs;
mod plugin;
