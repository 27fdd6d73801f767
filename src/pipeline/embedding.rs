//! The embedder, for whoever wants vectors and not answers.

use super::engine::Engine;
use super::error::PipelineError;
use crate::embed::ModelInfo;
use crate::protocol::ApiError;

/// Texts that are embedded before documents, as a question's are. More would hold up questions.
const FEW: usize = 8;

impl Engine {
    /// The embedding model.
    pub fn embedding_model(&self) -> &ModelInfo {
        self.embedder.info()
    }

    /// The vectors of texts, in their order; `queries` says that they are questions, for models that tell those apart. Dropping the
    /// future gives up what was not computed yet.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` when too much waits for the embedder, `TIMEOUT_ERROR`, or a failed embedder.
    pub async fn embed(&self, texts: Vec<String>, queries: bool) -> Result<Vec<Vec<f32>>, ApiError> {
        let _permit = self.admit().await?;
        // The model of this server embeds both alike: what differs is who waits for whom.
        let first = queries || texts.len() <= FEW;
        let work = async {
            match first {
                true => self.embedder.embed_queries(texts).await,
                false => self.embedder.embed_texts(texts, |_| {}).await,
            }
            .map_err(PipelineError::from)
        };
        self.in_time("embedding", work).await
    }

    /// Tokens of the texts, as the embedding model counts them.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn count_tokens(&self, texts: Vec<String>) -> Result<u64, ApiError> {
        let embedder = self.embedder.clone();
        let count = move || texts.iter().map(|text| embedder.count_tokens(text) as u64).sum();
        tokio::task::spawn_blocking(count)
            .await
            .map_err(|error| PipelineError::from(error).told("embedding"))
    }
}
