//! Cross-encoders: passages scored for a question, each read together with it.
//!
//! A reranker is loaded, shared and unloaded like an embedding model, has the same queue and the same batches, and threads of its
//! own. Its pairs wait in the lane of queries: a person waits for them.

use super::{EmbedError, Model, ModelInfo, Precision};

/// An installed cross-encoder in one precision, which is loaded when it is used. A cheap handle.
#[derive(Clone)]
pub struct Reranker(pub(super) Model);

impl Reranker {
    /// What it is.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        self.0.info()
    }

    /// The precision that it is run in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.0.precision()
    }

    /// How well each passage answers the question, in their order: the logistic function of what the model gives, in [0,1]. A passage
    /// is read as far as it and the question fit the model together. On a CPU a score does not depend on the other passages. Dropping the
    /// future gives up those that were not computed yet.
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
