//! Flags of `ibid ask`, `chat` and `search`.

use clap::{Args, ValueEnum};

/// How much work a question is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Dense search only
    Speed,
    /// Dense and keyword search, fused
    Balanced,
    /// Several searches and more context
    Comprehensive,
}

impl ModeArg {
    /// As the protocol writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Balanced => "balanced",
            Self::Comprehensive => "comprehensive",
        }
    }
}

/// What is asked, and how.
#[derive(Debug, Args)]
pub struct AskOptions {
    /// Collection to ask
    #[arg(short, long, env = "IBID_COLLECTION", value_name = "NAME")]
    pub collection: Option<String>,
    /// How much work to spend [default: the server's, balanced]
    #[arg(short, long)]
    pub mode: Option<ModeArg>,
    /// Passages to look at, 1 to 100 [default: the server's, 10]
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    pub max_results: Option<u32>,
}

/// `ibid chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What to ask, and how.
    #[command(flatten)]
    pub options: AskOptions,
    /// Print each answer with its citations as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// `ibid ask`.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// The question; several words need no quotes
    #[arg(required = true, value_name = "QUESTION")]
    pub question: Vec<String>,
    /// What to ask, and how.
    #[command(flatten)]
    pub options: AskOptions,
    /// Print answer, citations and summary as JSON, once all is there
    #[arg(long)]
    pub json: bool,
}

/// Which searches are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SearchTypeArg {
    /// By meaning
    Semantic,
    /// By words (BM25)
    Keyword,
    /// Both, fused
    Hybrid,
}

impl SearchTypeArg {
    /// As the protocol writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Semantic => "semantic",
            Self::Keyword => "keyword",
            Self::Hybrid => "hybrid",
        }
    }
}

/// `ibid search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What to search for; several words need no quotes
    #[arg(required = true, value_name = "QUERY")]
    pub query: Vec<String>,
    /// Collection to search
    #[arg(short, long, env = "IBID_COLLECTION", value_name = "NAME")]
    pub collection: Option<String>,
    /// Passages to show, 1 to 100
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    pub limit: u32,
    /// Passages to skip
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000), value_name = "N")]
    pub offset: u32,
    /// Which searches to run [default: hybrid]
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub search_type: Option<SearchTypeArg>,
    /// How much work to spend [default: the server's, balanced]
    #[arg(short, long)]
    pub mode: Option<ModeArg>,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
}
