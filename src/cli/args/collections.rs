//! Flags of `ibid collections`.

use clap::{Args, Subcommand};

/// `ibid collections`.
#[derive(Debug, Args)]
pub struct CollectionsArgs {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub action: Option<CollectionAction>,
    /// Print the server's answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with collections.
#[derive(Debug, Subcommand)]
pub enum CollectionAction {
    /// List them (also without a subcommand)
    List,
    /// Make one
    Create {
        /// 1 to 64 of the characters A-Z a-z 0-9 _ . -, the first a letter or digit
        name: String,
        /// What it holds, for people
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Show one
    Info {
        /// Its name
        name: String,
    },
    /// Move one between the server's own index and a Qdrant server, without embedding anything again
    Move {
        /// Its name
        name: String,
        /// Where to; the place where it is stops a move
        #[arg(long, value_name = "INDEX", value_parser = ["embedded", "qdrant"])]
        to: String,
        /// Do not wait until it is there
        #[arg(long)]
        no_wait: bool,
    },
    /// Delete one with all its documents
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}
