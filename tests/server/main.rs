//! The whole server through its public faces: the real program with the real model, index and plugins, over real sockets.
//!
//! These tests share no code with the server. They fail, and say so, where `make setup` has not been run.
//! See `tests/support/process.rs` for how to point them at another program.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod authoring;
mod backup;
mod book;
mod claims;
mod cli;
mod client_packages;
mod clients;
mod cluster;
mod collections;
mod conformance;
mod control;
mod deletion;
mod discovery;
mod disk;
mod documents;
mod eval;
mod faults;
mod finding;
mod fixtures;
mod frames;
mod kills;
mod limits;
mod llm;
mod llm_real;
mod logs;
mod messages;
mod metrics;
mod models;
mod objects;
mod operations;
mod page;
mod pipelines;
mod plugins;
mod qdrant;
mod query;
mod registry;
mod reindex;
mod repair;
mod rerank;
mod rest;
mod scopes;
mod shutdown;
mod tls;
mod traces;
mod tus;
mod uploads;
