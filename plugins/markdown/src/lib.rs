//! Reads Markdown: an extractor.
//!
//! The text is the file itself. The units are Markdown's headings, paragraphs, lists, tables, code and quotes, as CommonMark and GitHub's
//! tables define them.

pub mod blocks;
pub mod front_matter;
mod plugin;
pub mod reader;
mod windows;
