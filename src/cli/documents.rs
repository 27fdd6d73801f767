//! `ibid documents`.

use super::args::{DocumentAction, DocumentsArgs, ListArgs};
use super::client::Client;
use super::{CliError, console};
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal};

/// Lists, shows or deletes.
pub async fn run(client: &Client, args: DocumentsArgs) -> Result<(), CliError> {
    match args.action.unwrap_or(DocumentAction::List(args.list)) {
        DocumentAction::List(list) => self::list(client, list, args.json).await,
        DocumentAction::Show { id } => {
            let document = client.get(&["documents", &id], &[]).await?;
            if args.json {
                console::json(&document)
            } else {
                console::print(&details(&document))
            }
        }
        DocumentAction::Delete { id, yes } => {
            if !yes {
                confirm(&format!("Delete {}, files and all?", console::count(id.len() as u64, "document")))?;
            }
            let mut gone = Vec::new();
            for id in &id {
                let deleted = client.delete(&["documents", id], &[]).await?;
                if !args.json {
                    let chunks = console::count(number(&deleted, "/chunks_deleted"), "chunk");
                    console::line(&format!("Deleted {} ({chunks}).", text(&deleted, "/filename")))?;
                }
                gone.push(deleted);
            }
            if args.json { console::json(&json!(gone)) } else { Ok(()) }
        }
    }
}

async fn list(client: &Client, list: ListArgs, as_json: bool) -> Result<(), CliError> {
    let narrowed = list.collection.is_some() || list.status.is_some() || list.offset > 0;
    let mut query = vec![("limit", list.limit.to_string()), ("offset", list.offset.to_string())];
    query.extend(list.collection.map(|name| ("collection_name", name)));
    query.extend(list.status.map(|status| ("status", status)));
    let found = client.get(&["documents"], &query).await?;
    if as_json {
        return console::json(&found);
    }
    let documents = found
        .get("documents")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if documents.is_empty() {
        console::note(&match narrowed {
            true => "No such documents.".to_owned(),
            false => format!("No documents. Add some: {} ingest FILE", console::program()),
        });
        return Ok(());
    }
    let rows: Vec<_> = documents.iter().map(row).collect();
    let heads = ["ID", "FILE", "COLLECTION", "STATUS", "PAGES", "CHUNKS", "SIZE", "UPLOADED"];
    console::print(&console::table(&heads, &[4, 5, 6], &rows))?;
    let total = number(&found, "/pagination/total");
    let next = u64::from(list.offset) + documents.len() as u64;
    if next < total {
        console::note(&format!(
            "{} of {} shown; go on with --offset {next}",
            documents.len(),
            console::grouped(total)
        ));
    }
    Ok(())
}

fn row(document: &Value) -> Vec<String> {
    let pages = document
        .get("pages")
        .and_then(Value::as_u64)
        .map(console::grouped)
        .unwrap_or_default();
    vec![
        text(document, "/document_id"),
        text(document, "/filename"),
        text(document, "/collection_name"),
        text(document, "/status"),
        pages,
        console::grouped(number(document, "/chunks")),
        console::size(number(document, "/file_size")),
        text(document, "/upload_date").chars().take(19).collect(),
    ]
}

fn details(document: &Value) -> String {
    let mut out = String::new();
    let mut put = |name: &str, value: String| {
        if !value.is_empty() {
            out.push_str(&format!("{name:<15}{value}\n"));
        }
    };
    put("id", text(document, "/document_id"));
    put("file", text(document, "/filename"));
    put("collection", text(document, "/collection_name"));
    let state = text(document, "/processing_info/state");
    let status = text(document, "/status");
    put(
        "status",
        if state == status || state.is_empty() {
            status
        } else {
            format!("{status} ({state})")
        },
    );
    let error = document.pointer("/processing_info/error").filter(|error| !error.is_null());
    put(
        "error",
        error
            .map(|error| format!("{} [{}]", text(error, "/message"), text(error, "/code")))
            .unwrap_or_default(),
    );
    put("type", text(document, "/file_info/content_type"));
    put("size", console::size(number(document, "/file_info/size")));
    put("sha256", text(document, "/file_info/sha256"));
    put("uploaded", text(document, "/processing_info/upload_date"));
    for (key, value) in document.get("statistics").and_then(Value::as_object).into_iter().flatten() {
        put(&console::clean(key), value.as_u64().map(console::grouped).unwrap_or_default());
    }
    for (key, value) in document.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        put(&console::clean(key), console::shorten(value.as_str().unwrap_or_default(), 100));
    }
    out
}

fn text(value: &Value, pointer: &str) -> String {
    console::shorten(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default(), 100)
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// Asks before something is deleted. Where nobody can answer, `--yes` must have been given.
///
/// # Errors
/// If the answer is not yes.
pub fn confirm(question: &str) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Usage(format!(
            "{question} Nobody is there to answer: add --yes if that is meant"
        )));
    }
    console::note_part(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(CliError::Runtime)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::Incomplete("nothing was deleted".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_show_what_is_there_and_nothing_else() {
        let document = json!({
            "document_id": "d1", "filename": "a.pdf", "collection_name": "documents", "status": "failed",
            "file_info": { "size": 1200, "content_type": "application/pdf", "sha256": "ab" },
            "processing_info": { "state": "failed", "upload_date": "2026-01-01T00:00:00Z", "error": { "code": "PLUGIN_ERROR", "message": "broken" } },
            "metadata": { "title": "A" }, "statistics": { "pages": 3 }
        });
        let shown = details(&document);
        for line in [
            "id             d1",
            "status         failed\n",
            "error          broken [PLUGIN_ERROR]",
            "size           1.2 kB",
            "pages          3",
            "title          A",
        ] {
            assert!(shown.contains(line), "{line} not in\n{shown}");
        }
        assert!(!details(&json!({ "document_id": "d1" })).contains("error"));
    }
}
