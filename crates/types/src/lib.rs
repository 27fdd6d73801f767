//! Plain data that every layer shares: documents and their spans, codes of errors, and secrets that must not be printed.

mod backend;
pub mod document;
mod error_code;
pub mod secret;

pub use backend::IndexBackend;
pub use error_code::ErrorCode;
