//! `ibid pipeline`: pipelines as files, and as collections have them.

use super::args::{PipelineAction, PipelineArgs};
use super::client::Client;
use super::documents::confirm;
use super::{CliError, console};
use crate::pipeline::pipeline_schema;
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
        PipelineAction::Set { name, file, yes } => set(client, &name, &read(&file)?, yes, as_json).await,
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

async fn set(client: &Client, name: &str, pipeline: &Value, yes: bool, as_json: bool) -> Result<(), CliError> {
    let tried = plan(client, name, pipeline).await?;
    let costs = number(&tried, "documents_affected") > 0;
    if costs && !yes {
        confirm(&format!("{} Put it in place?", cost(&tried)))?;
    }
    let done = client.put(&path(name), &[], pipeline).await?;
    if as_json {
        return console::json(&done);
    }
    console::line(&match done.get("changed").and_then(Value::as_bool) {
        Some(true) => format!("{name} has the pipeline now."),
        _ => format!("{name} had that pipeline already."),
    })
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
