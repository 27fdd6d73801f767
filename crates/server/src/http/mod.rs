//! HTTP: routes, bodies and errors of the REST surface.

mod admit;
mod backup;
mod body;
mod call;
mod collections;
mod config;
mod credentials;
mod docs;
mod documents;
mod endpoint;
mod exchange;
mod file;
mod health;
mod mcp;
mod me;
mod metrics;
mod multipart;
mod openai;
mod openapi;
mod page;
mod params;
mod plugins;
mod query;
mod range;
mod respond;
mod router;
mod sse;
mod status;
mod tus;

pub(super) use call::Call;
pub(super) use endpoint::{Endpoint, Verb};
pub(super) use exchange::respond;
pub(super) use openapi::{Op, Tag};
pub(super) use query::broke_off;
pub(super) use respond::{Failure, Reply, empty, now};
