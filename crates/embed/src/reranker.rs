//! Rerankers: cross-encoders that score a passage for a question, both read together.
//!
//! A reranker is loaded, shared and unloaded like an embedding model, and has a queue and threads of its own. Its pairs use the lane of
//! queries, since a client waits for them.

use super::{EmbedError, Model, ModelInfo, Precision};

/// An installed cross-encoder in one precision, which is loaded when it is used. A cheap handle.
#[derive(Clone)]
pub struct Reranker(pub(super) Model);

impl Reranker {
    /// Returns its description.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        self.0.info()
    }

    /// Returns the precision that it runs in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.0.precision()
    }

    /// Scores how well each passage answers the question: the logistic function of the model's output, in [0,1], in the order of the
    /// passages. A passage is cut to what fits the model together with the question. On a CPU, a score does not depend on the other
    /// passages. Dropping the future cancels those that were not computed yet.
    ///
    /// # Errors
    /// As [`Model::embedder`] and [`super::Embedder::embed_query`]; the first failure fails all.
    pub async fn score(&self, question: &str, passages: Vec<String>) -> Result<Vec<f32>, EmbedError> {
        let logits = self.0.embedder().await?.score(question, passages).await?;
        Ok(logits.into_iter().map(logistic).collect())
    }
}

fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
