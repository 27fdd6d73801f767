//! One question and its answer over an open `/ws/query`: what `ibid ask` and `ibid chat` share.

use super::answer::{Answer, Step};
use super::args::AskOptions;
use super::socket::Socket;
use super::{CliError, console};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::signal::unix::Signal;

/// How long the server gets to confirm a cancel.
const CANCEL: Duration = Duration::from_secs(2);

/// Asks `question` and returns the answer when it is whole. Where it is `shown`, its text is printed as it comes, and what the server
/// is doing meanwhile on a line of the terminal. `request_id` is of no other query in flight on this connection.
///
/// # Errors
/// [`CliError::Interrupted`] on a signal from `interrupts`: the server was asked to stop then. [`CliError::Server`] when it ended
/// with an error, and what [`Socket`] fails with. The line that was begun is ended in each case.
pub async fn ask(
    socket: &mut Socket,
    interrupts: &mut Signal,
    request_id: &str,
    question: &str,
    options: &AskOptions,
    shown: bool,
) -> Result<Answer, CliError> {
    let mut answer = Answer::to(request_id);
    let mut status = StatusLine::new(shown);
    let outcome = converse(socket, interrupts, &mut answer, &mut status, question, options, shown).await;
    status.clear();
    if matches!(outcome, Err(CliError::Interrupted)) {
        cancel(socket, request_id, &mut answer).await;
    }
    if outcome.is_err() && shown && answer.has_text() && !answer.ends_line() {
        console::line("")?;
    }
    outcome.map(|()| answer)
}

async fn converse(
    socket: &mut Socket,
    interrupts: &mut Signal,
    answer: &mut Answer,
    status: &mut StatusLine,
    question: &str,
    options: &AskOptions,
    shown: bool,
) -> Result<(), CliError> {
    socket
        .send(&json!({ "type": "query", "request_id": answer.request_id(), "data": request(question, options) }))
        .await?;
    loop {
        let message = tokio::select! {
            message = socket.next() => message?,
            _ = interrupts.recv() => return Err(CliError::Interrupted),
        };
        match answer.take(&message) {
            Step::Status(text) if !answer.has_text() => status.show(&text),
            Step::Status(_) | Step::Quiet => {}
            Step::Text(text) => {
                status.clear();
                if shown {
                    console::print(&text)?;
                }
            }
            Step::Complete | Step::Cancelled => return Ok(()),
            Step::Failed { code, message } => {
                return Err(CliError::Server {
                    code,
                    message,
                    retry_after: None,
                });
            }
        }
    }
}

fn request(question: &str, options: &AskOptions) -> Map<String, Value> {
    let optional = [
        ("collection_name", options.collection.as_deref().map(Value::from)),
        ("mode", options.mode.map(|mode| mode.name().into())),
        ("max_results", options.max_results.map(Value::from)),
    ];
    let always = [
        ("query", Some(question.into())),
        ("stream", Some(true.into())),
        ("include_sources", Some(true.into())),
    ];
    let all = always.into_iter().chain(optional);
    all.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Asks the server to stop, and reads on until it confirms, which takes moments.
async fn cancel(socket: &mut Socket, request_id: &str, answer: &mut Answer) {
    let told = async {
        socket
            .send(&json!({ "type": "control", "request_id": request_id, "data": { "action": "cancel" } }))
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
}

/// What comes after the answer's text: its sources on standard output, then warnings and a summary for people.
///
/// # Errors
/// [`CliError::Output`].
pub fn print_end(answer: &Answer) -> Result<(), CliError> {
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
