//! Writes citations as footnotes of Markdown: a citation formatter.
//!
//! `[^1]` after a statement, and `[^1]: report.pdf, p. 15, Results` at the end, which Markdown viewers link to each other.

pub mod config;
pub mod notes;
mod plugin;
