//! What a chunker may ask the host for: the embeddings and the tokens of its collection's model.

use crate::spec::pipelines::Stage;
use ibid_embed::Embedder;
use ibid_plugin_host::{Provided, TextEmbedder, TokenCounter};
use std::sync::Arc;
use std::time::Duration;

/// The collection's embedder, as chunkers are given it.
struct ForChunkers(Embedder);

/// How often a chunker that waits for the embedder is asked whether anyone still waits for it.
const PROCEED_EVERY: Duration = Duration::from_millis(5);

impl TextEmbedder for ForChunkers {
    fn embed(&self, texts: Vec<String>, proceed: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>, String> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let work = self.0.embed_texts(texts, |_| {});
            tokio::pin!(work);
            loop {
                match tokio::time::timeout(PROCEED_EVERY, &mut work).await {
                    Ok(vectors) => return vectors.map_err(|error| error.to_string()),
                    Err(_) if proceed() => {}
                    Err(_) => return Err("nobody waits for it any more".to_owned()),
                }
            }
        })
    }
}

struct ModelTokens(Embedder);

impl TokenCounter for ModelTokens {
    fn count(&self, text: &str) -> u32 {
        u32::try_from(self.0.count_tokens(text)).unwrap_or(u32::MAX)
    }
}

/// Returns what a chunker may ask the host for: the collection's tokens, and its embedder where that is granted.
pub(crate) fn chunker_imports(stage: &Stage, embedder: &Embedder) -> Provided {
    let granted: Option<Arc<dyn TextEmbedder>> = match stage.plugin.contract().wanted_grants().next() {
        // A stage is only made where all that its plugin wants is granted.
        Some(_) => Some(Arc::new(ForChunkers(embedder.clone()))),
        None => None,
    };
    Provided {
        tokens: Arc::new(ModelTokens(embedder.clone())),
        embedder: granted,
    }
}
