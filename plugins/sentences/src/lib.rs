//! Cuts documents into windows of so many sentences: a chunker.

pub mod config;
pub mod windows;

#[cfg(target_arch = "wasm32")]
mod component;
