//! Reads web pages: an extractor.
//!
//! [`reader`] takes the tokens of the HTML standard's tokenizer (html5ever) as they come and writes text and units. It
//! builds no tree: memory does not grow with nesting, and what is left open does no harm.

pub mod charset;
pub mod config;
mod plugin;
pub mod reader;
