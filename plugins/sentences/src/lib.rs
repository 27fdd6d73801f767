//! Cuts documents into windows of so many sentences: a chunker.

pub mod config;
mod plugin;
pub mod windows;
