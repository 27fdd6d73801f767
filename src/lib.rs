//! Ibid: an extensible server for answers with sources.
//!
//! `server` speaks HTTP and WebSocket and knows nothing of retrieval; `pipeline` knows the order of
//! the stages and nothing of HTTP; the stages below it never call one another. ARCHITECTURE.md has
//! the map and the invariants.

pub mod auth;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod document;
pub mod embed;
pub mod events;
pub mod files;
pub mod generate;
pub mod index;
pub mod pipeline;
pub mod plugin;
pub mod protocol;
pub mod secret;
pub mod server;
pub mod space;
pub mod telemetry;
pub mod tls;
pub mod ui;
mod watch;
