//! Writes citations as numbers: a citation formatter.
//!
//! A statement is followed by ` [1]`, the reference is `[1] report.pdf, p. 15`, and, if configured, a list of the sources ends the answer.

pub mod citation;
pub mod config;
mod plugin;
