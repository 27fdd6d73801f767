//! What a pipeline says about its generator.

use super::{OnFailure, as_written_if_any};
use ibid_protocol::ApiError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    pub(super) fn validate(&self) -> Result<(), ApiError> {
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
