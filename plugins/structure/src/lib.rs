//! Cuts documents along their structure: a chunker.
//!
//! [`blocks`] finds the headings, paragraphs, tables, lists and code that a document is made of; [`packing`] makes a chunk of each
//! section, and of one that is too long several, between its blocks where that is possible.

pub mod blocks;
pub mod config;
pub mod packing;
mod plugin;
