//! Searches for the question as it is: the smallest query analyzer, and the one to begin one's own from.

#[cfg(target_arch = "wasm32")]
mod component;
