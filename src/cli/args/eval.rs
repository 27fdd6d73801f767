//! Flags of `ibid eval`.

use super::query::{ModeArg, SearchTypeArg};
use clap::Args;
use std::path::PathBuf;

/// `ibid eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The questions, as JSON Lines
    #[arg(value_name = "FILE")]
    pub questions: PathBuf,
    /// Collection to ask; may be repeated
    #[arg(short, long, required_unless_present = "documents", value_name = "NAME")]
    pub collection: Vec<String>,
    /// Files or directories to upload into a collection of its own for each pipeline, deleted at the end; may be repeated
    #[arg(short, long, value_name = "PATH")]
    pub documents: Vec<PathBuf>,
    /// Pipeline, as a JSON file, for the documents; may be repeated [default: the server's]
    #[arg(short, long, requires = "documents", value_name = "FILE")]
    pub pipeline: Vec<PathBuf>,
    /// How much work to spend; may be repeated [default: the collection's]
    #[arg(short, long)]
    pub mode: Vec<ModeArg>,
    /// Which searches to run; may be repeated [default: what the mode says]
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub search_type: Vec<SearchTypeArg>,
    /// Whether a cross-encoder orders what was searched; may be repeated [default: what the mode says]
    #[arg(long, value_name = "BOOL")]
    pub rerank: Vec<bool>,
    /// Search only: ask for no answers
    #[arg(long)]
    pub no_answers: bool,
    /// Passages that an answer may look at, 1 to 100
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    pub max_results: u32,
    /// What must hold: a report of --json than which it must not be worse, or METRIC>=NUMBER, METRIC<=NUMBER; may be repeated
    #[arg(long, value_name = "FILE|THRESHOLD")]
    pub gate: Vec<String>,
    /// Confidence of the intervals
    #[arg(long, default_value_t = 0.95, value_parser = confidence, value_name = "SHARE")]
    pub confidence: f64,
    /// Where the random numbers of the intervals begin
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Write a report with plots and the worst questions to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep the collections that were made for the documents
    #[arg(long)]
    pub keep: bool,
    /// Print JSON, which --gate reads
    #[arg(long)]
    pub json: bool,
}

fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.5..1.0).contains(&share) => Ok(share),
        _ => Err("must be at least 0.5, and less than 1".to_owned()),
    }
}
