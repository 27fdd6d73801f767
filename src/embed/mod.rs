//! Texts to vectors: tokenizer, ONNX session, and the queue in front of them.
//!
//! [`convert`] makes a model directory from published weights; [`Runtime`] loads ONNX Runtime; [`Embedder`] embeds
//! queries and documents on threads of its own. Queries go before documents; memory is bounded by
//! [`EmbedderSettings`]; a text's vector never depends on what else is being embedded.
//!
//! May depend on: ONNX Runtime, the tokenizer library, files, tokio's synchronisation. Knows nothing of documents,
//! collections, the index or the server.

mod batch;
pub mod convert;
mod embedder;
mod error;
mod model;
mod queue;
mod runtime;
mod session;
mod stats;
#[cfg(test)]
mod tests;
mod tokens;
mod worker;

pub use self::{
    embedder::{Embedder, EmbedderSettings},
    error::EmbedError,
    model::{ModelInfo, Pooling},
    runtime::Runtime,
    stats::EmbedderStats,
};
