//! Flags of `ibid pipeline`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `ibid pipeline`.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: PipelineAction,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What is made again of a document; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReindexScope {
    /// What is indexed of its chunks
    #[value(name = "re-embed")]
    Embed,
    /// Its chunks
    #[value(name = "re-chunk")]
    Chunk,
    /// Its text
    #[value(name = "re-extract")]
    Extract,
}

impl ReindexScope {
    /// As the protocol writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "re-embed",
            Self::Chunk => "re-chunk",
            Self::Extract => "re-extract",
        }
    }
}

/// What to do with pipelines.
#[derive(Debug, Subcommand)]
pub enum PipelineAction {
    /// Print the pipeline of a collection, defaults filled in, as TOML
    Show {
        /// The collection
        name: String,
        /// Print what it resolved to instead: plugin digests, model hash, numbers
        #[arg(long)]
        lock: bool,
    },
    /// Put another pipeline in place; asks where documents have to be made again
    Set {
        /// The collection
        name: String,
        /// The pipeline; what it leaves out takes the defaults
        file: PathBuf,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Show progress until the documents are made again
        #[arg(short, long)]
        wait: bool,
    },
    /// Make the documents of a collection again, by its pipeline and what is installed now
    Reindex {
        /// The collection
        name: String,
        /// Do this for every document, whatever else it needs
        #[arg(long)]
        redo: Option<ReindexScope>,
        /// Only tell what it would take
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Show progress until it is done
        #[arg(short, long)]
        wait: bool,
    },
    /// Stop a re-index; the collection stays as it was
    Cancel {
        /// The collection
        name: String,
    },
    /// Compare the pipeline of a collection with a file, and say what the change would take
    Diff {
        /// The collection
        name: String,
        /// The pipeline
        file: PathBuf,
    },
    /// Check a pipeline against what the server has: plugins, their settings, models
    Validate {
        /// The pipeline
        file: PathBuf,
    },
    /// Print the JSON Schema of pipelines, for editors; needs no server
    Schema,
}
