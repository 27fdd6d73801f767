//! Flags of `ibid ingest` and `ibid documents`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `ibid ingest`.
#[derive(Debug, Args)]
pub struct IngestArgs {
    /// Files; with -r also directories
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Take every PDF, Markdown, HTML and text file below directories
    #[arg(short, long)]
    pub recursive: bool,
    /// Collection they go to; it is made if it is not there
    #[arg(short, long, env = "IBID_COLLECTION", value_name = "NAME")]
    pub collection: Option<String>,
    /// Files that are uploaded at a time
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
    pub jobs: u16,
    /// Print what became of the files as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ibid documents`.
#[derive(Debug, Args)]
pub struct DocumentsArgs {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub action: Option<DocumentAction>,
    /// Flags of the list.
    #[command(flatten)]
    pub list: ListArgs,
    /// Print the server's answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// Which documents to list.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Of this collection only
    #[arg(short, long, env = "IBID_COLLECTION", value_name = "NAME")]
    pub collection: Option<String>,
    /// Of this state only: processing, ready, failed or deleting
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Documents to show
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Documents to skip
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub offset: u32,
}

/// What to do with documents.
#[derive(Debug, Subcommand)]
pub enum DocumentAction {
    /// List them (also without a subcommand)
    List(ListArgs),
    /// Show one
    Show {
        /// Its identifier, as the list shows it
        id: String,
    },
    /// Delete them: file, text, chunks and vectors
    Delete {
        /// Identifiers, as the list shows them
        #[arg(required = true)]
        id: Vec<String>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}
