//! Stand-ins for what services are given, for unit tests that take milliseconds and need neither a model nor plugins.

#![allow(dead_code, reason = "each test uses a part of what the fakes offer")]

pub(crate) mod clock;
pub(crate) mod faults;
pub(crate) mod index;
pub(crate) mod query;
pub(crate) mod store;
