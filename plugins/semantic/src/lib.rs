//! Cuts documents where their subject changes: a chunker that asks the host how alike neighbouring sentences are.

pub mod config;
pub mod grouping;
mod plugin;
