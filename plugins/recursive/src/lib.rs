//! Divides documents into chunks of a number of tokens, at their strongest boundaries: a chunker.
//!
//! [`chunking`] reads the document in windows. [`layout`] divides a window into atoms (headings, table rows, sentences) with the strength
//! of the boundary before each. [`prose::refine`] divides atoms that are too long, and counts tokens. [`packing`] fills chunks with atoms.

pub mod chunking;
pub mod config;
pub mod layout;
pub mod packing;
mod plugin;
pub mod titles;
