//! `ibid plugin install`, `list`, `remove` (of a running server), `new`, `test`, `bench`, `inspect`, `check` (of files), `push` and
//! `pull` (of registries).

use super::args::{BenchArgs, KindArg, LanguageArg};
use super::client::Client;
use super::{CliError, console};
use ibid_plugin_author as author;
use ibid_plugin_host::{Host, HostSettings, Kind, Manifest, digest_of, inspect};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Installs a component into the running server.
pub async fn install(client: &Client, file: PathBuf, replace: bool, as_json: bool) -> Result<(), CliError> {
    let bytes = match file.to_str().and_then(|file| file.strip_prefix("oci://")) {
        Some(reference) => {
            let pulled = author::pull(reference, false).await?;
            console::note(&format!("Pulled {}", pulled.pinned));
            pulled.component
        }
        None => read(&file)?,
    };
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

/// Lists the running server's plugins.
pub async fn list(client: &Client, as_json: bool) -> Result<(), CliError> {
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

/// Removes a plugin from the running server.
pub async fn remove(client: &Client, name: String, force: bool, as_json: bool) -> Result<(), CliError> {
    let (name, version) = name
        .split_once('@')
        .map_or((name.as_str(), None), |(name, version)| (name, Some(version)));
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

/// Publishes a component. Needs no server.
pub async fn push(file: PathBuf, reference: String, plain_http: bool, as_json: bool) -> Result<(), CliError> {
    let component = read(&file)?;
    let digest = digest_of(&component);
    let pinned = author::push(component, &reference, plain_http).await?;
    if as_json {
        return console::json(&json!({ "reference": pinned, "digest": digest }));
    }
    console::line(&format!("Pushed {pinned}"))
}

/// Fetches a component. Needs no server.
pub async fn pull(reference: String, output: Option<PathBuf>, plain_http: bool, as_json: bool) -> Result<(), CliError> {
    let pulled = author::pull(&reference, plain_http).await?;
    // A name that a registry's contents choose must not lead out of this directory: a plugin's cannot.
    let manifest = Manifest::of_component(&pulled.component).map_err(|error| CliError::Failed(format!("{reference}: {error}")))?;
    let path = output.unwrap_or_else(|| PathBuf::from(format!("{}.wasm", manifest.name)));
    std::fs::write(&path, &pulled.component).map_err(|source| CliError::File {
        path: path.clone(),
        source,
    })?;
    if as_json {
        return console::json(&json!({
            "name": manifest.name, "version": manifest.version.to_string(), "kind": manifest.kind, "file": path,
            "reference": pulled.pinned, "digest": digest_of(&pulled.component),
        }));
    }
    console::line(&format!(
        "Pulled {} {} ({}) to {}",
        manifest.name,
        manifest.version,
        manifest.kind,
        path.display()
    ))?;
    console::line(&format!("{}, component {}", pulled.pinned, digest_of(&pulled.component)))
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file).map_err(|source| CliError::File {
        path: file.to_owned(),
        source,
    })
}

/// The component that is named, or the project's, which is built.
fn component_of(dir: &Path, component: Option<PathBuf>, target_dir: Option<PathBuf>) -> Result<Vec<u8>, CliError> {
    match component {
        Some(file) => read(&file),
        None => read(&build_project(dir, target_dir)?.path),
    }
}

/// Builds the project in `dir` into its own `dist/`. Blocks.
pub fn build_project(dir: &Path, target_dir: Option<PathBuf>) -> Result<author::Built, CliError> {
    let options = author::BuildOptions {
        out: dir.join("dist"),
        target_dir,
        install: true,
        report: &console::note,
    };
    let built = author::build(&[dir.to_owned()], &options)?.pop();
    built.ok_or_else(|| CliError::Failed(format!("{} was not built", dir.display())))
}

/// Measures a plugin beside another. Needs no server.
pub async fn bench(args: BenchArgs) -> Result<(), CliError> {
    let failed = |why: String| CliError::Failed(why);
    let host = Host::new(HostSettings::default())?;
    let load = |bytes: &[u8]| {
        let began = Instant::now();
        let plugin = host.load(bytes)?;
        Ok::<_, CliError>((plugin, began.elapsed()))
    };
    let mut plugins = vec![load(&component_of(&args.dir, args.component, args.target_dir)?)?];
    let kind = plugins.first().map_or(Kind::Chunker, |(plugin, _)| plugin.kind());
    let beside = match args.beside {
        Some(file) => Some(file),
        None => shipped(kind),
    };
    match &beside {
        Some(file) => plugins.push(load(&read(file)?)?),
        None => console::note("The plugin of this kind that ships with Ibid is not here: measuring without it."),
    }
    if plugins.iter().any(|(plugin, _)| plugin.kind() != kind) {
        return Err(failed("the two are not of one kind".into()));
    }
    let input = match args.input {
        Some(file) => author::read_input(&file, kind)?,
        None if kind == Kind::Extractor => author::largest_input(&args.dir, kind)?.unwrap_or_else(|| author::sample(kind)),
        None => author::sample(kind),
    };
    let contenders: Vec<_> = plugins.iter().map(|(plugin, _)| plugin.clone()).collect();
    let measured = author::bench(&host, &contenders, &input, Duration::from_secs(args.seconds)).await?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    if args.json {
        let rows = plugins.iter().zip(&measured).map(|((plugin, load), measured)| {
            json!({
                "name": plugin.manifest().name, "version": plugin.manifest().version.to_string(), "digest": plugin.digest(),
                "compile_ms": load.as_secs_f64() * 1e3, "calls": measured.calls, "input_bytes": measured.input_bytes,
                "empty_p50_us": micros(measured.empty.p50), "empty_p99_us": micros(measured.empty.p99),
                "call_p50_us": micros(measured.call.p50), "call_p99_us": micros(measured.call.p99),
                "bytes_per_second": measured.bytes_per_second(), "peak_memory_bytes": measured.peak_memory_bytes,
            })
        });
        return console::json(&json!({ "kind": kind, "plugins": rows.collect::<Vec<_>>() }));
    }
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .zip(&measured)
        .map(|((plugin, load), measured)| {
            vec![
                format!("{} {}", plugin.manifest().name, plugin.manifest().version),
                shown(*load),
                shown(measured.empty.p50),
                shown(measured.call.p50),
                shown(measured.call.p99),
                match kind {
                    Kind::Extractor | Kind::Chunker => format!("{}/s", console::size(measured.bytes_per_second() as u64)),
                    Kind::Analyzer | Kind::Formatter => format!("{:.0} calls/s", 1.0 / measured.call.p50.as_secs_f64().max(1e-9)),
                },
                console::size(measured.peak_memory_bytes),
            ]
        })
        .collect();
    let heads = ["PLUGIN", "COMPILING", "EMPTY CALL", "CALL", "P99", "THROUGHPUT", "MEMORY"];
    console::print(&console::table(&heads, &[1, 2, 3, 4, 5, 6], &rows))?;
    if let ([(own, _), (other, _)], [first, second]) = (plugins.as_slice(), measured.as_slice()) {
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-9);
        console::line(&format!(
            "{} takes {:.2} times as long as {}; an empty call {:.2} times.",
            own.manifest().name,
            ratio(first.call.p50, second.call.p50),
            other.manifest().name,
            ratio(first.empty.p50, second.empty.p50)
        ))?;
    }
    Ok(())
}

/// The shipped plugin that one of this kind is compared with, if it is installed on this machine.
fn shipped(kind: Kind) -> Option<PathBuf> {
    let name = match kind {
        Kind::Extractor => "text",
        Kind::Chunker => "recursive",
        Kind::Analyzer => "rules",
        Kind::Formatter => "numeric",
    };
    let effective = super::tools::settings(&super::args::SettingsArgs::default()).ok()?;
    let file = effective.settings.share_dir.join(format!("plugins/{name}.wasm"));
    file.is_file().then_some(file)
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1_000.0 => format!("{micros:.0} us"),
        ..1_000_000.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// Runs a project's fixtures, building it first unless a component is named. Needs no server.
pub async fn test(
    dir: PathBuf,
    component: Option<PathBuf>,
    target_dir: Option<PathBuf>,
    bless: bool,
    as_json: bool,
) -> Result<(), CliError> {
    let failed = |why: String| CliError::Failed(why);
    let bytes = component_of(&dir, component, target_dir)?;
    let host = Host::new(HostSettings::default())?;
    let plugin = host.load(&bytes)?;
    let reports = author::test(&host, &plugin, &dir, bless).await?;
    let ends = reports.iter().map(|report| {
        let (end, mark, detail) = match &report.end {
            author::FixtureEnd::Passed => ("passed", "ok  ", String::new()),
            author::FixtureEnd::Blessed => ("blessed", "new ", String::new()),
            author::FixtureEnd::Differs(diff) => ("differs", "FAIL", diff.clone()),
            author::FixtureEnd::Unblessed(listing) => (
                "unblessed",
                "FAIL",
                format!("expected.txt is missing; --bless would write:\n{listing}"),
            ),
            author::FixtureEnd::Broken(why) => ("broken", "FAIL", why.clone()),
        };
        (report, end, mark, detail)
    });
    if as_json {
        let fixtures = ends
            .clone()
            .map(|(report, end, _, detail)| json!({ "name": report.name, "good": report.end.is_good(), "end": end, "detail": detail }));
        console::json(&json!({ "digest": plugin.digest(), "fixtures": fixtures.collect::<Vec<_>>() }))?;
    }
    for (report, _, mark, detail) in ends.filter(|_| !as_json) {
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
pub fn new(name: &str, kind: KindArg, lang: LanguageArg, dir: Option<PathBuf>, as_json: bool) -> Result<(), CliError> {
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
    let files = author::new_project(&dir, name, kind, language)?;
    if as_json {
        return console::json(&json!({ "name": name, "kind": kind, "dir": dir, "files": files }));
    }
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
    let interfaces = |all: &[ibid_plugin_host::Interface]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
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
pub fn names(value: &Value, key: &str) -> Option<String> {
    let names: Vec<&str> = value.get(key)?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
