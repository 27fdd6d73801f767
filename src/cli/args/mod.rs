//! The commands, their flags, and the help that teaches them: what all commands share is here, the flags of each in a module beside it.

mod access;
mod collections;
mod documents;
mod eval;
mod model;
mod pipeline;
mod plugin;
mod query;
mod server;

pub use access::{GrantArgs, KeyAction, KeyArgs, TokenAction, TokenArgs};
pub use collections::{CollectionAction, CollectionsArgs};
pub use documents::{DocumentAction, DocumentsArgs, IngestArgs, ListArgs};
pub use eval::EvalArgs;
pub use model::{ModelAction, ModelArgs, PullArgs};
pub use pipeline::{PipelineAction, PipelineArgs};
pub use plugin::{BenchArgs, KindArg, LanguageArg, PluginAction, PluginArgs};
pub use query::{AskArgs, AskOptions, ChatArgs, ModeArg, SearchArgs};
pub use server::{BackupArgs, ConfigArgs, DoctorArgs, RestoreArgs, ServeArgs};

use clap::{Args, Parser, Subcommand};
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

    /// The commands that have none of their own, by their names from `ibid` on.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
        let own: Vec<_> = command.get_subcommands().collect();
        let has_json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        if own.is_empty() {
            found.push((path.trim_start().to_owned(), has_json));
        }
        for inner in own {
            leaves(inner, &format!("{path} {}", inner.get_name()), found);
        }
    }

    #[test]
    fn what_prints_data_prints_json_as_well() {
        let mut command = Cli::command();
        // Flags that hold for all below them are known there afterwards.
        command.build();
        let mut found = Vec::new();
        leaves(&command, "", &mut found);
        let without: Vec<&str> = found.iter().filter(|(_, has)| !has).map(|(name, _)| name.as_str()).collect();
        // None of these prints data.
        assert_eq!(without, ["serve", "completions", "man", "plugin dev"]);
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
