//! Reads Word documents (ECMA-376, Office Open XML): an extractor.
//!
//! [`package`] opens the ZIP archive and finds its parts. [`styles`] determines which paragraph styles are headings and lists. [`body`]
//! reads the text as a stream of XML events, so that memory does not grow with nesting. [`reader`] combines them.

pub mod body;
pub mod config;
pub mod package;
mod plugin;
pub mod reader;
pub mod styles;
pub mod xml;
