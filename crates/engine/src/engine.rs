//! The engine: the services that ingest, answer and keep house, started and stopped as one.

use crate::opening::open;
use crate::services::Services;
use crate::settings::EngineSettings;
use crate::spec::Pipeline;
use crate::start_error::StartError;
use crate::upkeep::models::unload_unused;
use ibid_index::VectorIndex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine. Held as `Arc<Engine>`.
pub struct Engine {
    /// Name of the collection of requests that name none.
    pub(crate) default_collection: String,
    pub(crate) services: Services,
    started: Instant,
}

impl Engine {
    /// Opens the durable state, starts the services, and resumes what was unfinished at the last stop.
    ///
    /// # Errors
    /// The first part that cannot be opened or used.
    pub async fn start(settings: EngineSettings) -> Result<Arc<Self>, StartError> {
        let opened = open(settings).await?;
        let default_collection = opened.settings.default_collection.clone();
        let mut services = Services::new(opened);
        // A server that could not answer the simplest question should say so now.
        services
            .pipelines
            .resolve("check", "check", Pipeline::default())
            .map_err(|error| StartError::Pipeline(error.to_api_error("")))?;
        let resume = |error: crate::PipelineError| StartError::Resume(error.to_api_error(""));
        // Before anything is read: events that other servers record from now on are received.
        let last = services.upkeep.newest_event().await.map_err(resume)?;
        let peer_sync = services.peer_sync.take();
        let sync = match peer_sync {
            None => None,
            Some((sync, outbox)) => {
                sync.join(outbox).await.map_err(|error| StartError::Join(error.to_api_error("")))?;
                Some(sync)
            }
        };
        services.upkeep.resume().await.map_err(resume)?;
        if let Some(sync) = sync {
            sync.claim().await.map_err(resume)?;
        }
        services.upkeep.start(last);
        let lifecycle = services.lifecycle.clone();
        lifecycle.tasks.spawn(unload_unused(services.pipelines.clone(), lifecycle.clone()));
        Ok(Arc::new(Self {
            default_collection,
            services,
            started: Instant::now(),
        }))
    }

    /// Stops queries, parks documents at their last step, and makes everything durable. Does nothing the second time.
    pub async fn shutdown(&self) {
        let Services {
            lifecycle,
            peers,
            pipelines,
            store,
            ..
        } = &self.services;
        lifecycle.stop().await;
        peers.leave().await;
        pipelines.models.close().await;
        if let Err(error) = store.index.close().await {
            tracing::error!(error = error.detail(), "the index was not closed cleanly");
        }
        store.catalog.close().await;
    }

    /// Returns how long the engine has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the size of the largest file that may be uploaded, in bytes.
    pub fn max_upload_bytes(&self) -> u64 {
        self.services.uploads.limits.max_bytes
    }
}
