//! `/v1`: what OpenAI's API calls embeddings, chat completions and models, so that clients made for it work. A collection is
//! a model to chat with; the embedding model is one to embed with.

pub(super) mod chat;
mod cut;
pub(super) mod embeddings;
pub(super) mod models;
