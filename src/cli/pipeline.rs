//! `ibid pipeline`: pipelines as files, and as collections have them.

use super::args::{PipelineAction, PipelineArgs};
use super::client::Client;
use super::documents::confirm;
use super::socket::Socket;
use super::{CliError, console};
use ibid_engine::pipeline_schema;
use indicatif::ProgressBar;
use serde_json::Value;
use std::path::Path;

/// Shows, changes, compares or checks.
pub async fn run(client: &Client, args: PipelineArgs) -> Result<(), CliError> {
    let as_json = args.json;
    match args.action {
        PipelineAction::Show { name, lock } => {
            let shown = client.get(&path(&name), &[]).await?;
            let part = shown.get(if lock { "lock" } else { "pipeline" }).unwrap_or(&Value::Null);
            match as_json {
                true => console::json(part),
                false => console::print(&console::clean(&toml_of(part)?)),
            }
        }
        PipelineAction::Set { name, file, yes, wait } => set(client, &name, &read(&file)?, (yes, wait), as_json).await,
        PipelineAction::Reindex {
            name,
            redo,
            dry_run,
            yes,
            wait,
        } => {
            let redo = redo.map(|redo| ("redo", redo.name().to_owned()));
            let query: Vec<_> = redo.into_iter().chain([("dry_run", "true".to_owned())]).collect();
            let path = ["collections", name.as_str(), "reindex"];
            let tried = client.post_with(&path, &query).await?;
            if dry_run {
                return match as_json {
                    true => console::json(&tried),
                    false => console::line(&cost(&tried)),
                };
            }
            if !yes {
                confirm(&format!("{} Begin?", cost(&tried)))?;
            }
            let watch = ReindexWatcher::open(client, &name, wait).await?;
            let query: Vec<_> = query.into_iter().filter(|(key, _)| *key == "redo").collect();
            let begun = client.post_with(&path, &query).await?;
            finish(client, &name, begun, watch, as_json).await
        }
        PipelineAction::Cancel { name } => {
            let ended = client.delete(&["collections", &name, "reindex"], &[]).await?;
            match as_json {
                true => console::json(&ended),
                false => console::line(&format!("The re-index of {name} has ended: {}.", status(&ended))),
            }
        }
        PipelineAction::Diff { name, file } => {
            let now = client.get(&path(&name), &[]).await?;
            let tried = plan(client, &name, &read(&file)?).await?;
            if as_json {
                return console::json(&tried);
            }
            let (old, new) = (part(&now)?, part(&tried)?);
            if old == new {
                console::note("No difference.");
                return Ok(());
            }
            let diff = similar::TextDiff::from_lines(&old, &new);
            console::print(
                &diff
                    .unified_diff()
                    .context_radius(2)
                    .header(&name, &file.to_string_lossy())
                    .to_string(),
            )?;
            console::note(&cost(&tried));
            Ok(())
        }
        PipelineAction::Validate { file } => {
            let checked = client.post(&["pipelines", "validate"], &read(&file)?).await?;
            match as_json {
                true => console::json(&checked),
                false => console::line(&format!("{}: would run.", file.display())),
            }
        }
        PipelineAction::Schema => console::json(&pipeline_schema()),
    }
}

fn path(name: &str) -> [&str; 3] {
    ["collections", name, "pipeline"]
}

async fn plan(client: &Client, name: &str, pipeline: &Value) -> Result<Value, CliError> {
    client.put(&path(name), &[("dry_run", "true".to_owned())], pipeline).await
}

async fn set(client: &Client, name: &str, pipeline: &Value, (yes, wait): (bool, bool), as_json: bool) -> Result<(), CliError> {
    let tried = plan(client, name, pipeline).await?;
    let costs = number(&tried, "documents_affected") > 0;
    if costs && !yes {
        confirm(&format!("{} Put it in place?", cost(&tried)))?;
    }
    let watch = ReindexWatcher::open(client, name, wait && costs).await?;
    let done = client.put(&path(name), &[], pipeline).await?;
    if done.get("reindex").is_some() {
        return finish(client, name, done, watch, as_json).await;
    }
    if as_json {
        return console::json(&done);
    }
    console::line(&match done.get("changed").and_then(Value::as_bool) {
        Some(true) => format!("{name} has the pipeline now."),
        _ => format!("{name} had that pipeline already."),
    })
}

/// Tells that a re-index has begun, or waits for its end.
async fn finish(client: &Client, name: &str, mut begun: Value, watch: Option<ReindexWatcher>, as_json: bool) -> Result<(), CliError> {
    let Some(watch) = watch else {
        if as_json {
            return console::json(&begun);
        }
        let program = console::program();
        return console::line(&format!(
            "{name} is being re-indexed; questions see the old index until that is done. `{program} collections info {name}` tells how far \
             it is, `{program} pipeline cancel {name}` stops it."
        ));
    };
    watch.end().await?;
    // The collection has the last word: what was missed of the events is in there.
    let info = client.get(&["collections", name, "info"], &[]).await?;
    let ended = info.get("reindex").cloned().unwrap_or_default();
    let what = status(&ended);
    if as_json {
        if let Some(begun) = begun.as_object_mut() {
            begun.insert("changed".to_owned(), (what == "success").into());
            begun.insert("reindex".to_owned(), ended.clone());
        }
        console::json(&begun)?;
    }
    if what != "success" {
        let why = ended.pointer("/error/message").and_then(Value::as_str).unwrap_or("it was stopped");
        return Err(CliError::Failed(format!("{name} is as it was: {}", console::clean(why))));
    }
    match as_json {
        true => Ok(()),
        false => console::line(&format!(
            "{name} is re-indexed: {}, {} of them with the vectors that they had.",
            console::count(number(&ended, "chunks_done"), "chunk"),
            console::grouped(number(&ended, "chunks_reused"))
        )),
    }
}

/// The state of a re-index.
fn status(reindex: &Value) -> String {
    console::clean(reindex.get("status").and_then(Value::as_str).unwrap_or_default())
}

/// The events of a collection, from before its re-index began.
struct ReindexWatcher {
    socket: Socket,
    bar: ProgressBar,
}

impl ReindexWatcher {
    /// Opens it, where it is `wanted`.
    async fn open(client: &Client, name: &str, wanted: bool) -> Result<Option<Self>, CliError> {
        if !wanted {
            return Ok(None);
        }
        let socket = client.socket(&["ws", "collections"], &[("collection", name.to_owned())]).await?;
        let bar = match console::shows_progress() {
            true => ProgressBar::new(1_000),
            false => ProgressBar::hidden(),
        };
        Ok(Some(Self { socket, bar }))
    }

    /// Shows progress until the re-index has ended.
    async fn end(mut self) -> Result<(), CliError> {
        loop {
            let event = self.socket.next().await?;
            let kind = event.get("type").and_then(Value::as_str);
            let progress = event.pointer("/data/progress").and_then(Value::as_f64);
            if let (Some("reindex_progress"), Some(progress)) = (kind, progress) {
                self.bar.set_position((progress * 1_000.0) as u64);
            }
            if kind == Some("reindex_complete") {
                self.bar.finish_and_clear();
                self.socket.close().await;
                return Ok(());
            }
        }
    }
}

/// What a change takes, as a sentence.
fn cost(tried: &Value) -> String {
    let redo = tried.get("redo").and_then(Value::as_str).unwrap_or_default();
    match number(tried, "documents_affected") {
        0 => "No document has to be made again.".to_owned(),
        documents => format!(
            "It takes to {} {} ({}).",
            console::clean(redo),
            console::count(documents, "document"),
            console::count(number(tried, "chunks_affected"), "chunk")
        ),
    }
}

/// A pipeline from a file, TOML or JSON by its name; without the `$schema` that editors read.
///
/// # Errors
/// If it cannot be read, or is neither.
fn read(file: &Path) -> Result<Value, CliError> {
    let text = std::fs::read_to_string(file).map_err(|source| CliError::File {
        path: file.to_owned(),
        source,
    })?;
    let wrong = |what: &str, issue: String| CliError::Usage(format!("{}: this is no {what}: {}", file.display(), issue.trim_end()));
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let mut pipeline: Value = match is_json {
        true => serde_json::from_str(&text).map_err(|error| wrong("JSON", error.to_string()))?,
        false => {
            let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong("TOML", error.to_string()))?;
            serde_json::to_value(table).map_err(|error| wrong("pipeline", error.to_string()))?
        }
    };
    if let Some(object) = pipeline.as_object_mut() {
        object.remove("$schema");
    }
    Ok(pipeline)
}

fn part(answer: &Value) -> Result<String, CliError> {
    toml_of(answer.get("pipeline").unwrap_or(&Value::Null))
}

fn toml_of(value: &Value) -> Result<String, CliError> {
    let table = toml::Table::try_from(value).and_then(|table| toml::to_string_pretty(&table));
    table.map_err(|error| CliError::Failed(format!("the server's answer has no form in TOML ({error}): --json shows it")))
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_read_by_their_names() {
        let home = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::write(&path, text).expect("writing");
            path
        };
        let wanted = json!({ "retrieval": { "limit": 3 } });
        assert_eq!(read(&file("a.toml", "[retrieval]\nlimit = 3\n")).expect("TOML"), wanted);
        let text = r#"{ "$schema": "http://127.0.0.1:8000/pipelines/schema", "retrieval": { "limit": 3 } }"#;
        assert_eq!(read(&file("a.JSON", text)).expect("JSON"), wanted);
        for (name, text, says) in [("b.toml", "[retrieval", "no TOML"), ("b.json", "{", "no JSON")] {
            let error = read(&file(name, text)).expect_err("broken").to_string();
            assert!(error.contains(name) && error.contains(says), "{error}");
        }
        assert!(matches!(read(&home.path().join("none.toml")), Err(CliError::File { .. })));
        assert_eq!(toml_of(&wanted).expect("TOML"), "[retrieval]\nlimit = 3\n");
    }

    #[test]
    fn a_cost_is_a_sentence() {
        let plan = json!({ "redo": "re-chunk", "documents_affected": 1, "chunks_affected": 1200 });
        assert_eq!(cost(&plan), "It takes to re-chunk 1 document (1,200 chunks).");
        assert_eq!(
            cost(&json!({ "redo": "nothing", "documents_affected": 0 })),
            "No document has to be made again."
        );
    }
}
