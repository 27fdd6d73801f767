//! HTTP: routes, bodies and errors of the REST surface.

mod admit;
mod body;
mod call;
mod collections;
mod credentials;
mod documents;
mod exchange;
mod file;
mod health;
mod me;
mod metrics;
mod multipart;
mod params;
mod plugins;
mod query;
mod range;
mod respond;
mod router;
mod sse;

pub(super) use call::Call;
pub(super) use exchange::respond;
pub(super) use query::broke_off;
pub(super) use respond::{Failure, Reply, empty};
