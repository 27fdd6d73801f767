//! `ibid health`: whether a server is ready, for what watches it.

use super::client::Client;
use super::{CliError, console};

/// Asks the server once.
///
/// # Errors
/// If it cannot be reached, or is not ready.
pub async fn run(client: &Client, json: bool) -> Result<(), CliError> {
    let (status, report) = client.probe(&["health"]).await?;
    if json {
        console::json(&report)?;
    }
    let word = |name: &str| report.get(name).and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned();
    if status != 200 {
        return Err(CliError::Failed(format!(
            "{} is {}: `{} health --json` says which of its services is down",
            client.server(),
            word("status"),
            console::program()
        )));
    }
    if json {
        Ok(())
    } else {
        console::line(&format!("{} is {}, version {}", client.server(), word("status"), word("version")))
    }
}
