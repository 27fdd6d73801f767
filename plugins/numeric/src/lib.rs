//! Writes citations as numbers: a citation formatter.
//!
//! ` [1]` after a statement, `[1] report.pdf, p. 15` as the reference, and, if configured, a list of
//! the sources at the end.

pub mod citation;
pub mod config;
mod plugin;
