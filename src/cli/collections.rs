//! `ibid collections`.

use super::args::{CollectionAction, CollectionsArgs};
use super::client::Client;
use super::documents::confirm;
use super::{CliError, console};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a move is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Lists, makes, shows or deletes.
pub async fn run(client: &Client, args: CollectionsArgs) -> Result<(), CliError> {
    match args.action.unwrap_or(CollectionAction::List) {
        CollectionAction::List => {
            let list = client.get(&["collections"], &[]).await?;
            if args.json {
                return console::json(&list);
            }
            let collections = list
                .get("collections")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            if collections.is_empty() {
                console::note(&format!(
                    "No collections yet. The first upload makes one: {} ingest FILE",
                    console::program()
                ));
                return Ok(());
            }
            let rows: Vec<_> = collections.iter().map(row).collect();
            console::print(&console::table(
                &["NAME", "DOCUMENTS", "CHUNKS", "SIZE", "UPDATED"],
                &[1, 2, 3],
                &rows,
            ))
        }
        CollectionAction::Create { name, description } => {
            let made = client
                .post(&["collections"], &json!({ "name": name, "description": description }))
                .await?;
            if args.json {
                console::json(&made)
            } else {
                console::line(&format!("Made the collection {}.", text(&made, "name")))
            }
        }
        CollectionAction::Info { name } => {
            // It holds the pipeline and its lock, which have no shorter form that is not JSON.
            console::json(&client.get(&["collections", &name, "info"], &[]).await?)
        }
        CollectionAction::Move { name, to, no_wait } => {
            let place = move_to(client, &name, &to, !no_wait && !args.json).await?;
            if args.json {
                return console::json(&place);
            }
            let moving = place.get("move").cloned().unwrap_or_default();
            match text(&moving, "status").as_str() {
                "failed" if text(&place, "index") != to => Err(CliError::Failed(format!(
                    "The collection {name} was not moved: {}",
                    moving.get("message").and_then(Value::as_str).unwrap_or("the server's log says why")
                ))),
                "moving" => console::line(&format!("The collection {name} is being moved to {to}.")),
                _ => console::line(&format!("The collection {name} is in {to}.")),
            }
        }
        CollectionAction::Delete { name, yes } => {
            if !yes {
                let info = client.get(&["collections", &name, "info"], &[]).await?;
                let documents = console::count(number(&info, "total_documents"), "document");
                confirm(&format!("Delete the collection {name} with {documents}?"))?;
            }
            let gone = client.delete(&["collections", &name], &[("confirm", "true".to_owned())]).await?;
            if args.json {
                console::json(&gone)
            } else {
                console::line(&format!("Deleted the collection {name}."))
            }
        }
    }
}

/// Has a collection moved, and waits for it if that is wanted.
async fn move_to(client: &Client, name: &str, to: &str, wait: bool) -> Result<Value, CliError> {
    let path = ["collections", name, "index"];
    let mut place = client.put(&path, &[], &json!({ "index": to })).await?;
    let mut told = String::new();
    while wait && place.get("move").is_some_and(|moving| text(moving, "status") == "moving") {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        place = client.get(&path, &[]).await?;
        let moving = place.get("move").cloned().unwrap_or_default();
        let state = match moving.get("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => format!(
                "{} of {} chunks copied",
                console::grouped(number(&moving, "chunks_copied")),
                console::grouped(number(&moving, "chunks_total"))
            ),
        };
        if state != told {
            console::note(&state);
            told = state;
        }
    }
    Ok(place)
}

fn row(collection: &Value) -> Vec<String> {
    let megabytes = collection.get("storage_size_mb").and_then(Value::as_f64).unwrap_or_default();
    vec![
        text(collection, "name"),
        console::grouped(number(collection, "total_documents")),
        console::grouped(number(collection, "total_chunks")),
        console::size((megabytes * 1e6) as u64),
        text(collection, "last_updated").chars().take(19).collect(),
    ]
}

fn text(value: &Value, key: &str) -> String {
    console::shorten(value.get(key).and_then(Value::as_str).unwrap_or_default(), 80)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}
