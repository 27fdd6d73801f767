//! Writes citations as author and page: a citation formatter.
//!
//! A statement is followed by ` (Lee and Groß 2019, p. 4)`, and a list of the works ends the answer. A document without authors is cited by
//! its title, or else by its file name.

pub mod citation;
pub mod config;
mod plugin;
