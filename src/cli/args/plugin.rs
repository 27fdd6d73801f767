//! Flags of `ibid plugin`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
