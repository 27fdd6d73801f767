//! Plain data that every layer shares: documents and their spans, and secrets that must not be printed.

mod backend;
pub mod document;
pub mod secret;

pub use backend::IndexBackend;
