//! Who asks, and what they may do.
//!
//! A [`Subject`] is made once for each request or socket, from its credentials; every door asks it before it acts and filters by it what it
//! shows. May depend on `protocol` only.

mod subject;

pub use subject::{Scope, Scopes, Subject};
