//! The embedders, for whoever wants vectors and not answers.

use crate::error::PipelineError;
use crate::query::permits::QueryPermits;
use crate::query::stage_timeout::StageTimeout;
use crate::spec::pipelines::Pipelines;
use ibid_embed::{EmbedError, Embedder, InstalledModel, Model};
use ibid_protocol::{ApiError, ErrorCode};
use std::sync::Arc;

/// Texts that are embedded before documents, as a question's are. More would hold up questions.
const FEW: usize = 8;

/// Runs the embedding models for clients that want vectors, and counts tokens.
pub(crate) struct Embeddings {
    pub pipelines: Arc<Pipelines>,
    pub permits: Arc<QueryPermits>,
    pub timeout: StageTimeout,
}

impl Embeddings {
    /// The models that are installed, rerankers among them, the default one first.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn models(&self) -> Result<Vec<InstalledModel>, ApiError> {
        let models = self.pipelines.models.clone();
        tokio::task::spawn_blocking(move || models.installed())
            .await
            .map_err(|error| PipelineError::from(error).to_api_error(""))
    }

    /// An embedding model by its name, in the precision of the settings.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` for one that is not installed, `VALIDATION_ERROR` for a reranker; a description that cannot be used.
    pub fn embedding_model(&self, name: &str) -> Result<Model, ApiError> {
        self.pipelines.models.find(name, None).map_err(|error| match error {
            EmbedError::ModelUnknown { .. } => ApiError::new(ErrorCode::ResourceNotFound, error.to_string()).with("field", "model"),
            EmbedError::WrongKind { .. } => ApiError::validation("model", error.to_string()),
            other => PipelineError::from(other).to_api_error("embedding"),
        })
    }

    /// The vectors of texts by a model, in their order, and the tokens of these texts; `queries` says that they are questions, for
    /// models that tell those apart. Dropping the future gives up what was not computed yet.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` when too much waits for the embedder, or as many models are in use as may be; `TIMEOUT_ERROR`; or a
    /// failed embedder.
    pub async fn embed(&self, model: &Model, texts: Vec<String>, queries: bool) -> Result<(Vec<Vec<f32>>, u64), ApiError> {
        let _permit = self.permits.admit().await?;
        let work = async {
            let embedder = model.embedder().await?;
            let (texts, tokens) = count(embedder.clone(), texts).await?;
            let vectors = match (queries, texts.len() <= FEW) {
                (true, _) => embedder.embed_queries(texts).await?,
                (false, true) => embedder.embed_passages(texts).await?,
                (false, false) => embedder.embed_texts(texts, |_| {}).await?,
            };
            Ok::<_, PipelineError>((vectors, tokens))
        };
        self.timeout.run("embedding", work).await
    }

    /// Tokens of the texts, as the default embedding model counts them.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn count_tokens(&self, texts: Vec<String>) -> Result<u64, ApiError> {
        let counted = count(self.pipelines.models.default_embedder().clone(), texts).await;
        counted.map(|(_, tokens)| tokens).map_err(|error| error.to_api_error("embedding"))
    }

    /// How much of a text, up to the end of a word, has at most `room` tokens of the embedding model: its bytes, and its tokens.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn fit_tokens(&self, text: String, room: u64) -> Result<(usize, u64), ApiError> {
        let embedder = self.pipelines.models.default_embedder().clone();
        let fit = move || {
            let (mut bytes, mut tokens) = (0, 0);
            for word in text.split_inclusive(char::is_whitespace) {
                let more = tokens + embedder.count_tokens(word) as u64;
                if more > room {
                    break;
                }
                (bytes, tokens) = (bytes + word.len(), more);
            }
            (bytes, tokens)
        };
        tokio::task::spawn_blocking(fit)
            .await
            .map_err(|error| PipelineError::from(error).to_api_error("embedding"))
    }
}

async fn count(embedder: Embedder, texts: Vec<String>) -> Result<(Vec<String>, u64), PipelineError> {
    let count = move || {
        let tokens = texts.iter().map(|text| embedder.count_tokens(text) as u64).sum();
        (texts, tokens)
    };
    Ok(tokio::task::spawn_blocking(count).await?)
}
