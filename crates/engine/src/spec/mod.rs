//! The pipeline of a collection, as data, and the lock that it resolves to.

pub(crate) mod chunker_imports;
pub(crate) mod generator;
pub(crate) mod pipelines;
pub(crate) mod policy;
pub(crate) mod reindex_scope;
pub(crate) mod schema;

use ibid_auth::{Scope, Subject};
use ibid_embed::Precision;
use ibid_protocol::{ApiError, Mode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A plugin and its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginChoice {
    /// `name`, `name@^1` or `name@sha256:...`.
    pub plugin: String,
    /// As the plugin's schema admits.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    pub config: Value,
    /// Imports beyond those of its kind that it may use: `embed` for a chunker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// What to do when it fails.
    #[serde(default, skip_serializing_if = "OnFailure::is_fail")]
    pub on_failure: OnFailure,
}

/// What to do when a stage's plugin fails: crashes, passes a limit, breaks the contract, gives up in its own words or is
/// quarantined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The query or upload fails with `PLUGIN_ERROR`.
    #[default]
    Fail,
    /// Go on with the plugin that ships for this stage, in its default configuration, and say so.
    Fallback,
    /// Go on without the stage, and say so: the question is searched as it is, the answer has no markers. Of no use to
    /// extractors and chunkers, without which there is nothing to find.
    Skip,
}

impl OnFailure {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Fallback => "fallback",
            Self::Skip => "skip",
        }
    }

    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

impl PluginChoice {
    fn named(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            config: empty_object(),
            grants: Vec::new(),
            on_failure: OnFailure::Fail,
        }
    }
}

fn empty_object() -> Value {
    json!({})
}

/// An extractor, by its name alone or with a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ExtractorChoice {
    /// `"pdf@^1"`.
    Name(String),
    /// `{ plugin = "pdf@^1", config = { ... } }`.
    Configured(PluginChoice),
}

impl ExtractorChoice {
    /// The plugin and its configuration.
    pub fn choice(&self) -> PluginChoice {
        match self {
            Self::Name(name) => PluginChoice::named(name),
            Self::Configured(choice) => choice.clone(),
        }
    }
}

/// The embedding model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedderChoice {
    /// Name of an installed model: a directory under `models/`. Empty for the server's default.
    pub model: String,
    /// The numbers that it computes in: of the server's settings where none is given. Vectors of all precisions may stand together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

/// How passages are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retrieval {
    /// What a query spends that does not say.
    pub mode: Mode,
    /// Passages that a query takes that does not say: 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    pub limit: u32,
    /// Weight of dense search in the fusion: 0 or more. Only its ratio to `sparse_weight` counts.
    #[schema(minimum = 0)]
    #[serde(serialize_with = "as_written")]
    pub dense_weight: f32,
    /// Weight of BM25 search in the fusion: 0 or more.
    #[schema(minimum = 0)]
    #[serde(serialize_with = "as_written")]
    pub sparse_weight: f32,
    /// What a search's result must have, as a share of the best one's relevance, 0 to 1; chunks that stand next to each other are one
    /// result. 0: each chunk is one, and none is left out. For hybrid searches in `balanced` and `comprehensive` that no reranker
    /// orders, without an offset; answers look at all that was found.
    #[schema(minimum = 0, maximum = 1)]
    #[serde(serialize_with = "as_written")]
    pub relative_threshold: f32,
    /// Language of the BM25 search's stemmer and stop words (English name, lower case).
    pub language: String,
}

/// A number as people wrote it: `0.4`, and not what is left of it between two lengths of floats.
fn as_written<S: serde::Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.to_string().parse().unwrap_or(f64::from(*value)))
}

/// The same, of one that may be left out.
fn as_written_if_any<S: serde::Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => as_written(value, serializer),
        None => serializer.serialize_none(),
    }
}

impl Default for Retrieval {
    fn default() -> Self {
        Self {
            mode: Mode::Balanced,
            limit: 10,
            dense_weight: 0.4,
            sparse_weight: 0.6,
            relative_threshold: 0.84,
            language: "english".to_owned(),
        }
    }
}

/// A cross-encoder, which reads the best passages again, each together with the question, and orders them by that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerankerChoice {
    /// Name of an installed reranker: a directory under `models/`.
    #[schema(min_length = 1)]
    pub model: String,
    /// The numbers that it computes in: of the server's settings where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// The modes whose queries it is used for. `rerank` of a search overrides it.
    #[serde(default = "RerankerChoice::default_modes")]
    pub modes: Vec<Mode>,
    /// Passages that it reads for a query: 1 to 200. At least as many as the query takes are read, up to 200.
    #[serde(default = "RerankerChoice::default_top_k")]
    #[schema(minimum = 1, maximum = 200)]
    pub top_k: u32,
}

impl RerankerChoice {
    /// The most passages that are read for a query.
    pub const MOST: u32 = 200;

    fn default_modes() -> Vec<Mode> {
        vec![Mode::Comprehensive]
    }

    fn default_top_k() -> u32 {
        30
    }

    fn validate(&self) -> Result<(), ApiError> {
        let wrong = |key: &str, issue: String| Err(ApiError::validation(&format!("pipeline.reranker.{key}"), issue));
        if self.model.is_empty() {
            return wrong("model", "must name an installed reranker, which `ibid model list` shows".to_owned());
        }
        match (1..=Self::MOST).contains(&self.top_k) {
            true => Ok(()),
            false => wrong("top_k", format!("must be 1 to {}, not {}", Self::MOST, self.top_k)),
        }
    }
}

/// What makes answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorKind {
    /// The server's default: a language model where its settings name one, else the built-in one.
    #[default]
    Auto,
    /// The built-in one: statements of the documents.
    Extractive,
    /// A language model, over an OpenAI-compatible server.
    Openai,
}

/// What makes answers, and how. All but `kind` is for language models; what is left out takes the server's settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorChoice {
    /// Which one.
    pub kind: GeneratorKind,
    /// Base address of the server, such as `http://127.0.0.1:11434/v1`: one that the operator allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Name of the model, as the server lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// System message; may hold `{language}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Message to the model: holds `{passages}` and `{question}`, may hold `{language}`; other braces are doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// For queries that set none: 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written_if_any")]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// Longest answer, in tokens: from 16 up to what the operator allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 1000000)]
    pub max_tokens: Option<u32>,
    /// Characters of passages in the prompt: 500 to 10,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 500, maximum = 10000000)]
    pub context_chars: Option<u32>,
    /// Longest time until the first token, retries included, in milliseconds: 100 to 3,600,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 3600000)]
    pub first_token_timeout_ms: Option<u64>,
    /// Longest time between two tokens, in milliseconds: 100 to 3,600,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 3600000)]
    pub idle_timeout_ms: Option<u64>,
    /// Times that a request is sent again before the first token: 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 10)]
    pub retries: Option<u32>,
    /// What to do when no answer can be had before the first token: `fail`, or `fallback` to the extractive generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

impl GeneratorChoice {
    fn validate(&self) -> Result<(), ApiError> {
        let wrong = |key: &str, issue: String| Err(ApiError::validation(&format!("pipeline.generator.{key}"), issue));
        if self.kind == GeneratorKind::Extractive {
            let others = [
                ("base_url", self.base_url.is_some()),
                ("model", self.model.is_some()),
                ("system", self.system.is_some()),
                ("prompt", self.prompt.is_some()),
                ("temperature", self.temperature.is_some()),
                ("max_tokens", self.max_tokens.is_some()),
                ("context_chars", self.context_chars.is_some()),
                ("first_token_timeout_ms", self.first_token_timeout_ms.is_some()),
                ("idle_timeout_ms", self.idle_timeout_ms.is_some()),
                ("retries", self.retries.is_some()),
                ("on_failure", self.on_failure.is_some()),
            ];
            if let Some((key, _)) = others.iter().find(|(_, given)| *given) {
                return wrong(
                    key,
                    "means nothing to the extractive generator: set `kind` to `openai`, or leave it out".to_owned(),
                );
            }
        }
        for (key, text) in [("base_url", &self.base_url), ("model", &self.model)] {
            if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.len() > 1_024) {
                return wrong(key, "must have 1 to 1024 bytes".to_owned());
            }
        }
        if let Some(temperature) = self.temperature.filter(|t| !(0.0..=2.0).contains(t)) {
            return wrong("temperature", format!("must be 0 to 2, not {temperature}"));
        }
        let numbers = [
            ("max_tokens", self.max_tokens.map(u64::from), 16..=1_000_000),
            ("context_chars", self.context_chars.map(u64::from), 500..=10_000_000),
            ("first_token_timeout_ms", self.first_token_timeout_ms, 100..=3_600_000),
            ("idle_timeout_ms", self.idle_timeout_ms, 100..=3_600_000),
            ("retries", self.retries.map(u64::from), 0..=10),
        ];
        for (key, value, range) in numbers {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                return wrong(key, format!("must be {} to {}, not {value}", range.start(), range.end()));
            }
        }
        match self.on_failure {
            Some(OnFailure::Skip) => wrong(
                "on_failure",
                "must be `fail` or `fallback`: without a generator there is no answer".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

/// Budgets that differ from the defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of one plugin call, in MiB: 1 to 1,024.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1024)]
    pub memory_mb: Option<u32>,
    /// Time for one plugin call, in milliseconds: 1 to 600,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 600000)]
    pub deadline_ms: Option<u64>,
    /// What one plugin call may give, in MiB: 1 to 1,024.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1024)]
    pub output_mb: Option<u32>,
    /// Functions of the server that one plugin call may call: 100 to 1,000,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 1000000000)]
    pub host_calls: Option<u64>,
    /// Elements of a plugin's tables of functions: 100 to 50,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 50000)]
    pub table_elements: Option<u32>,
}

impl Limits {
    fn validate(&self) -> Result<(), ApiError> {
        let all = [
            ("memory_mb", self.memory_mb.map(u64::from), 1..=1_024),
            ("deadline_ms", self.deadline_ms, 1..=600_000),
            ("output_mb", self.output_mb.map(u64::from), 1..=1_024),
            ("host_calls", self.host_calls, 100..=1_000_000_000),
            ("table_elements", self.table_elements.map(u64::from), 100..=50_000),
        ];
        for (key, value, range) in all {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let issue = format!("must be {} to {}, not {value}", range.start(), range.end());
                return Err(ApiError::validation(&format!("pipeline.limits.{key}"), issue));
            }
        }
        Ok(())
    }
}

/// Every stage of a collection's pipeline. What is left out takes the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pipeline {
    /// By media type; types that are not named go to the installed extractor for them.
    pub extractors: BTreeMap<String, ExtractorChoice>,
    /// Cuts documents into chunks.
    pub chunker: PluginChoice,
    /// Turns chunks and questions into vectors.
    pub embedder: EmbedderChoice,
    /// Understands questions.
    pub analyzer: PluginChoice,
    /// Finds passages.
    pub retrieval: Retrieval,
    /// Reads the best passages again, and orders them. Absent: they stay as they were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<RerankerChoice>,
    /// Makes answers.
    pub generator: GeneratorChoice,
    /// Writes citations.
    pub citations: PluginChoice,
    /// Budgets of the plugins.
    pub limits: Limits,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            extractors: BTreeMap::new(),
            chunker: PluginChoice::named("recursive@^1"),
            embedder: EmbedderChoice::default(),
            analyzer: PluginChoice::named("rules@^1"),
            retrieval: Retrieval::default(),
            reranker: None,
            generator: GeneratorChoice::default(),
            citations: PluginChoice::named("numeric@^1"),
            limits: Limits::default(),
        }
    }
}

impl Pipeline {
    /// Reads a pipeline, naming the key that is wrong (`pipeline.chunker.plugin`).
    pub fn parse(value: Value) -> Result<Self, ApiError> {
        // A list would be taken for its values in order.
        if !value.is_object() {
            return Err(ApiError::validation("pipeline", "must be an object"));
        }
        let pipeline: Self = ibid_protocol::parse(json!({ "pipeline": value })).map(|Wrapper { pipeline }| pipeline)?;
        pipeline.validate()?;
        Ok(pipeline)
    }

    fn validate(&self) -> Result<(), ApiError> {
        let r = &self.retrieval;
        if !(1..=100).contains(&r.limit) {
            return Err(ApiError::validation(
                "pipeline.retrieval.limit",
                format!("must be 1 to 100, not {}", r.limit),
            ));
        }
        for (key, weight) in [("dense_weight", r.dense_weight), ("sparse_weight", r.sparse_weight)] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(ApiError::validation(
                    &format!("pipeline.retrieval.{key}"),
                    format!("must be 0 or more, not {weight}"),
                ));
            }
        }
        ApiError::check_share("pipeline.retrieval.relative_threshold", Some(r.relative_threshold))?;
        if r.dense_weight == 0.0 && r.sparse_weight == 0.0 {
            return Err(ApiError::validation(
                "pipeline.retrieval.dense_weight",
                "must not be 0 together with `sparse_weight`",
            ));
        }
        if let Some(reranker) = &self.reranker {
            reranker.validate()?;
        }
        self.generator.validate()?;
        self.limits.validate()
    }
}

#[derive(Deserialize)]
struct Wrapper {
    pipeline: Pipeline,
}

/// What a pipeline resolved to: enough to say what made an answer, and what a change must redo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lock {
    /// Plugins by stage: `chunker`, `analyzer`, `citations`, `extractor` (of a document).
    pub plugins: BTreeMap<String, LockedPlugin>,
    /// The embedding model.
    pub model: LockedModel,
    /// The cross-encoder, where there is one. Nothing that is stored was made by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranker: Option<LockedReranker>,
    /// What makes answers.
    #[serde(default)]
    pub generator: LockedGenerator,
    /// The pipeline itself.
    pub pipeline: Pipeline,
}

impl Lock {
    /// Returns the lock as each answer shows it: without the address of a language model's server and the texts of its prompt.
    pub fn to_public(&self) -> Option<Value> {
        let mut told = self.clone();
        let generator = &mut told.pipeline.generator;
        (generator.base_url, generator.system, generator.prompt) = (None, None, None);
        serde_json::to_value(told).ok()
    }
}

/// What a subject is shown of a pipeline, or of a lock with one in it: where a language model's server is, and what its prompt
/// says, are for those who configure.
pub(crate) fn shown_to(subject: &Subject, mut value: Value) -> Value {
    if !subject.scopes.allow(Scope::Config) {
        for generator in ["/generator", "/pipeline/generator"] {
            if let Some(generator) = value.pointer_mut(generator).and_then(Value::as_object_mut) {
                generator.retain(|key, _| !matches!(key.as_str(), "base_url" | "system" | "prompt"));
            }
        }
    }
    value
}

/// A plugin in a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockedPlugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `sha256:` and the component's hash.
    pub digest: String,
}

/// A generator in a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockedGenerator {
    /// `extractive` or `openai`.
    pub kind: String,
    /// The language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A model in a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockedModel {
    /// Its name.
    pub name: String,
    /// Hash of its ONNX file, lower-case hexadecimal.
    pub sha256: String,
    /// Length of its vectors.
    pub dimension: usize,
}

/// A reranker in a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockedReranker {
    /// Its name.
    pub name: String,
    /// Hash of its ONNX file, lower-case hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_takes_the_default() {
        let pipeline = Pipeline::parse(json!({"chunker": {"plugin": "recursive@^1", "config": {"target_tokens": 100}}})).unwrap();
        assert_eq!(pipeline.chunker.config, json!({"target_tokens": 100}));
        assert_eq!(pipeline.analyzer, Pipeline::default().analyzer);
    }

    #[test]
    fn errors_name_the_key() {
        for (value, field) in [
            (json!({"chunker": {"plugn": "x"}}), "pipeline.chunker.plugn"),
            (json!({"retrieval": {"limit": 0}}), "pipeline.retrieval.limit"),
            (json!({"retrieval": {"limit": "many"}}), "pipeline.retrieval.limit"),
            (json!({"retrieval": {"dense_weight": -1.0}}), "pipeline.retrieval.dense_weight"),
            (
                json!({"retrieval": {"relative_threshold": 1.5}}),
                "pipeline.retrieval.relative_threshold",
            ),
            (json!({"reranker": {"top_k": 10}}), "pipeline.reranker.model"),
            (json!({"reranker": {"model": ""}}), "pipeline.reranker.model"),
            (json!({"reranker": {"model": "x", "top_k": 0}}), "pipeline.reranker.top_k"),
            (json!({"reranker": {"model": "x", "top_k": 201}}), "pipeline.reranker.top_k"),
            (json!({"reranker": {"model": "x", "modes": ["slow"]}}), "pipeline.reranker.modes[0]"),
            (json!({"limits": {"memory_mb": 0}}), "pipeline.limits.memory_mb"),
            (json!({"generator": {"kind": "oracle"}}), "pipeline.generator.kind"),
            (json!({"generator": {"kind": "openai", "modle": "x"}}), "pipeline.generator.modle"),
            (
                json!({"generator": {"kind": "openai", "temperature": 3}}),
                "pipeline.generator.temperature",
            ),
            (
                json!({"generator": {"kind": "openai", "retries": 11}}),
                "pipeline.generator.retries",
            ),
            (
                json!({"generator": {"kind": "openai", "idle_timeout_ms": 1}}),
                "pipeline.generator.idle_timeout_ms",
            ),
            (
                json!({"generator": {"kind": "openai", "on_failure": "skip"}}),
                "pipeline.generator.on_failure",
            ),
            (
                json!({"generator": {"kind": "extractive", "model": "x"}}),
                "pipeline.generator.model",
            ),
        ] {
            let error = Pipeline::parse(value).unwrap_err();
            assert_eq!(error.details["field"], field, "{error}");
        }
    }

    #[test]
    fn a_pipeline_survives_being_written_and_read() {
        let mut pipeline = Pipeline::default();
        pipeline.generator.temperature = Some(0.2);
        pipeline.reranker = Some(RerankerChoice {
            model: "x".to_owned(),
            precision: None,
            modes: vec![Mode::Balanced],
            top_k: 5,
        });
        let written = serde_json::to_value(&pipeline).unwrap();
        assert_eq!(written["retrieval"]["dense_weight"], json!(0.4), "as people write it");
        assert_eq!(written["generator"]["temperature"], json!(0.2), "as people write it");
        assert_eq!(Pipeline::parse(serde_json::to_value(&pipeline).unwrap()).unwrap(), pipeline);
    }
}
