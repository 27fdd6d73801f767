//! Stand-ins for what services are given, for unit tests that take milliseconds and need neither a model nor plugins.

pub(crate) mod background;
pub(crate) mod clock;
pub(crate) mod faults;
pub(crate) mod files;
pub(crate) mod index;
pub(crate) mod ingest;
pub(crate) mod peers;
pub(crate) mod pipelines;
pub(crate) mod processor;
pub(crate) mod query;
pub(crate) mod services;
pub(crate) mod store;
