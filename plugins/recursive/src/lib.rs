//! Cuts documents into chunks of so many tokens at the strongest boundaries that they have: a chunker.
//!
//! [`chunking`] reads the document in windows; [`layout`] cuts a window into atoms (headings, table
//! rows, sentences) with the strength of the boundary before each; [`prose::refine`] cuts up atoms that
//! are too long, and counts tokens; [`packing`] fills chunks with atoms.

pub mod chunking;
pub mod config;
pub mod layout;
pub mod packing;
mod plugin;
pub mod titles;
