//! `ibid ask`: one query over `/ws/query`.

use super::answer::{Answer, Step};
use super::args::AskArgs;
use super::client::{Client, Socket};
use super::{CliError, console};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The only query on its connection.
const REQUEST: &str = "ask";
/// How long the server gets to confirm a cancel.
const CANCEL: Duration = Duration::from_secs(2);

/// Asks, shows the answer as it comes, then its sources.
pub async fn run(client: &Client, args: AskArgs) -> Result<(), CliError> {
    let question = args.question.join(" ");
    if question.trim().is_empty() {
        return Err(CliError::Usage("the question is empty".to_owned()));
    }
    let mut data = Map::new();
    data.insert("query".to_owned(), question.as_str().into());
    data.insert("stream".to_owned(), true.into());
    data.insert("include_sources".to_owned(), true.into());
    let optional = [
        ("collection_name", args.collection.map(Value::from)),
        ("mode", args.mode.map(|mode| mode.name().into())),
        ("max_results", args.max_results.map(Value::from)),
    ];
    data.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));

    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let mut socket = client.socket(&["ws", "query"], &[]).await?;
    socket
        .send(&json!({ "type": "query", "request_id": REQUEST, "data": data }))
        .await?;
    let mut answer = Answer::to(REQUEST);
    let mut status = StatusLine::new(!args.json);
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = interrupts.recv() => {
                status.clear();
                cancel(socket, &mut answer).await;
                if answer.has_text() && !args.json && !answer.ends_line() {
                    console::line("")?;
                }
                return Err(CliError::Interrupted);
            }
        };
        match message.inspect_err(|_| status.clear()).map(|message| answer.take(&message))? {
            Step::Status(text) if !answer.has_text() => status.show(&text),
            Step::Status(_) | Step::Quiet => {}
            Step::Text(text) => {
                status.clear();
                if !args.json {
                    console::print(&text)?;
                }
            }
            Step::Complete | Step::Cancelled => break,
            Step::Failed { code, message } => {
                status.clear();
                if answer.has_text() && !args.json {
                    console::line("")?;
                }
                return Err(CliError::Server {
                    code,
                    message,
                    retry_after: None,
                });
            }
        }
    }
    status.clear();
    socket.close().await;
    if args.json {
        return console::json(&answer.to_json(&question));
    }
    let mut end = if answer.ends_line() { String::new() } else { "\n".to_owned() };
    let sources = answer.sources();
    if !sources.is_empty() {
        end.push('\n');
    }
    for source in sources {
        end.push_str(&source);
        end.push('\n');
    }
    console::print(&end)?;
    for warning in answer.warnings() {
        console::note(&format!("Warning: {warning}"));
    }
    if console::shows_progress() {
        console::note(&format!("\n{}", answer.summary()));
    }
    Ok(())
}

/// Tells the server to stop, and hears it out: it confirms within moments.
async fn cancel(mut socket: Socket, answer: &mut Answer) {
    let told = async {
        socket
            .send(&json!({ "type": "control", "request_id": REQUEST, "data": { "action": "cancel" } }))
            .await?;
        loop {
            match answer.take(&socket.next().await?) {
                Step::Complete | Step::Cancelled | Step::Failed { .. } => {
                    return Ok::<_, CliError>(());
                }
                Step::Status(_) | Step::Text(_) | Step::Quiet => {}
            }
        }
    };
    // Closing the connection cancels as well: nothing depends on the confirmation.
    let _ = tokio::time::timeout(CANCEL, told).await;
    socket.close().await;
}

/// What the server is doing, on a line of the terminal that goes when the answer comes.
struct StatusLine {
    wanted: bool,
    shown: bool,
}

impl StatusLine {
    fn new(wanted: bool) -> Self {
        Self {
            wanted: wanted && console::shows_progress(),
            shown: false,
        }
    }

    fn show(&mut self, text: &str) {
        if self.wanted {
            console::note_part(&format!("\r\x1b[K{}", console::shorten(text, 70)));
            self.shown = true;
        }
    }

    fn clear(&mut self) {
        if self.shown {
            console::note_part("\r\x1b[K");
            self.shown = false;
        }
    }
}
