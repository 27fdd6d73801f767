//! Stand-ins for what services are given, for unit tests that take milliseconds and need neither a model nor plugins.

pub(crate) mod clock;
pub(crate) mod faults;
pub(crate) mod index;
pub(crate) mod ingest;
pub(crate) mod processor;
pub(crate) mod store;
