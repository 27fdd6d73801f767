//! `ibid ingest`: uploads files, a few at a time, and shows how far each one is.
//!
//! A file's outcome is the server's answer to its upload; its progress until then comes from
//! `/ws/upload`. Should that socket fail, only the progress is lost.

mod board;
mod files;
mod progress;

use super::args::IngestArgs;
use super::client::Client;
use super::{CliError, console};
use board::Board;
use files::Source;
use futures_util::{StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::io::ReaderStream;

/// Bytes that are read from a file at a time.
const BLOCK: usize = 256 << 10;
/// How often a server that is full is asked again.
const ATTEMPTS: u32 = 6;
/// The longest wait between two attempts.
const LONGEST_WAIT: u64 = 30;

/// Uploads everything, and fails if anything failed.
pub async fn run(client: Client, args: IngestArgs) -> Result<(), CliError> {
    let begun = Instant::now();
    let (sources, skipped) = files::collect(&args.files, args.recursive)?;
    if skipped > 0 {
        console::note(&format!(
            "Passing over {}: no PDF, Markdown or text.",
            console::count(skipped, "file")
        ));
    }
    let collection = args.collection.as_deref();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let board = Arc::new(Board::new(sources.len()));
    // The socket comes first, so that no event is missed; it also says at once if there is no server.
    let filter: Vec<_> = collection.map(|name| ("collection", name.to_owned())).into_iter().collect();
    let listener = match client.socket(&["ws", "upload"], &filter).await {
        Ok(mut socket) => {
            let board = board.clone();
            Some(tokio::spawn(async move {
                while let Ok(event) = socket.next().await {
                    board.take(&event);
                }
            }))
        }
        Err(error @ (CliError::Unreachable { .. } | CliError::Server { .. })) => return Err(error),
        Err(error) => {
            console::note(&format!("No progress is shown: {error}"));
            None
        }
    };
    let total = sources.len();
    let outcomes = {
        let (client, board) = (&client, &board);
        let uploads = stream::iter(sources)
            .map(move |source| async move {
                let outcome = one(client, board, &source, collection).await;
                (source, outcome)
            })
            .buffer_unordered(usize::from(args.jobs));
        let mut uploads = std::pin::pin!(uploads);
        let mut outcomes = Vec::with_capacity(total);
        loop {
            let (source, outcome) = tokio::select! {
                next = uploads.next() => match next {
                    Some(next) => next,
                    None => break,
                },
                _ = interrupts.recv() => {
                    board.clear();
                    let program = console::program();
                    console::note(&format!(
                        "Stopped after {} of {}. What the server has whole it still finishes: see `{program} documents`.",
                        outcomes.len(), console::count(total as u64, "file")
                    ));
                    return Err(CliError::Interrupted);
                }
            };
            // Without a server the other files would all fail alike.
            if let Err(error @ CliError::Unreachable { .. }) = outcome {
                board.clear();
                return Err(error);
            }
            if !args.json {
                board.above(|| console::line(&outcome_line(&source, &outcome)))?;
            }
            outcomes.push((source, outcome));
        }
        outcomes
    };
    board.clear();
    if let Some(listener) = listener {
        listener.abort();
    }
    summary(&outcomes, begun.elapsed(), args.json)
}

/// Uploads files, and what can be read in directories, one after the other, with a line for each on standard error.
///
/// # Errors
/// Of the first file that fails: whoever needs them needs all.
pub async fn quietly(client: &Client, paths: &[PathBuf], collection: &str) -> Result<(), CliError> {
    let (sources, _) = files::collect(paths, true)?;
    for source in sources {
        let outcome = attempts(client, &source, Some(collection)).await;
        let outcome = outcome.and_then(|body| document(client, &body));
        console::note(&outcome_line(&source, &outcome));
        outcome?;
    }
    Ok(())
}

/// Uploads one file. The error is the file's, unless the server is gone.
async fn one(client: &Client, board: &Board, source: &Source, collection: Option<&str>) -> Result<Value, CliError> {
    let place = board.begin(&source.name, source.size);
    let outcome = attempts(client, source, collection).await;
    board.end(place);
    document(client, &outcome?)
}

/// What became of the one file of an upload.
fn document(client: &Client, body: &Value) -> Result<Value, CliError> {
    let first = |key: &str| body.get(key).and_then(Value::as_array).and_then(|list| list.first()).cloned();
    match (first("uploaded_documents"), first("failed_documents")) {
        (Some(document), _) => Ok(document),
        (None, Some(failed)) => {
            let text = |key: &str| failed.pointer(&format!("/error/{key}")).and_then(Value::as_str).map(console::clean);
            Err(CliError::Server {
                code: text("code").unwrap_or_else(|| "PROCESSING_ERROR".to_owned()),
                message: text("message").unwrap_or_else(|| "the server did not say why".to_owned()),
                retry_after: None,
            })
        }
        (None, None) => Err(CliError::Foreign {
            server: client.server(),
            reason: "it did not say what became of the file".to_owned(),
        }),
    }
}

/// A server that is full says when to come back.
async fn attempts(client: &Client, source: &Source, collection: Option<&str>) -> Result<Value, CliError> {
    let mut attempt = 1;
    loop {
        match client.upload(form(source, collection).await?).await {
            Err(CliError::Server {
                retry_after: Some(seconds),
                ..
            }) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(Duration::from_secs(seconds.clamp(1, LONGEST_WAIT))).await;
            }
            outcome => return outcome,
        }
    }
}

/// The fields come before the file, so that the server knows where it belongs when it arrives.
async fn form(source: &Source, collection: Option<&str>) -> Result<Form, CliError> {
    let unreadable = |error| CliError::File {
        path: source.path.clone(),
        source: error,
    };
    let file = tokio::fs::File::open(&source.path).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, BLOCK));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, size.into());
    let mut part = Part::stream_with_length(body, size).file_name(source.name.clone()).headers(headers);
    if let Some(mime) = mime_guess::from_path(&source.name).first_raw() {
        part = part.mime_str(mime).map_err(|error| CliError::Failed(error.to_string()))?;
    }
    let mut form = Form::new().text("wait", "true");
    if let Some(name) = collection {
        form = form.text("collection_name", name.to_owned());
    }
    Ok(form.part("files", part))
}

/// What became of a file, on one line.
fn outcome_line(source: &Source, outcome: &Result<Value, CliError>) -> String {
    let name = console::shorten(&source.name, 80);
    match outcome {
        Ok(document) if is_duplicate(document) => format!("{name}: already there, as {}", text(document, "document_id")),
        Ok(document) => {
            let number = |key: &str| document.get(key).and_then(Value::as_u64);
            let pages = number("pages")
                .map(|pages| format!("{}, ", console::count(pages, "page")))
                .unwrap_or_default();
            let chunks = console::count(number("chunks_created").unwrap_or_default(), "chunk");
            let seconds = document.get("processing_time").and_then(Value::as_f64).unwrap_or_default();
            let scanned = match (document.pointer("/metadata/needs_ocr"), document.get("metadata")) {
                (Some(needs), Some(metadata)) if needs == "true" => match text(metadata, "scanned_pages").as_str() {
                    "" => "; needs OCR: most pages are pictures of text".to_owned(),
                    pages => format!("; needs OCR: pictures of text on pages {pages}"),
                },
                _ => String::new(),
            };
            format!("{name}: {pages}{chunks}, {seconds:.1} s{scanned}")
        }
        Err(error) => format!("{name}: FAILED: {error}"),
    }
}

fn is_duplicate(document: &Value) -> bool {
    text(document, "status") == "duplicate"
}

fn text(value: &Value, key: &str) -> String {
    console::shorten(value.get(key).and_then(Value::as_str).unwrap_or_default(), 80)
}

fn summary(outcomes: &[(Source, Result<Value, CliError>)], time: Duration, as_json: bool) -> Result<(), CliError> {
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    let duplicates = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(is_duplicate))
        .count();
    let added = outcomes.len() - failed.len() - duplicates;
    if as_json {
        let documents: Vec<_> = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).collect();
        let failures: Vec<_> = failed.iter().map(|(source, outcome)| failure(source, outcome)).collect();
        console::json(&json!({ "uploaded_documents": documents, "failed_documents": failures, "total_time": time.as_secs_f64() }))?;
    } else if outcomes.len() > 1 {
        let present = if duplicates > 0 {
            format!(", {duplicates} already there")
        } else {
            String::new()
        };
        console::line(&format!(
            "{added} of {} added{present}, {} failed, {:.1} s",
            outcomes.len(),
            failed.len(),
            time.as_secs_f64()
        ))?;
    }
    if failed.is_empty() {
        if console::shows_progress() && !as_json {
            console::note(&format!("Ask about them: {} ask \"...\"", console::program()));
        }
        return Ok(());
    }
    let mut message = format!("{} failed", console::count(failed.len() as u64, "file"));
    // Each has been told of when it happened; after many others that line is out of sight.
    if outcomes.len() > 20 && !as_json {
        for (source, outcome) in &failed {
            message.push_str(&format!("\n  {}", outcome_line(source, outcome)));
        }
    }
    Err(CliError::Incomplete(message))
}

fn failure(source: &Source, outcome: &Result<Value, CliError>) -> Value {
    let (code, message) = match outcome {
        Err(CliError::Server { code, message, .. }) => (code.clone(), message.clone()),
        Err(error) => ("CLIENT_ERROR".to_owned(), error.to_string()),
        Ok(_) => Default::default(),
    };
    json!({ "filename": source.name, "path": source.path.to_string_lossy(), "error": { "code": code, "message": message } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_well() {
        let source = Source {
            path: "x/a.pdf".into(),
            name: "a.pdf".to_owned(),
            size: 10,
        };
        let document = json!({"document_id": "d1", "status": "success", "pages": 43, "chunks_created": 1412, "processing_time": 12.34});
        assert_eq!(outcome_line(&source, &Ok(document)), "a.pdf: 43 pages, 1,412 chunks, 12.3 s");
        let document = json!({"document_id": "d1", "status": "success", "chunks_created": 1, "processing_time": 0.1});
        assert_eq!(outcome_line(&source, &Ok(document)), "a.pdf: 1 chunk, 0.1 s");
        let document = json!({"document_id": "d1", "status": "duplicate"});
        assert_eq!(outcome_line(&source, &Ok(document)), "a.pdf: already there, as d1");
        let error = CliError::Server {
            code: "PLUGIN_ERROR".to_owned(),
            message: "not a PDF".to_owned(),
            retry_after: None,
        };
        assert_eq!(outcome_line(&source, &Err(error)), "a.pdf: FAILED: not a PDF [PLUGIN_ERROR]");
    }
}
