//! Unloads embedding models that no query and no document uses.

use crate::lifecycle::Lifecycle;
use crate::spec::pipelines::Pipelines;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Unloads unused models, until the engine stops.
pub(crate) async fn unload_unused(pipelines: Arc<Pipelines>, lifecycle: Lifecycle) {
    let pause = (pipelines.models.unload_after() / 4).clamp(Duration::from_secs(1), Duration::from_secs(60));
    loop {
        if !lifecycle.sleep(pause).await {
            return;
        }
        for model in pipelines.models.unload_unused(Instant::now()) {
            tracing::info!(model, "unloading a model that was not used for long");
        }
    }
}
