//! The pipeline of a collection, as data, and the lock that it resolves to.

pub(crate) mod checks;
pub(crate) mod chunker_imports;
pub(crate) mod generator;
pub(crate) mod generator_choice;
pub(crate) mod lock;
pub(crate) mod pipelines;
pub(crate) mod policy;
pub(crate) mod reindex_scope;
pub(crate) mod schema;

pub use generator_choice::{GeneratorChoice, GeneratorKind};
pub(crate) use lock::shown_to;
pub use lock::{Lock, LockedGenerator, LockedModel, LockedPlugin, LockedReranker};

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

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
