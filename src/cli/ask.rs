//! `ibid ask`: one query over `/ws/query`.

use super::args::AskArgs;
use super::client::Client;
use super::{CliError, console, exchange};
use tokio::signal::unix::{SignalKind, signal};

/// Asks, shows the answer as it comes, then its sources.
pub async fn run(client: &Client, args: AskArgs) -> Result<(), CliError> {
    let question = args.question.join(" ");
    if question.trim().is_empty() {
        return Err(CliError::Usage("the question is empty".to_owned()));
    }
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let mut socket = client.socket(&["ws", "query"], &[]).await?;
    // The only query on its connection.
    let answer = exchange::ask(&mut socket, &mut interrupts, "ask", &question, &args.options, !args.json).await;
    socket.close().await;
    let answer = answer?;
    if args.json {
        return console::json(&answer.to_json(&question));
    }
    exchange::print_end(&answer)
}
