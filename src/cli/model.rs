//! `ibid model`: the embedding models and rerankers that are installed, and how others become so.

use super::args::{ModelAction, PullArgs, SettingsArgs};
use super::client::Client;
use super::hub::{self, Hub};
use super::{CliError, console, tools};
use ibid_embed::convert::{self, CONVERTER_VERSION, Options};
use ibid_embed::{InstalledModel, ModelInfo, ModelKind, installed};
use ibid_types::secret::Secret;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Lists, fetches or converts. `client` is of the server that is asked what it has loaded.
pub async fn run(client: Result<Client, CliError>, action: ModelAction) -> Result<(), CliError> {
    match action {
        ModelAction::List { settings, json } => list(&client?, &settings, json).await,
        ModelAction::Pull(args) => pull(args).await,
        ModelAction::Convert {
            source,
            target,
            force,
            query_prefix,
            document_prefix,
            onnx,
            json,
        } => {
            let options = Options {
                query_prefix,
                document_prefix,
                onnx,
            };
            if !force && let Some(info) = up_to_date(&source, &target, &options) {
                return report(&info, &target, false, json);
            }
            console::note(&format!("Converting {} ...", source.display()));
            let info = convert::convert(&source, &target, &options).map_err(|error| CliError::Failed(error.to_string()))?;
            report(&info, &target, true, json)
        }
    }
}

/// Fetches a published model, or takes a directory, and installs what it converts to.
async fn pull(args: PullArgs) -> Result<(), CliError> {
    let settings = tools::settings(&args.settings)?.settings;
    let directory = Path::new(&args.source);
    let is_here = directory.is_dir();
    let own = match is_here {
        true => directory
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
        false => hub::local_name(&args.source).map(str::to_owned),
    };
    let name = args
        .name
        .or(own)
        .filter(|name| hub::local_name(name) == Some(name))
        .ok_or_else(|| {
            CliError::Usage(format!(
                "{}: give the model a name of letters, digits, `.`, `_` and `-`, by --name NAME",
                args.source
            ))
        })?;
    let options = Options {
        query_prefix: args.query_prefix,
        document_prefix: args.document_prefix,
        onnx: args.onnx.as_ref().map(PathBuf::from),
    };
    let target = settings.share_dir.join("models").join(&name);
    if is_here {
        return install(directory.to_owned(), target, options, args.force, args.json).await;
    }
    let token = std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty()).map(Secret::new);
    let hub = Hub::new(&settings.hub_url, token.as_ref(), &args.source, &args.revision)?;
    // Of its own for each model and revision, so that what broke off is gone on with.
    let revision = args.revision.replace('/', "-");
    let downloads = settings.share_dir.join("downloads");
    let source = downloads.join(format!("{}--{revision}", args.source.replace('/', "--")));
    hub.fetch(&source, args.onnx.as_deref()).await?;
    install(source.clone(), target, options, args.force, args.json).await?;
    // What was fetched is in the model now. That it cannot be removed is no reason to fail.
    let _ = tokio::fs::remove_dir_all(&source).await;
    let _ = tokio::fs::remove_dir(&downloads).await;
    Ok(())
}

/// Converts a directory into an installed model; takes the place of another one only with `--force`.
async fn install(source: PathBuf, target: PathBuf, options: Options, force: bool, json: bool) -> Result<(), CliError> {
    let work = move || {
        if let Some(info) = up_to_date(&source, &target, &options) {
            return report(&info, &target, false, json);
        }
        if target.exists() && !force {
            return Err(CliError::Failed(format!(
                "{} is there already, and is another one. Collections that were made with it could not be used with this one: give this one \
                 another name by --name NAME, or replace that one by --force",
                target.display()
            )));
        }
        if let Some(models) = target.parent() {
            std::fs::create_dir_all(models).map_err(|error| CliError::File {
                path: models.to_owned(),
                source: error,
            })?;
        }
        console::note(&format!("Converting {} ...", source.display()));
        let info = convert::convert(&source, &target, &options).map_err(|error| CliError::Failed(error.to_string()))?;
        report(&info, &target, true, json)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CliError::Failed(error.to_string()))?
}

/// Tells of the model that is in `target` now, and whether it was `made` or had been there.
fn report(info: &ModelInfo, target: &Path, made: bool, json: bool) -> Result<(), CliError> {
    if json {
        return console::json(&json!({
            "name": info.name, "kind": info.kind, "dimension": info.dimension, "max_tokens": info.max_tokens,
            "sha256": info.model_sha256, "directory": target, "changed": made,
        }));
    }
    if !made {
        return console::line(&format!("{} is up to date", target.display()));
    }
    let kind = match info.kind {
        ModelKind::Embedding => format!("{}, {} dimensions", info.kind.with_article(), info.dimension),
        ModelKind::Reranker => info.kind.with_article().to_owned(),
    };
    console::line(&format!(
        "{}: {kind}, {} tokens at most, in {}",
        info.name,
        info.max_tokens,
        target.display()
    ))
}

async fn list(client: &Client, settings: &SettingsArgs, json: bool) -> Result<(), CliError> {
    let settings = tools::settings(settings)?.settings;
    let directory = settings.share_dir.join("models");
    let models = installed(&directory);
    // Whether a server runs or not, there are models to show.
    let server = client.get(&["v1", "models"], &[]).await.ok();
    let models: Vec<Value> = models
        .iter()
        .map(|model| {
            let precisions = match model.info.ready {
                // A ready model has the numbers that its makers chose.
                Some(_) => vec!["as published"],
                None => vec!["fp32", "int8", "fp16"],
            };
            json!({
                "name": model.info.name,
                "kind": model.info.kind.name(),
                "dimension": (model.info.kind == ModelKind::Embedding).then_some(model.info.dimension),
                "max_tokens": model.info.max_tokens,
                "precisions": precisions,
                "sha256": model.info.model_sha256,
                "bytes": model.bytes,
                "default": model.info.name == settings.engine.model,
                "loaded": loaded(server.as_ref(), model),
            })
        })
        .collect();
    if json {
        return console::json(&json!({ "directory": directory, "models": models }));
    }
    if models.is_empty() {
        console::note(&format!(
            "No models are installed in {}. {} model pull NAME installs one.",
            directory.display(),
            console::program()
        ));
        return Ok(());
    }
    let text = |model: &Value, key: &str| model.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |model: &Value, key: &str| model.get(key).and_then(Value::as_u64).unwrap_or_default();
    let words = |value: Option<&Value>| {
        let words = value?.as_array()?.iter().filter_map(Value::as_str);
        Some(words.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            let loaded = match words(model.get("loaded")) {
                None => "?".to_owned(),
                Some(none) if none.is_empty() => "no".to_owned(),
                Some(precisions) => precisions,
            };
            let default = model.get("default").and_then(Value::as_bool) == Some(true);
            vec![
                format!(
                    "{}{}",
                    console::clean(&text(model, "name")),
                    if default { " (default)" } else { "" }
                ),
                text(model, "kind"),
                model
                    .get("dimension")
                    .and_then(Value::as_u64)
                    .map(|dimension| dimension.to_string())
                    .unwrap_or_default(),
                words(model.get("precisions")).unwrap_or_default(),
                console::size(number(model, "bytes")),
                loaded,
                text(model, "sha256").chars().take(12).collect(),
            ]
        })
        .collect();
    console::print(&console::table(
        &["NAME", "KIND", "DIMENSION", "PRECISION", "SIZE", "LOADED", "SHA-256"],
        &[2, 4],
        &rows,
    ))
}

/// The precisions in which the server has this very model loaded; `None` without a server, or one that has another model.
fn loaded(server: Option<&Value>, model: &InstalledModel) -> Option<Value> {
    let listed = server?.get("data")?.as_array()?.iter();
    let is_this = |listed: &&Value| {
        listed.get("id").and_then(Value::as_str) == Some(&model.info.name)
            && listed.get("sha256").and_then(Value::as_str) == Some(&model.info.model_sha256)
    };
    listed.into_iter().find(is_this)?.get("loaded").cloned()
}

/// The model in the target, if it is whole and what this converter would make of the source.
fn up_to_date(source: &Path, target: &Path, options: &Options) -> Option<ModelInfo> {
    let info = ModelInfo::read(target).ok()?;
    let same = |path: &Path, expected: &str| tools::sha256(path).is_ok_and(|found| found == expected);
    let asked = |option: &Option<String>, has: &str| option.as_ref().is_none_or(|asked| asked == has);
    let is_same = info.converter == CONVERTER_VERSION
        && target.file_name().is_some_and(|name| name.to_string_lossy() == info.name)
        && asked(&options.query_prefix, &info.query_prefix)
        && asked(&options.document_prefix, &info.document_prefix)
        && same(&convert::weights_file(source, options), &info.source_sha256)
        && same(&source.join("tokenizer.json"), &info.tokenizer_sha256)
        && same(&target.join("tokenizer.json"), &info.tokenizer_sha256)
        && same(&target.join("model.onnx"), &info.model_sha256)
        && info
            .ready
            .iter()
            .flat_map(|ready| &ready.external)
            .all(|(file, sha256)| same(&target.join(file), sha256));
    is_same.then_some(info)
}
