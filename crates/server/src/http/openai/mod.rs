//! `/v1`: what OpenAI's API calls embeddings, chat completions and models, so that clients made for it work. A collection is
//! a model to chat with; the embedding model is one to embed with.

mod chat;
mod cut;
mod embeddings;
mod models;

pub(super) use chat::complete;
pub(super) use embeddings::embed;
pub(super) use models::{get, list};
