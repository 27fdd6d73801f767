//! The commands, their flags, and the help that teaches them.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Where client commands look for the server.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";

const EXAMPLES: &str = "\
A first session, with a server in one shell and this in another:
  ibid ingest report.pdf notes.md         upload two files and wait until they can be asked about
  ibid ask \"What was the revenue in 2023?\"
  ibid search \"revenue\" --limit 5         passages only, no answer
  ibid documents                          what is in there
  ibid doctor                             when something does not work

Exit codes:
  0    done
  1    it failed, or part of it did: the message says what
  2    wrong usage or wrong settings
  3    no server answers
  130  interrupted with Ctrl-C";

const SETTINGS_HELP: &str = "\
Settings come from, in rising order: built-in values, a TOML file (--config, IBID_CONFIG, or ./ibid.toml),
IBID_* variables (server.listen is IBID_SERVER_LISTEN), flags. `ibid config` prints what holds.";

/// Ask your documents, and get answers that quote their sources.
#[derive(Debug, Parser)]
#[command(name = "ibid", version, after_help = EXAMPLES, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Server that client commands talk to
    #[arg(long, global = true, env = "IBID_SERVER", default_value = DEFAULT_SERVER, value_name = "URL")]
    pub server: String,

    /// Token or API key for a server that asks for one. Others on this machine can see a command line: better the variable or --token-file
    #[arg(long, global = true, env = "IBID_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,

    /// File that holds the token or API key
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// PEM file of the authorities that may have signed the server's certificate, in place of the system's
    #[arg(long, global = true, env = "IBID_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    #[command(after_help = SETTINGS_HELP)]
    Serve(ServeArgs),
    /// Upload files, and wait until they can be asked about
    #[command(after_help = "\
Examples:
  ibid ingest *.pdf
  ibid ingest -r ~/papers --collection papers

Exit code 1 if any file failed; the others are in. Uploading the same bytes again changes nothing.")]
    Ingest(IngestArgs),
    /// Ask a question: the answer as it is made, then its sources
    #[command(after_help = "\
Examples:
  ibid ask \"What is the gain from the separation?\"
  ibid ask --mode comprehensive --collection papers \"How do the two methods differ?\"
  ibid ask --json \"Who signed the contract?\" | jq .citations

Ctrl-C stops the query on the server as well.")]
    Ask(AskArgs),
    /// Ask one question after another, from a terminal or a pipe
    #[command(after_help = "\
Examples:
  ibid chat --collection papers
  ibid chat --json < questions.txt > answers.jsonl

In the conversation /help lists what there is beside questions. Of questions from a pipe the first that fails ends it.")]
    Chat(ChatArgs),
    /// Find passages, without an answer
    #[command(after_help = "\
Examples:
  ibid search \"notice period\"
  ibid search --type keyword --limit 3 \"ISO 27001\"")]
    Search(SearchArgs),
    /// Measure how well a set of questions is answered, side by side for collections, pipelines and modes
    #[command(after_help = "\
Examples:
  ibid eval questions.jsonl --collection filings --mode balanced --mode comprehensive --html report.html
  ibid eval questions.jsonl --documents pdfs/ --pipeline short.json --pipeline long.json
  ibid eval questions.jsonl --collection filings --json > baseline.json
  ibid eval questions.jsonl --collection filings --gate baseline.json --gate 'hit@5>=0.8'

Each line of the file is a JSON object: a question, and the pages, spans or answer that are known to be right:
  {\"question\": \"How high was revenue?\", \"document\": \"report.pdf\", \"pages\": [4], \"answer\": \"$5,363\"}
docs/eval.md has all fields, what each metric means, and how the gate decides. Exit code 1 if the gate fails.")]
    Eval(EvalArgs),
    /// List, make, show and delete collections
    Collections(CollectionsArgs),
    /// Show, change, compare and check the pipelines of collections
    #[command(after_help = "\
Examples:
  ibid pipeline show papers > papers.toml
  ibid pipeline diff papers papers.toml     what would change, and what it takes
  ibid pipeline set papers papers.toml
  ibid pipeline validate examples/pipelines/footnotes.toml

Files are TOML, or JSON where their name ends in .json. Presets are in examples/pipelines/.")]
    Pipeline(PipelineArgs),
    /// List, show and delete documents
    Documents(DocumentsArgs),
    /// Copy all that a running server keeps into a new directory
    #[command(after_help = "\
The server goes on serving meanwhile; the backup is as of the moment that it began. It holds documents, vectors, the
catalog, installed plugins and hashes of API keys, but not the settings file. It needs the scope admin for all
collections. `ibid restore` puts it back.")]
    Backup(BackupArgs),
    /// Put a backup into an empty data directory; no server may run on it
    #[command(after_help = "Everything is checked before anything is put in place. Then: ibid serve --data-dir DIR")]
    Restore(RestoreArgs),
    /// Say what is missing or broken, and the command that mends it
    #[command(after_help = "Works with and without a running server. Exit code 1 if something is broken.")]
    Doctor(DoctorArgs),
    /// Say whether the server is ready; for container health checks and scripts
    #[command(after_help = "Exit code 0 if it is ready, 1 if a service that it needs is down, 3 if no server answers.")]
    Health {
        /// Print the server's whole report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what a shell needs to complete commands: `source <(ibid completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory: `ibid man ~/.local/share/man/man1`
    Man {
        /// The directory; it is made if it is not there
        dir: PathBuf,
    },
    /// Print the effective settings, and where each came from
    #[command(after_help = SETTINGS_HELP)]
    Config(ConfigArgs),
    /// Make, list and revoke API keys
    Key(KeyArgs),
    /// Make tokens for development
    Token(TokenArgs),
    /// Convert embedding models
    Model(ModelArgs),
    /// Build plugins
    Plugin(PluginArgs),
}

/// Flags that find and change settings.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingsArgs {
    /// Settings file [default: ./ibid.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where documents, index and catalog live [setting: data_dir]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where lib/, models/ and plugins/ are [setting: share_dir]
    #[arg(long, value_name = "DIR")]
    pub share_dir: Option<PathBuf>,
    /// Address and port of the server [setting: server.listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Any other setting, such as log.level=debug; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `ibid serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `ibid backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where to: a directory that is not there yet, or empty
    pub dir: PathBuf,
    /// Print what was copied as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ibid restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    pub dir: PathBuf,
    /// Settings: which data directory.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Print what was put back as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ibid doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Print the checks as JSON
    #[arg(long)]
    pub json: bool,
    /// Mend what is wrong in the data directory; its server must be stopped
    #[arg(long)]
    pub repair: bool,
}

/// `ibid config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
    /// Print all settings there are, as a page of Markdown
    #[arg(long, conflicts_with = "json")]
    pub reference: bool,
}

/// `ibid key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: KeyAction,
}

/// What to do with API keys. A running server takes note within a second or two.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Make a key, and print it: it is shown this once
    #[command(after_help = "\
Examples:
  ibid key new laptop --role admin
  ibid key new website --scope read --collection public --collection 'news-*' --expires 90d

Scopes: read, write, delete, config, monitor, admin. Roles: viewer (read), user (and write), manager (and delete), admin (all).")]
    New {
        /// What it is for; unique
        name: String,
        /// What it may do, and in which collections.
        #[command(flatten)]
        grant: GrantArgs,
        /// When it ends, such as 12h, 90d or 52w [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List the keys; the keys themselves are not kept
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// End a key: requests with it are refused, and its sockets are closed
    Revoke {
        /// The key's name or identifier
        name: String,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, Default, Args)]
pub struct GrantArgs {
    /// What it may do; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// The same by a word; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Collection, or pattern such as 'team-*', that it may touch; may be repeated [default: all]
    #[arg(short, long = "collection", value_name = "NAME")]
    pub collections: Vec<String>,
}

/// `ibid token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: TokenAction,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Sign a JSON Web Token with the secret or private key of the settings, and print it
    #[command(after_help = "\
Example:
  export IBID_TOKEN=$(ibid token mint --role user --expires 8h)

It signs by auth.algorithm with auth.secret, auth.secret_file or auth.private_key_file, and takes the first of auth.issuers and
auth.audiences. For development: a service for others has somebody else who signs.")]
    Mint {
        /// Who it is for
        #[arg(long, default_value = "developer", value_name = "NAME")]
        sub: String,
        /// What it may do, and in which collections.
        #[command(flatten)]
        grant: GrantArgs,
        /// When it ends, such as 30m, 12h or 90d
        #[arg(long, default_value = "1h", value_name = "TIME")]
        expires: String,
        /// Name of the key, where there are several
        #[arg(long, value_name = "KID")]
        kid: Option<String>,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

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
pub enum RedoArg {
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

impl RedoArg {
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
        redo: Option<RedoArg>,
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

/// `ibid model`.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ModelAction,
}

/// `ibid model pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Model in the hub, such as sentence-transformers/all-MiniLM-L12-v2, or a directory
    #[arg(value_name = "NAME|DIR")]
    pub source: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// Name of the installed model [default: the last part of the model's own]
    #[arg(long)]
    pub name: Option<String>,
    /// Replace another model of that name
    #[arg(long)]
    pub force: bool,
    /// What to put before a question, where config_sentence_transformers.json does not say it
    #[arg(long, value_name = "TEXT")]
    pub query_prefix: Option<String>,
    /// What to put before a passage, likewise
    #[arg(long, value_name = "TEXT")]
    pub document_prefix: Option<String>,
    /// The ONNX model to take as it is, such as onnx/model.onnx
    #[arg(long, value_name = "FILE")]
    pub onnx: Option<String>,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelAction {
    /// Show the embedding models and rerankers that are installed, and which of them a server has loaded
    List {
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
        /// JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a published embedding model or reranker from a hub, or take it from a directory, and install it
    #[command(after_help = "\
Examples:
  ibid model pull sentence-transformers/all-MiniLM-L12-v2
  ibid model pull intfloat/e5-small-v2 --query-prefix 'query: ' --document-prefix 'passage: '
  ibid model pull BAAI/bge-m3 --onnx onnx/model.onnx
  ibid model pull cross-encoder/ms-marco-MiniLM-L6-v2
  ibid model pull ./our-model --name our-model

Only the files that `ibid model convert` reads are fetched, and converted into models/ of the share directory. What breaks off is gone on with when
the command is run again; what comes is compared with the checksum that the hub tells. The setting embedder.hub_url names
another hub that serves files as NAME/resolve/REVISION/FILE. The variable HF_TOKEN holds a token for models that need one.

A server that runs finds the model when a pipeline names it.")]
    Pull(PullArgs),
    /// Make a model directory (ONNX graph and tokenizer) from a published embedding model or reranker
    #[command(after_help = "\
Examples:
  ibid model convert target/share/ibid/sources/all-MiniLM-L6-v2 target/share/ibid/models/all-MiniLM-L6-v2
  ibid model convert e5-small-v2 models/e5-small-v2 --query-prefix 'query: ' --document-prefix 'passage: '
  ibid model convert bge-m3 models/bge-m3 --onnx onnx/model.onnx

Safetensors of BERT, RoBERTa, XLM-RoBERTa, MPNet and DistilBERT become a graph of Ibid's own, which has all precisions.
A source without safetensors, or with --onnx, keeps its ONNX model. Pooling, normalisation, length and
prompts are read from the source's configuration files. A cross-encoder (...ForSequenceClassification with one label, or an ONNX model
whose output is logits of [batch, 1]) becomes a reranker.

The target's last component becomes the model's name, for the setting embedder.model and for pipelines. Nothing is done where
the target is what the source would give.")]
    Convert {
        /// Directory with model.safetensors or an ONNX model, config.json, tokenizer.json, ...
        source: PathBuf,
        /// Directory to make; replaced if it is there
        target: PathBuf,
        /// Convert even if the target is up to date
        #[arg(long)]
        force: bool,
        /// What to put before a question, where config_sentence_transformers.json does not say it
        #[arg(long, value_name = "TEXT")]
        query_prefix: Option<String>,
        /// What to put before a passage, likewise
        #[arg(long, value_name = "TEXT")]
        document_prefix: Option<String>,
        /// The ONNX model in SOURCE to take as it is
        #[arg(long, value_name = "FILE")]
        onnx: Option<PathBuf>,
    },
}

/// `ibid plugin`.
#[derive(Debug, Args)]
pub struct PluginArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: PluginAction,
}

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// Reads a file format
    Extractor,
    /// Cuts documents into chunks
    Chunker,
    /// Understands questions
    Analyzer,
    /// Writes citations
    Formatter,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LanguageArg {
    /// Compiled: the fastest and smallest
    Rust,
    /// JavaScript, with its interpreter (12 MB)
    #[value(alias = "javascript")]
    Js,
    /// Python, with its interpreter (18 MB)
    Python,
}

/// `ibid plugin bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The plugin's directory
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Measure this component rather than build one
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
    /// Compare with this component [default: text, recursive, rules or numeric, as shipped]
    #[arg(long, value_name = "FILE")]
    pub beside: Option<PathBuf>,
    /// What the plugins are given, in the form of a fixture's input
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// About how long to measure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Where cargo keeps what it compiles [default: cargo's own choice]
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginAction {
    /// Begin a plugin: a small project that builds, with tests
    #[command(after_help = "\
Example:
  ibid plugin new --kind chunker by-paragraph
  ibid plugin new --kind analyzer --lang python phrases
  ibid plugin test by-paragraph")]
    New {
        /// Its name: lower case letters, digits and hyphens
        #[arg(value_name = "NAME")]
        name: String,
        /// What it is to do
        #[arg(short, long, value_enum)]
        kind: KindArg,
        /// What it is written in
        #[arg(short, long, value_enum, default_value_t = LanguageArg::Rust)]
        lang: LanguageArg,
        /// Where it goes [default: a directory of its name]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Compile plugins from source to components that the server loads
    #[command(after_help = "\
Example:
  ibid plugin build plugins/rules plugins/numeric --out target/share/ibid/plugins --target-dir target/wasm

A project in Rust needs the target wasm32-unknown-unknown. If it is missing, rustup is asked for it, else, as
root on Debian and Ubuntu, packages are installed. One in JavaScript needs Node.js with npm, one in Python pip;
componentize-js or componentize-py is fetched with them once. --no-install prevents all of that.")]
    Build {
        /// Plugin directories, each with plugin.toml and Cargo.toml, package.json or pyproject.toml
        #[arg(required = true, value_name = "DIR")]
        dirs: Vec<PathBuf>,
        /// Where the components go, as NAME.wasm
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Where cargo keeps what it compiles [default: cargo's own choice]
        #[arg(long, value_name = "DIR")]
        target_dir: Option<PathBuf>,
        /// Fail rather than install a missing toolchain
        #[arg(long)]
        no_install: bool,
        /// Show only what was built
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show what a component is and needs, and whether this version of Ibid runs it; needs no server
    Inspect {
        /// The component
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try a component over difficult samples, in the host that the server uses; needs no server
    Check {
        /// The component
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a project's fixtures in the host that the server uses; needs no server
    #[command(after_help = "\
Example:
  ibid plugin test by-paragraph
  ibid plugin test by-paragraph --bless

Each folder in fixtures/ is a call: input.* is what the plugin is given, config.json its settings,
expected.txt what it must make of it. The project is built first, into its own dist/.")]
    Test {
        /// The plugin's directory
        #[arg(value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// Test this component rather than build one
        #[arg(long, value_name = "FILE")]
        component: Option<PathBuf>,
        /// Where cargo keeps what it compiles [default: cargo's own choice]
        #[arg(long, value_name = "DIR")]
        target_dir: Option<PathBuf>,
        /// Write down what comes out as what is expected
        #[arg(long)]
        bless: bool,
    },
    /// Measure a plugin beside the one of its kind that ships with Ibid; needs no server
    #[command(after_help = "\
Example:
  ibid plugin bench by-paragraph
  ibid plugin bench mine --component dist/mine.wasm --beside dist/other.wasm --seconds 10

Both are called in turn, each with the settings that it has by default. Of an extractor the input is the project's
largest fixture, of the others a megabyte of prose, a question, or an answer of twenty statements.")]
    Bench(BenchArgs),
    /// Build a plugin whenever its sources change, install it into the running server, and show its log
    Dev {
        /// The plugin's directory
        #[arg(value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// Where cargo keeps what it compiles [default: cargo's own choice]
        #[arg(long, value_name = "DIR")]
        target_dir: Option<PathBuf>,
    },
    /// Publish a component to an OCI registry; needs no server
    #[command(after_help = "\
Example:
  ibid plugin push dist/by-paragraph.wasm ghcr.io/me/by-paragraph

The tag is the plugin's version, unless the reference names another. Credentials are those of `docker login`.
What is printed names exactly this component, whatever is pushed to the tag later.")]
    Push {
        /// The component, as `ibid plugin build` made it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where to: REGISTRY/NAME[:TAG]
        #[arg(value_name = "REFERENCE")]
        reference: String,
        /// Speak to the registry without TLS; one on this machine is spoken to so by itself
        #[arg(long)]
        plain_http: bool,
    },
    /// Fetch a component from an OCI registry into a file; needs no server
    #[command(after_help = "\
Example:
  ibid plugin pull ghcr.io/me/by-paragraph:0.1.0
  ibid plugin pull ghcr.io/me/by-paragraph@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")]
    Pull {
        /// What: REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST
        #[arg(value_name = "REFERENCE")]
        reference: String,
        /// Where it goes [default: NAME.wasm, by the plugin's own name]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Speak to the registry without TLS; one on this machine is spoken to so by itself
        #[arg(long)]
        plain_http: bool,
    },
    /// Install a component into the running server; pipelines that name it take it up at once
    #[command(after_help = "\
Example:
  ibid plugin install dist/by-paragraph.wasm
  ibid plugin install oci://ghcr.io/me/by-paragraph:0.1.0")]
    Install {
        /// The component, as `ibid plugin build` made it; or oci://REFERENCE, which is pulled first
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Take the place of a plugin of the same name and version
        #[arg(long)]
        replace: bool,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the server's plugins with their calls and states
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an installed plugin from the running server
    Remove {
        /// The plugin
        #[arg(value_name = "NAME[@VERSION]")]
        name: String,
        /// Also where collections' pipelines need it
        #[arg(long)]
        force: bool,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_list_needs_no_subcommand() {
        let cli = Cli::try_parse_from(["ibid", "documents", "--limit", "3", "--json"]).expect("parses");
        match cli.command {
            Command::Documents(args) => {
                assert!(args.action.is_none() && args.json && args.list.limit == 3)
            }
            other => panic!("{other:?}"),
        }
        assert!(Cli::try_parse_from(["ibid", "ask"]).is_err());
        assert!(Cli::try_parse_from(["ibid", "ask", "-n", "101", "x"]).is_err());
    }

    /// What a shell makes of a line: words, without quotes, comments, variables before the command, and what redirects.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for character in line.chars() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (None, '"' | '\'') => {
                    quote = Some(character);
                    word.get_or_insert_default();
                }
                (None, ' ') => words.extend(word.take()),
                (None, '#') if word.is_none() => break,
                (None, '|' | '>' | '<' | ';' | '&') => break,
                _ => word.get_or_insert_default().push(character),
            }
        }
        words.extend(word);
        let variables = words.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
        words.split_off(variables)
    }

    #[test]
    fn commands_on_the_pages_are_commands() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut pages = vec![root.join("README.md")];
        pages.extend(
            std::fs::read_dir(root.join("docs"))
                .expect("docs")
                .map(|entry| entry.expect("an entry").path()),
        );
        let mut seen = 0;
        for page in pages
            .iter()
            .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
        {
            let text = std::fs::read_to_string(page).expect("a page");
            let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
            for line in blocks.flat_map(str::lines) {
                let words = words(line);
                let name = words.first().map(String::as_str).unwrap_or_default();
                if !matches!(name, "ibid" | "target/release/ibid") {
                    continue;
                }
                seen += 1;
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{}: {line}\n{error}", page.display());
                }
            }
        }
        assert!(seen > 20, "{seen} commands");
    }
}
