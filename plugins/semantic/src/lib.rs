//! Divides documents where their subject changes: a chunker that gets the similarity of adjacent sentences from the host.

pub mod config;
pub mod grouping;
mod plugin;
