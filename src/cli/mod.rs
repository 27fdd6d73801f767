//! The command line: `ibid serve` runs the server, all other commands are its clients or its tools.
//!
//! Client commands speak the public protocol and nothing else, so that what they can do any client can. `serve`, `doctor`, `model` and
//! `plugin` call the modules that they are about. Results go to standard output, progress and notes to standard error.

mod answer;
mod args;
mod ask;
mod auth;
mod backup;
mod chat;
mod client;
mod collections;
mod console;
mod dev;
mod doctor;
mod documents;
mod error;
mod eval;
mod exchange;
mod health;
mod hub;
mod ingest;
mod keys;
mod live;
mod manual;
mod model;
mod pipeline;
mod plugin;
mod search;
mod serve;
mod socket;
mod tools;

pub use error::CliError;

use args::{Cli, Command};
use clap::Parser;
use client::Client;
use std::process::ExitCode;

/// Runs the command that the process was started with, and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(message) = error.report() {
                console::note(&format!("ibid: {message}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let connect = || {
        Client::new(
            &cli.server,
            auth::credential(cli.token.clone(), cli.token_file.as_deref())?,
            cli.ca.as_deref(),
        )
    };
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Ingest(args) => wait(async { ingest::run(connect()?, args).await }),
        Command::Ask(args) => wait(async { ask::run(&connect()?, args).await }),
        Command::Chat(args) => wait(async { chat::run(&connect()?, args).await }),
        Command::Search(args) => wait(async { search::run(&connect()?, args).await }),
        Command::Eval(args) => wait(async { eval::run(&connect()?, args).await }),
        Command::Collections(args) => wait(async { collections::run(&connect()?, args).await }),
        Command::Pipeline(args) => wait(async { pipeline::run(&connect()?, args).await }),
        Command::Documents(args) => wait(async { documents::run(&connect()?, args).await }),
        Command::Backup(args) => wait(async { backup::make(&connect()?, args).await }),
        Command::Restore(args) => wait(backup::put_back(args)),
        Command::Doctor(args) => {
            // Unless the user names a server, the one of the settings is looked at.
            let named = (cli.server != args::DEFAULT_SERVER).then(connect).transpose()?;
            wait(doctor::run(args, named))
        }
        Command::Health { json } => wait(async { health::run(&connect()?, json).await }),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(&dir),
        Command::Config(args) => tools::config(&args),
        Command::Key(args) => wait(keys::run(args.action)),
        Command::Token(args) => auth::token(args.action),
        Command::Model(args) => wait(model::run(connect(), args.action)),
        Command::Plugin(args) => match args.action {
            args::PluginAction::New {
                name,
                kind,
                lang,
                dir,
                json,
            } => plugin::new(&name, kind, lang, dir, json),
            build @ args::PluginAction::Build { .. } => tools::build(build),
            args::PluginAction::Inspect { file, json } => plugin::show(&file, json),
            args::PluginAction::Check { file, json } => wait(plugin::check(file, json)),
            args::PluginAction::Test {
                dir,
                component,
                target_dir,
                bless,
                json,
            } => wait(plugin::test(dir, component, target_dir, bless, json)),
            args::PluginAction::Bench(args) => wait(plugin::bench(args)),
            args::PluginAction::Push {
                file,
                reference,
                plain_http,
                json,
            } => wait(plugin::push(file, reference, plain_http, json)),
            args::PluginAction::Pull {
                reference,
                output,
                plain_http,
                json,
            } => wait(plugin::pull(reference, output, plain_http, json)),
            args::PluginAction::Dev { dir, target_dir } => wait(async { dev::run(connect()?, dir, target_dir).await }),
            args::PluginAction::Install { file, replace, json } => wait(async { plugin::install(&connect()?, file, replace, json).await }),
            args::PluginAction::List { json } => wait(async { plugin::list(&connect()?, json).await }),
            args::PluginAction::Remove { name, force, json } => wait(async { plugin::remove(&connect()?, name, force, json).await }),
        },
    }
}

/// Runs a client command: it waits for the network and nothing else, so one thread does.
fn wait(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let result = runtime.block_on(command);
    // A name lookup or a file read that hangs must not keep the command from ending.
    runtime.shutdown_background();
    result
}
