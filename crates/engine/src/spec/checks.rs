//! Checks of what a pipeline names against what is installed.

use super::{Lock, LockedModel};
use ibid_catalog::Collection;
use ibid_plugin_host::{GRANTABLE, Kind, Plugin};
use ibid_protocol::ApiError;
use serde_json::Value;

/// A model may be exchanged for another one under its old name: vectors of both would say nothing of one another.
pub(super) fn check_model(collection: &Collection, model: &LockedModel) -> Result<(), ApiError> {
    let Ok(Lock { model: locked, .. }) = serde_json::from_value::<Lock>(collection.lock.clone()) else {
        return Ok(());
    };
    if (&locked.sha256, locked.dimension) == (&model.sha256, model.dimension) {
        return Ok(());
    }
    let issue = format!(
        "the vectors of `{}` were made with `{}`, of {} dimensions and SHA-256 {}, but `{}` as it is installed has {} dimensions and SHA-256 \
         {}: put the former model back under its name, or upload the documents into a new collection",
        collection.name, locked.name, locked.dimension, locked.sha256, model.name, model.dimension, model.sha256
    );
    Err(ApiError::validation("pipeline.embedder.model", issue))
}

/// Only stages that an answer can do without may be skipped.
pub(super) fn check_skip(kind: Kind, key: &str) -> Result<(), ApiError> {
    match kind {
        Kind::Analyzer | Kind::Formatter => Ok(()),
        Kind::Extractor | Kind::Chunker => {
            let issue = format!(
                "without {} there is nothing to find: take \"fail\" or \"fallback\"",
                kind.with_article()
            );
            Err(ApiError::validation(&format!("{key}.on_failure"), issue))
        }
    }
}

/// Checks a configuration, which stands at `key`, against the plugin's JSON Schema, naming the key that is wrong.
pub(crate) fn check_config(plugin: &Plugin, key: &str, config: &Value) -> Result<(), ApiError> {
    let schema = &plugin.manifest().config_schema;
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| ApiError::validation(key, format!("the plugin's configuration schema is broken: {error}")))?;
    match validator.iter_errors(config).next() {
        None => Ok(()),
        Some(error) => {
            let path = error.instance_path().to_string().replace('/', ".");
            Err(ApiError::validation(&format!("{key}{path}"), error.to_string()))
        }
    }
}

/// Checks that what a plugin asks for is granted, and that what is granted is known.
pub(super) fn check_grants(plugin: &Plugin, key: &str, grants: &[String]) -> Result<(), ApiError> {
    let key = format!("{key}.grants");
    let offered = |grant: &str| GRANTABLE.contains(&grant) && plugin.kind().imports().contains(&grant);
    if let Some(unknown) = grants.iter().find(|grant| !offered(grant)) {
        let kind = plugin.kind().with_article();
        return Err(ApiError::validation(
            &key,
            format!("`{unknown}` is nothing that {kind} can be granted"),
        ));
    }
    match plugin
        .contract()
        .wanted_grants()
        .find(|wanted| !grants.iter().any(|grant| grant == wanted))
    {
        None => Ok(()),
        Some(wanted) => {
            let name = &plugin.manifest().name;
            let issue = format!(
                "`{name}` needs `{wanted}`, which runs the embedder for it: grant it by grants = [\"{wanted}\"], or take another plugin"
            );
            Err(ApiError::validation(&key, issue))
        }
    }
}
