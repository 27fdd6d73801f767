//! `ibid chat`: questions one after another over one `/ws/query`, from a terminal or a pipe.

use super::args::{ChatArgs, ModeArg};
use super::client::Client;
use super::socket::Socket;
use super::{CliError, console, exchange};
use clap::ValueEnum;
use std::io::BufRead;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

const HELP: &str = "\
Ask in your own words; each question is answered for itself, from the documents alone.
  /collection NAME  ask another collection (without NAME: the server's default)
  /mode MODE        speed, balanced or comprehensive (without MODE: the server's default)
  /sources          the last answer's sources once more
  /help             this
  /quit             end, as Ctrl-D does
Ctrl-C stops an answer, and ends the conversation where none is being given.";

/// Asks what standard input says, line by line, until it ends.
pub async fn run(client: &Client, mut args: ChatArgs) -> Result<(), CliError> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let mut lines = input();
    // The connection is made before the first prompt, so that one learns of a server that is not there before writing a question.
    let mut socket = Some(client.socket(&["ws", "query"], &[]).await?);
    let prompts = console::is_conversation();
    if prompts {
        console::note(&format!("Connected to {}. /help says what there is; Ctrl-D ends.", client.server()));
    }
    let mut last_sources: Vec<String> = Vec::new();
    for turn in 1_u64.. {
        let Some(line) = next_line(&mut lines, &mut interrupts, prompts).await? else {
            break;
        };
        let line = line.trim();
        if let Some(command) = line.strip_prefix('/') {
            let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
            let argument = Some(argument.trim().to_owned()).filter(|argument| !argument.is_empty());
            match name {
                "quit" | "exit" => break,
                "sources" => last_sources.iter().try_for_each(|source| console::line(source))?,
                "collection" => args.options.collection = argument,
                "mode" => match argument.map(|mode| ModeArg::from_str(&mode, true)).transpose() {
                    Ok(mode) => args.options.mode = mode,
                    Err(_) => console::note("a mode is speed, balanced or comprehensive"),
                },
                _ => console::note(HELP),
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let connection = match &mut socket {
            Some(socket) => socket,
            None => socket.insert(client.socket(&["ws", "query"], &[]).await?),
        };
        match exchange::ask(connection, &mut interrupts, &turn.to_string(), line, &args.options, !args.json).await {
            Ok(answer) if args.json => console::line(&answer.to_json(line).to_string())?,
            Ok(answer) => {
                exchange::print_end(&answer)?;
                last_sources = answer.sources();
            }
            // The server may have had no time to confirm: what it still sends must not meet the next question.
            Err(CliError::Interrupted) if prompts => close(&mut socket).await,
            Err(error @ CliError::Server { .. }) if prompts => console::note(&format!("ibid: {error}")),
            Err(error @ CliError::Broken { .. }) if prompts => {
                console::note(&format!("ibid: {error}\nThe next question connects again."));
                socket = None;
            }
            Err(error) => {
                close(&mut socket).await;
                return Err(error);
            }
        }
        if !args.json {
            console::line("")?;
        }
    }
    close(&mut socket).await;
    Ok(())
}

async fn close(socket: &mut Option<Socket>) {
    if let Some(socket) = socket.take() {
        socket.close().await;
    }
}

/// The next line, `None` at the end of input or when the user interrupts the prompt; of a pipe an interrupt is an error.
async fn next_line(
    lines: &mut mpsc::Receiver<std::io::Result<String>>,
    interrupts: &mut Signal,
    prompts: bool,
) -> Result<Option<String>, CliError> {
    if prompts {
        console::note_part(&console::bold("> "));
    }
    let line = tokio::select! {
        line = lines.recv() => line,
        _ = interrupts.recv() => match prompts {
            true => None,
            false => return Err(CliError::Interrupted),
        },
    };
    if line.is_none() && prompts {
        console::note("");
    }
    line.transpose().map_err(|source| CliError::File {
        path: "standard input".into(),
        source,
    })
}

/// Lines of standard input, read on a thread of their own: a read of a terminal cannot be given up.
fn input() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
