//! Analyzes questions with rules: an analyzer.
//!
//! [`words`] splits a question. [`language`], [`intent`] and [`entities`] describe it. [`searches`] plans the searches. The word lists are
//! in [`lexicon`], the components of financial figures in [`metrics`].

pub mod config;
pub mod entities;
pub mod intent;
pub mod language;
pub mod lexicon;
pub mod metrics;
pub mod names;
mod plugin;
pub mod searches;
pub mod words;
