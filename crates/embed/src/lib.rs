//! Texts to vectors, and pairs of a question and a passage to scores: tokenizer, engine, and the queue in front of them.
//!
//! [`convert`] makes a model directory from published weights; [`Runtime`] loads ONNX Runtime; [`Embedder`] embeds queries and documents
//! on threads of its own; [`Reranker`] scores passages by a cross-encoder, in the same way; [`Models`] loads the embedders of several
//! models as they are used. Queries go before documents; [`EmbedderSettings`] bounds the memory; on a CPU a text has the same vector
//! whatever else is being embedded.
//!
//! On a CPU each thread reads texts and runs the model, in small batches of one length; those that do so for documents give way to
//! those that do so for queries. On GPUs threads of their own run the model, in large batches of any lengths, while the others read
//! texts ahead of them.
//!
//! In 32 bits on x86-64, a model that the converter made is computed by `ibid_encoder`; everything else by ONNX Runtime.
//!
//! Knows nothing of documents, collections, the index or the server.

mod bare;
mod batch;
pub mod convert;
mod device;
mod embedder;
mod engine;
mod error;
mod model;
mod models;
mod priority;
mod queue;
mod reranker;
mod runtime;
mod session;
mod settings;
mod stats;
#[cfg(test)]
mod tests;
mod tokens;
mod worker;

pub use self::{
    bare::{Bare, Prepared},
    device::{Device, Placement, Precision},
    embedder::{Embedder, EmbedderSettings},
    error::EmbedError,
    model::{Activation, Architecture, Head, ModelInfo, ModelKind, Pooling, Ready},
    models::{InstalledModel, Model, Models, ModelsSettings, installed},
    reranker::Reranker,
    runtime::Runtime,
    settings::RuntimeChoice,
    stats::EmbedderStats,
};
