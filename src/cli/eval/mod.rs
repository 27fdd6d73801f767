//! `ibid eval`: measures how well a question set is answered, side by side for several collections, pipelines and modes.
//!
//! A client like any other: it searches, asks and reads texts through the public protocol. `docs/eval.md` is about the format of the
//! questions, the metrics and the gate.

mod bootstrap;
mod gate;
mod html;
mod measure;
mod metrics;
mod plots;
mod questions;
mod report;

use super::args::EvalArgs;
use super::client::Client;
use super::{CliError, console, ingest};
use bootstrap::Bootstrap;
use gate::Gate;
use measure::{Scope, Variant};
use questions::Question;
use report::Report;
use serde_json::{Value, json};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// A collection to measure, and what it is called in the report.
struct Target {
    label: String,
    collection: String,
}

/// Measures, prints, and fails if a gate does.
pub async fn run(client: &Client, args: EvalArgs) -> Result<(), CliError> {
    // Whatever is wrong with the command shows before the work.
    let questions = questions::read(&args.questions)?;
    let gates = args.gate.iter().map(|gate| gate::parse(gate)).collect::<Result<Vec<Gate>, _>>()?;
    let pipelines = pipelines(&args)?;
    let bootstrap = Bootstrap {
        seed: args.seed,
        confidence: args.confidence,
    };
    let mut made = Vec::new();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let outcome = tokio::select! {
        outcome = measured(client, &args, &questions, pipelines, &gates, bootstrap, &mut made) => outcome,
        _ = interrupts.recv() => Err(CliError::Interrupted),
    };
    let tidied = tidy(client, &made, args.keep).await;
    let report = outcome?;
    tidied?;

    if let Some(path) = &args.html {
        let unwritable = |source| CliError::File {
            path: path.clone(),
            source,
        };
        std::fs::write(path, html::page(&report, &questions)).map_err(unwritable)?;
    }
    match args.json {
        true => console::json(&serde_json::to_value(&report).map_err(|error| CliError::Failed(error.to_string()))?)?,
        false => console::print(&report.tables(console::colours_output()))?,
    }
    judge(&gates, &report, bootstrap)
}

fn judge(gates: &[Gate], report: &Report, bootstrap: Bootstrap) -> Result<(), CliError> {
    if gates.is_empty() {
        return Ok(());
    }
    let verdict = gate::check(gates, report, bootstrap)?;
    for line in verdict.notes.iter().chain(&verdict.failures) {
        console::note(line);
    }
    let checked = console::count(verdict.checked as u64, "comparison");
    match verdict.failures.len() {
        0 => {
            console::note(&format!("Gate passed: {checked}."));
            Ok(())
        }
        failed => Err(CliError::Incomplete(format!("gate failed: {failed} of {checked}"))),
    }
}

/// The pipelines that are tried on documents, each with its name; `null` is the server's default one.
fn pipelines(args: &EvalArgs) -> Result<Vec<(String, Value)>, CliError> {
    if args.documents.is_empty() {
        return Ok(Vec::new());
    }
    if args.pipeline.is_empty() {
        return Ok(vec![("default".to_owned(), Value::Null)]);
    }
    args.pipeline.iter().map(|path| pipeline(path)).collect()
}

fn pipeline(path: &Path) -> Result<(String, Value), CliError> {
    let text = std::fs::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })?;
    let pipeline: Value =
        serde_json::from_slice(&text).map_err(|error| CliError::Usage(format!("--pipeline {}: {error}", path.display())))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, pipeline))
}

/// Makes what has to be made (recorded in `made` as it happens, since an interrupt may come in between), and measures everything.
async fn measured(
    client: &Client,
    args: &EvalArgs,
    questions: &[Question],
    pipelines: Vec<(String, Value)>,
    gates: &[Gate],
    bootstrap: Bootstrap,
    made: &mut Vec<String>,
) -> Result<Report, CliError> {
    let mut targets = Vec::new();
    for name in &args.collection {
        // A spelling mistake is told before hours of work.
        client.get(&["collections", name, "info"], &[]).await?;
        targets.push(Target {
            label: name.clone(),
            collection: name.clone(),
        });
    }
    for (label, pipeline) in pipelines {
        let collection = format!("eval-{}", uuid::Uuid::new_v4().simple());
        let mut body = json!({ "name": collection });
        if let (Some(body), false) = (body.as_object_mut(), pipeline.is_null()) {
            body.insert("pipeline".to_owned(), pipeline);
        }
        made.push(collection.clone());
        client.post(&["collections"], &body).await?;
        console::note(&format!("Uploading for `{label}`:"));
        ingest::quietly(client, &args.documents, &collection).await?;
        targets.push(Target { label, collection });
    }
    let scope = Scope {
        answers: !args.no_answers,
        max_results: args.max_results,
    };
    let variants = variants(args, &targets);
    for variant in &variants {
        gate::comparable(gates, &variant.label)?;
    }
    let mut runs = Vec::new();
    for target in &targets {
        measure::check_documents(client, &target.collection, questions).await?;
    }
    for variant in &variants {
        runs.push(measure::run(client, variant, questions, scope, bootstrap).await?);
    }
    Ok(Report::new(questions.len(), bootstrap, runs))
}

/// Every collection with every mode, kind of search and order that was asked for. What was not asked for is not named.
fn variants(args: &EvalArgs, targets: &[Target]) -> Vec<Variant> {
    fn choices<T: Copy>(given: &[T]) -> Vec<Option<T>> {
        match given {
            [] => vec![None],
            given => given.iter().copied().map(Some).collect(),
        }
    }
    let mut variants = Vec::new();
    for target in targets {
        for mode in choices(&args.mode) {
            for search_type in choices(&args.search_type) {
                for rerank in choices(&args.rerank) {
                    let (mode, search_type) = (mode.map(|mode| mode.name()), search_type.map(|kind| kind.name()));
                    let order = rerank.map(|rerank| if rerank { "reranked" } else { "as fused" });
                    let parts: Vec<&str> = [Some(target.label.as_str()), mode, search_type, order]
                        .into_iter()
                        .flatten()
                        .collect();
                    variants.push(Variant {
                        label: parts.join(" "),
                        collection: target.collection.clone(),
                        mode,
                        search_type,
                        rerank,
                    });
                }
            }
        }
    }
    variants
}

/// Deletes the collections that were made, or names them.
async fn tidy(client: &Client, made: &[String], keep: bool) -> Result<(), CliError> {
    for name in made {
        if keep {
            console::note(&format!("Kept the collection {name}."));
            continue;
        }
        match client.delete(&["collections", name], &[("confirm", "true".to_owned())]).await {
            Ok(_) => {}
            // It was not made yet.
            Err(CliError::Server { code, .. }) if code == "COLLECTION_NOT_FOUND" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
