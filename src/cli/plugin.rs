//! `ibid plugin install`, `list`, `remove` (of a running server), `new`, `inspect` and `check` (of files).

use super::args::{KindArg, LanguageArg, PluginAction};
use super::client::Client;
use super::{CliError, console};
use crate::plugin::{Host, HostSettings, Kind, Manifest, author, digest_of, inspect};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Runs a command that asks the server.
pub async fn run(client: &Client, action: PluginAction) -> Result<(), CliError> {
    match action {
        PluginAction::Install { file, replace, json } => install(client, &file, replace, json).await,
        PluginAction::List { json } => list(client, json).await,
        PluginAction::Remove { name, force, json } => remove(client, &name, force, json).await,
        PluginAction::New { .. }
        | PluginAction::Build { .. }
        | PluginAction::Inspect { .. }
        | PluginAction::Check { .. }
        | PluginAction::Test { .. } => Ok(()),
    }
}

async fn install(client: &Client, file: &Path, replace: bool, as_json: bool) -> Result<(), CliError> {
    let bytes = std::fs::read(file).map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    let answer = client.install(bytes, replace).await?;
    if as_json {
        return console::json(&answer);
    }
    let plugin = answer.get("plugin").unwrap_or(&Value::Null);
    console::line(&format!(
        "Installed {} {} ({}), {}",
        text(plugin, "name"),
        text(plugin, "version"),
        text(plugin, "kind"),
        text(plugin, "digest")
    ))?;
    if let Some(moved) = names(&answer, "moved") {
        console::line(&format!("Collections that use it from now on: {moved}"))?;
    }
    Ok(())
}

async fn list(client: &Client, as_json: bool) -> Result<(), CliError> {
    let list = client.get(&["plugins"], &[]).await?;
    if as_json {
        return console::json(&list);
    }
    let plugins = list.get("plugins").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<_> = plugins
        .iter()
        .map(|plugin| {
            let stat = |key: &str| plugin.pointer(&format!("/stats/{key}")).and_then(Value::as_u64).unwrap_or_default();
            vec![
                text(plugin, "name").to_owned(),
                text(plugin, "version").to_owned(),
                text(plugin, "kind").to_owned(),
                text(plugin, "source").to_owned(),
                text(plugin, "state").to_owned(),
                console::grouped(stat("calls")),
                console::grouped(stat("faults")),
                text(plugin, "digest").chars().take(19).collect(),
            ]
        })
        .collect();
    console::print(&console::table(
        &["NAME", "VERSION", "KIND", "SOURCE", "STATE", "CALLS", "FAULTS", "DIGEST"],
        &[5, 6],
        &rows,
    ))
}

async fn remove(client: &Client, name: &str, force: bool, as_json: bool) -> Result<(), CliError> {
    let (name, version) = name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
    let mut query = vec![("force", force.to_string())];
    query.extend(version.map(|version| ("version", version.to_owned())));
    let gone = client.delete(&["plugins", name], &query).await?;
    if as_json {
        return console::json(&gone);
    }
    console::line(&format!("Removed {} {}.", text(&gone, "name"), text(&gone, "version")))?;
    if let Some(broken) = names(&gone, "broken") {
        console::line(&format!("Collections that cannot run until it is back: {broken}"))?;
    }
    Ok(())
}

/// Tries a component, and says what was found. Needs no server.
pub async fn check(file: PathBuf, as_json: bool) -> Result<(), CliError> {
    let failed = |why: String| CliError::Failed(format!("{}: {why}", file.display()));
    let component = std::fs::read(&file).map_err(|error| failed(error.to_string()))?;
    let host = Host::new(HostSettings::default()).map_err(|error| failed(error.to_string()))?;
    let report = author::check(&host, &component).await.map_err(|error| failed(error.to_string()))?;
    if as_json {
        let findings = report
            .findings
            .iter()
            .map(|finding| json!({ "name": finding.name, "good": finding.good, "detail": finding.detail }));
        console::json(&json!({
            "good": report.is_good(), "findings": findings.collect::<Vec<_>>(),
            "longest_ms": report.longest.as_secs_f64() * 1e3, "peak_memory_bytes": report.peak_memory_bytes,
        }))?;
    } else {
        for finding in &report.findings {
            let mark = if finding.good { "ok  " } else { "FAIL" };
            console::line(&format!("{mark}  {:28}  {}", finding.name, console::clean(&finding.detail)))?;
        }
        let longest = report.longest.as_secs_f64() * 1e3;
        console::line(&format!(
            "Longest call {longest:.1} ms, most memory {}.",
            console::size(report.peak_memory_bytes)
        ))?;
    }
    let bad = report.findings.iter().filter(|finding| !finding.good).count() as u64;
    if bad == 0 {
        Ok(())
    } else {
        Err(failed(format!("{} not as it should be", console::count(bad, "thing"))))
    }
}

/// Runs a project's fixtures, building it first unless a component is named. Needs no server.
pub async fn test(dir: PathBuf, component: Option<PathBuf>, target_dir: Option<PathBuf>, bless: bool) -> Result<(), CliError> {
    let failed = |why: String| CliError::Failed(why);
    let file = match component {
        Some(file) => file,
        None => {
            let options = author::BuildOptions {
                out: dir.join("dist"),
                target_dir,
                install: true,
                report: &console::note,
            };
            let built = author::build(std::slice::from_ref(&dir), &options).map_err(|error| failed(error.to_string()))?;
            built.into_iter().map(|built| built.path).next().unwrap_or_default()
        }
    };
    let bytes = std::fs::read(&file).map_err(|error| failed(format!("{}: {error}", file.display())))?;
    let host = Host::new(HostSettings::default()).map_err(|error| failed(error.to_string()))?;
    let plugin = host.load(&bytes).map_err(|error| failed(error.to_string()))?;
    let reports = author::test(&host, &plugin, &dir, bless)
        .await
        .map_err(|error| failed(error.to_string()))?;
    for report in &reports {
        let (mark, detail) = match &report.end {
            author::FixtureEnd::Passed => ("ok  ", String::new()),
            author::FixtureEnd::Blessed => ("new ", String::new()),
            author::FixtureEnd::Differs(diff) => ("FAIL", diff.clone()),
            author::FixtureEnd::Unblessed(listing) => ("FAIL", format!("expected.txt is missing; --bless would write:\n{listing}")),
            author::FixtureEnd::Broken(why) => ("FAIL", why.clone()),
        };
        console::line(&format!("{mark}  {}", console::clean(&report.name)))?;
        for line in detail.lines() {
            console::line(&format!("      {}", console::clean(line)))?;
        }
    }
    let bad = reports.iter().filter(|report| !report.end.is_good()).count() as u64;
    if bad == 0 {
        Ok(())
    } else {
        Err(failed(format!("{} not as expected", console::count(bad, "fixture"))))
    }
}

/// Writes a new project, and says how to go on. Needs no server.
pub fn new(name: &str, kind: KindArg, lang: LanguageArg, dir: Option<PathBuf>) -> Result<(), CliError> {
    let kind = match kind {
        KindArg::Extractor => Kind::Extractor,
        KindArg::Chunker => Kind::Chunker,
        KindArg::Analyzer => Kind::Analyzer,
        KindArg::Formatter => Kind::Formatter,
    };
    let language = match lang {
        LanguageArg::Rust => author::Language::Rust,
        LanguageArg::Js => author::Language::JavaScript,
        LanguageArg::Python => author::Language::Python,
    };
    let dir = dir.unwrap_or_else(|| PathBuf::from(name));
    let files = author::new_project(&dir, name, kind, language).map_err(|error| CliError::Failed(error.to_string()))?;
    let (program, shown) = (console::program(), dir.display());
    console::line(&format!(
        "Made {} in {shown}: {} files. Its README.md says what is where.",
        kind.with_article(),
        files.len()
    ))?;
    console::note(&format!("Next: {program} plugin test {shown}"));
    Ok(())
}

/// Shows what a component says of itself, and whether this version of Ibid would take it. Needs no server.
pub fn show(file: &Path, as_json: bool) -> Result<(), CliError> {
    let failed = |why: String| CliError::Failed(format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let manifest = Manifest::of_component(&bytes).map_err(|error| failed(error.to_string()))?;
    let contract = inspect(&bytes).map_err(failed)?;
    let verdict = contract.check(manifest.kind);
    let interfaces = |all: &[crate::plugin::Interface]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (imports, exports) = (interfaces(&contract.imports), interfaces(&contract.exports));
    let grants: Vec<&str> = contract.wanted_grants().collect();
    if as_json {
        console::json(&json!({
            "manifest": manifest, "digest": digest_of(&bytes), "size": bytes.len(), "imports": imports, "exports": exports,
            "grants": grants, "problem": verdict.as_ref().err(),
        }))?;
    } else {
        let mut out = format!("{} {} ({})\n", manifest.name, manifest.version, manifest.kind);
        let mut row = |head: &str, value: &str| {
            if !value.is_empty() {
                out.push_str(&format!("  {head:12}{}\n", console::clean(value)));
            }
        };
        row("", &manifest.description);
        row("digest", &digest_of(&bytes));
        row("size", &console::size(bytes.len() as u64));
        row("licence", &manifest.license);
        row("reads", &manifest.media_types.join(", "));
        row("exports", &exports.join(", "));
        row("imports", &imports.join(", "));
        row("must be granted", &grants.join(", "));
        row("settings", &settings(&manifest.config_schema).join(", "));
        console::print(&out)?;
    }
    verdict.map_err(|why| failed(format!("this version of Ibid cannot run it: {why}")))
}

fn settings(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Names in a list, joined; `None` if there are none.
fn names(value: &Value, key: &str) -> Option<String> {
    let names: Vec<&str> = value.get(key)?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
