//! Turns texts into vectors, and pairs of a question and a passage into scores: tokenizer, engine, and a queue in front of them.
//!
//! [`convert`] makes a model directory from published weights. [`Runtime`] loads ONNX Runtime. [`Embedder`] embeds queries and documents on
//! threads of its own. [`Reranker`] scores passages with a cross-encoder in the same way. [`Models`] loads the embedders of several models
//! as they are used. Queries run before documents. [`EmbedderSettings`] bounds the memory. On a CPU, a text has the same vector whatever
//! else is being embedded.
//!
//! On a CPU, each thread tokenises texts and runs the model, in small batches of one length; threads for documents have a lower priority
//! than those for queries. On GPUs, separate threads run the model, in large batches of any lengths, while the others tokenise texts ahead
//! of them.
//!
//! In 32 bits on x86-64, `ibid_encoder` computes models that the converter made; ONNX Runtime computes everything else.

mod baseline;
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
    baseline::{Baseline, Prepared},
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
