//! Divides documents along their structure: a chunker.
//!
//! [`blocks`] finds the headings, paragraphs, tables, lists and code of a document. [`packing`] makes one chunk of each section, or several
//! if it is too long, between its blocks where possible.

pub mod blocks;
pub mod config;
pub mod packing;
mod plugin;
