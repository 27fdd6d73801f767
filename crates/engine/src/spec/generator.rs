//! What writes the answers of a collection: resolved from its pipeline and the settings, and what follows when a
//! language model fails.

use super::pipelines::Pipelines;
use crate::error::PipelineError;
use crate::spec::{GeneratorChoice, GeneratorKind, LockedGenerator, OnFailure};
use ibid_embed::Model;
use ibid_generate::llm::{LlmOptions, Refusal};
use ibid_generate::{Extractive, GenerateError, Generated, Generator, LlmError, Request, Sink};
use ibid_protocol::{ApiError, ErrorCode, GeneratorInfo, Warning};
use std::sync::Arc;
use std::time::Duration;

/// The stage `generator` in warnings, as its key in a pipeline.
const STAGE: &str = "generator";
/// What made an answer, in `complete` and in locks.
const EXTRACTIVE: &str = "extractive";
const OPENAI: &str = "openai";

/// A collection's generator, ready to run.
#[derive(Clone)]
pub struct GeneratorStage {
    generator: Arc<dyn Generator>,
    /// What answers when it cannot.
    fallback: Option<Arc<dyn Generator>>,
    /// What it is.
    pub locked: LockedGenerator,
}

impl GeneratorStage {
    /// Whether a language model writes the answers: it understands a passage the better, the more of it there is.
    pub fn is_language_model(&self) -> bool {
        self.locked.kind == OPENAI
    }

    /// What is said of it before it has made anything.
    pub fn info(&self) -> GeneratorInfo {
        GeneratorInfo {
            kind: self.locked.kind.clone(),
            model: self.locked.model.clone(),
            ..GeneratorInfo::default()
        }
    }

    /// Writes the answer to `sink`: by the generator, or by what falls back for it as long as nothing was written.
    /// Tells who made it, and what there is to tell.
    pub async fn generate(&self, request: Request, sink: Sink) -> Result<(GeneratorInfo, Vec<Warning>), PipelineError> {
        let error = match self.generator.generate(request.clone(), sink.clone()).await {
            Ok(made) => return Ok(self.outcome(made)),
            Err(GenerateError::Llm(error)) if !sink.has_begun() => error,
            Err(error) => return Err(error.into()),
        };
        let Some(fallback) = &self.fallback else {
            return Err(GenerateError::from(error).into());
        };
        tracing::warn!(
            reason = error.reason.name(),
            "the language model gave no answer: the extractive generator goes on"
        );
        fallback.generate(request, sink).await?;
        let info = GeneratorInfo {
            kind: EXTRACTIVE.to_owned(),
            ..GeneratorInfo::default()
        };
        Ok((info, vec![self.fell_back(&error)]))
    }

    fn outcome(&self, made: Generated) -> (GeneratorInfo, Vec<Warning>) {
        let notes = made.notes.into_iter().map(|note| Warning {
            stage: STAGE.to_owned(),
            plugin: self.locked.kind.clone(),
            code: "ANSWER_CUT".to_owned(),
            reason: note.reason.to_owned(),
            message: note.message,
            policy: "keep".to_owned(),
        });
        let warnings = notes.collect();
        let info = GeneratorInfo {
            kind: self.locked.kind.clone(),
            model: made.model,
            finish_reason: made.finish_reason,
            prompt_tokens: made.prompt_tokens,
            completion_tokens: made.completion_tokens,
        };
        (info, warnings)
    }

    fn fell_back(&self, error: &LlmError) -> Warning {
        Warning {
            stage: STAGE.to_owned(),
            plugin: self.locked.kind.clone(),
            code: ErrorCode::LlmConnectionError.name().to_owned(),
            reason: error.reason.name().to_owned(),
            message: format!("{error}; the extractive generator answered instead"),
            policy: OnFailure::Fallback.name().to_owned(),
        }
    }
}

impl Pipelines {
    /// The generator of a pipeline, which compares by the pipeline's embedder.
    ///
    /// # Errors
    /// Names the key that is wrong, or that the operator does not allow.
    pub(crate) fn generator_stage(&self, choice: &GeneratorChoice, embedder: &Model) -> Result<GeneratorStage, ApiError> {
        let extractive = || -> Arc<dyn Generator> { Arc::new(Extractive::new(embedder.clone())) };
        let asks_model = match choice.kind {
            GeneratorKind::Extractive => false,
            GeneratorKind::Openai => true,
            GeneratorKind::Auto => self.llm.is_default() || choice.model.is_some() || choice.base_url.is_some(),
        };
        if !asks_model {
            return Ok(GeneratorStage {
                generator: extractive(),
                fallback: None,
                locked: LockedGenerator {
                    kind: EXTRACTIVE.to_owned(),
                    model: None,
                },
            });
        }
        let refused = |Refusal { key, issue }| ApiError::validation(&format!("pipeline.generator.{key}"), issue);
        let generator = self.llm.generator(&wanted(choice), embedder.clone()).map_err(refused)?;
        let locked = LockedGenerator {
            kind: OPENAI.to_owned(),
            model: Some(generator.model().to_owned()),
        };
        let on_failure = choice.on_failure.unwrap_or(self.llm_on_failure);
        Ok(GeneratorStage {
            generator: Arc::new(generator),
            fallback: (on_failure == OnFailure::Fallback).then(extractive),
            locked,
        })
    }
}

fn wanted(choice: &GeneratorChoice) -> LlmOptions {
    LlmOptions {
        base_url: choice.base_url.clone(),
        model: choice.model.clone(),
        system: choice.system.clone(),
        prompt: choice.prompt.clone(),
        temperature: choice.temperature,
        max_tokens: choice.max_tokens,
        context_chars: choice.context_chars.map(|chars| chars as usize),
        first_token_timeout: choice.first_token_timeout_ms.map(Duration::from_millis),
        idle_timeout: choice.idle_timeout_ms.map(Duration::from_millis),
        retries: choice.retries,
    }
}
