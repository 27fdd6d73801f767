//! Writes citations as author and page: a citation formatter.
//!
//! ` (Lee and Groß 2019, p. 4)` after a statement, and a list of the works at the end. A document that names no author
//! is cited by its title, else by its file name.

pub mod citation;
pub mod config;
mod plugin;
