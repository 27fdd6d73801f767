//! What has to be made again of documents, to get from one pipeline to another.

use crate::spec::pipelines::{Pipelines, Resolved};
use crate::spec::{Lock, LockedPlugin, Pipeline};
use ibid_catalog::DocumentRecord;
use ibid_plugin_host::Plugin;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What is made again, from least to most: each includes those before it. Vectors of texts that stay the same are copied, never
/// computed again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReindexScope {
    /// Nothing.
    #[default]
    Nothing,
    /// What is indexed of the chunks.
    #[serde(rename = "re-embed")]
    Embed,
    /// The chunks.
    #[serde(rename = "re-chunk")]
    Chunk,
    /// The text.
    #[serde(rename = "re-extract")]
    Extract,
}

impl ReindexScope {
    /// What a change of pipelines asks for, for some document at least.
    pub fn between(old: &Pipeline, new: &Pipeline) -> Self {
        if old.extractors != new.extractors {
            Self::Extract
        } else if old.chunker != new.chunker {
            Self::Chunk
        } else if old.embedder.model != new.embedder.model || old.retrieval.language != new.retrieval.language {
            Self::Embed
        } else {
            Self::Nothing
        }
    }

    /// What a document that `old` made needs, to be as `new` would make it by `chunker`. `extractor` is what would extract it: a plugin
    /// and its configuration; absent where there is none any more, so that its text has to stay.
    pub fn of_document(old: &Lock, new: &Lock, media_type: &str, chunker: &Plugin, extractor: Option<(&str, &str)>) -> Self {
        let same = |stage: &str, digest: &str| old.plugins.get(stage).is_none_or(|plugin| plugin.digest == digest);
        let config = |pipeline: &Pipeline| pipeline.extractors.get(media_type).map(|choice| choice.choice().config.to_string());
        let extracted = extractor.is_none_or(|(digest, wanted)| {
            let had = config(&old.pipeline).unwrap_or_else(|| "{}".to_owned());
            same("extractor", digest) && had == wanted
        });
        let (had, wanted) = (&old.pipeline.chunker, &new.pipeline.chunker);
        // A chunker that counts in the model's tokens, or compares by its vectors, may cut otherwise by another model.
        let by_model = chunker
            .contract()
            .imports
            .iter()
            .any(|import| matches!(import.name.as_str(), "tokens" | "embed"));
        let chunked = same("chunker", chunker.digest())
            && had.config == wanted.config
            && had.grants == wanted.grants
            && (old.model == new.model || !by_model);
        if !extracted {
            Self::Extract
        } else if !chunked {
            Self::Chunk
        } else if old.model != new.model || old.pipeline.retrieval.language != new.pipeline.retrieval.language {
            Self::Embed
        } else {
            Self::Nothing
        }
    }

    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Embed => "re-embed",
            Self::Chunk => "re-chunk",
            Self::Extract => "re-extract",
        }
    }

    /// The same, read.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Nothing, Self::Embed, Self::Chunk, Self::Extract]
            .into_iter()
            .find(|scope| scope.name() == name)
    }
}

impl Pipelines {
    /// Returns what of a document has to be made again to be as `target` makes it, and no less than `at_least`.
    pub(crate) fn scope_of(&self, document: &DocumentRecord, target: &Resolved, at_least: ReindexScope) -> ReindexScope {
        let Ok(old) = serde_json::from_value::<Lock>(document.lock.clone()) else {
            // Nothing is known of how it was made.
            return ReindexScope::Extract;
        };
        let extractor = self.extractor(&target.pipeline, &document.content_type).ok();
        let extractor = extractor.as_ref().map(|stage| (stage.plugin.digest(), stage.config.as_str()));
        let needed = ReindexScope::of_document(&old, &target.lock, &document.content_type, &target.chunker.plugin, extractor);
        needed.max(at_least)
    }
}

/// A document's lock, with what extracted it.
pub fn with_extractor(lock: &Value, extractor: Option<&LockedPlugin>) -> Value {
    let mut lock = lock.clone();
    if let Some(plugins) = lock.get_mut("plugins").and_then(Value::as_object_mut) {
        match extractor.and_then(|extractor| serde_json::to_value(extractor).ok()) {
            Some(extractor) => plugins.insert("extractor".to_owned(), extractor),
            None => plugins.remove("extractor"),
        };
    }
    lock
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(change: Value) -> Pipeline {
        Pipeline::parse(change).expect("a pipeline")
    }

    #[test]
    fn a_change_costs_what_the_first_stage_that_differs_costs() {
        let old = Pipeline::default();
        for (change, scope) in [
            (json!({}), ReindexScope::Nothing),
            (
                json!({ "analyzer": { "plugin": "passthrough" }, "citations": { "plugin": "footnotes" } }),
                ReindexScope::Nothing,
            ),
            (json!({ "retrieval": { "mode": "speed", "limit": 3 } }), ReindexScope::Nothing),
            (json!({ "reranker": { "model": "any" } }), ReindexScope::Nothing),
            (json!({ "retrieval": { "language": "german" } }), ReindexScope::Embed),
            (json!({ "chunker": { "plugin": "sentences" } }), ReindexScope::Chunk),
            (
                json!({ "chunker": { "plugin": "sentences" }, "extractors": { "text/html": "text" } }),
                ReindexScope::Extract,
            ),
        ] {
            assert_eq!(ReindexScope::between(&old, &with(change.clone())), scope, "{change}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for scope in [
            ReindexScope::Nothing,
            ReindexScope::Embed,
            ReindexScope::Chunk,
            ReindexScope::Extract,
        ] {
            assert_eq!(ReindexScope::parse(scope.name()), Some(scope));
            assert_eq!(serde_json::from_value::<ReindexScope>(json!(scope.name())).expect("read"), scope);
        }
        assert_eq!(ReindexScope::parse("everything"), None);
    }
}
