//! Writes citations as footnotes of Markdown: a citation formatter.
//!
//! A statement is followed by `[^1]`, and `[^1]: report.pdf, p. 15, Results` ends the answer. Markdown viewers link them.

pub mod config;
pub mod notes;
mod plugin;
