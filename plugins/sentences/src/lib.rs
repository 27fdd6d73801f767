//! Divides documents into windows of a number of sentences: a chunker.

pub mod config;
mod plugin;
pub mod windows;
