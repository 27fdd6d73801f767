//! The lock of a pipeline: the exact plugins and models that it resolved to.

use super::Pipeline;
use ibid_auth::{Scope, Subject};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

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
