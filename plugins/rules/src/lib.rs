//! Understands questions by rules: an analyzer.
//!
//! [`words`] splits a question; [`language`], [`intent`] and [`entities`] say what it is;
//! [`searches`] plans what to search for. The word lists are in [`lexicon`], what figures of business are made of in
//! [`metrics`].

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
