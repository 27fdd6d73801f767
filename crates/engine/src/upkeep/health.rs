//! The health report: asks each part something real.

use crate::ingest::uploads::Uploads;
use crate::query::Queries;
use crate::spec::pipelines::Pipelines;
use crate::store::Store;
use ibid_generate::llm::{LlmError, LlmHealth};
use ibid_index::VectorIndex;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Whether the parts work.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// Of the server.
    pub version: String,
    /// By part.
    pub services: Services,
}

/// The parts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Services {
    /// The vector index.
    pub vector_db: ServiceHealth,
    /// The embedder.
    pub embedding_service: ServiceHealth,
    /// What makes answers.
    pub llm_service: ServiceHealth,
    /// The disk of the data directory: `degraded` while it cannot be written, or its reserve is not free.
    pub storage: ServiceHealth,
}

/// Whether a part works.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceHealth {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// Milliseconds that it took to answer.
    pub response_time: f64,
    /// More, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Checks the parts, and reports their health and their load.
pub(crate) struct Monitor {
    pub store: Arc<Store>,
    pub pipelines: Arc<Pipelines>,
    pub queries: Arc<Queries>,
    pub uploads: Arc<Uploads>,
    /// Permits for open uploads in all.
    pub max_open_uploads: usize,
}

impl Monitor {
    /// Asks the file store something real. The report of health has no part for it: it shows in the status of the whole.
    pub async fn file_store(&self) -> ServiceHealth {
        let start = Instant::now();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.store.files.check()).await {
            Ok(Ok(())) => healthy(start.elapsed()),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        }
    }

    /// Asks the catalog something. As with the file store, it shows in the status of the whole.
    pub async fn catalog_health(&self) -> ServiceHealth {
        let start = Instant::now();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.store.catalog.check()).await {
            Ok(Ok(())) => healthy(start.elapsed()),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        }
    }

    /// Asks every part something real.
    pub async fn health(&self) -> Health {
        let vector_db = match tokio::time::timeout(HEALTH_TIMEOUT, self.store.index.health()).await {
            Ok(Ok(time)) => healthy(time),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        };
        let start = std::time::Instant::now();
        let embedding_service =
            match tokio::time::timeout(HEALTH_TIMEOUT, self.pipelines.models.default_embedder().embed_query("health")).await {
                Ok(Ok(_)) => healthy(start.elapsed()),
                Ok(Err(error)) => unhealthy(error.to_string()),
                Err(_) => unhealthy("does not answer"),
            };
        let llm_service = match self.pipelines.llm.health().await {
            Some(health) => llm_health(health),
            // The extractive generator is part of this process: it works if the embedder does.
            None => ServiceHealth {
                message: Some("built-in extractive generator".to_owned()),
                ..embedding_service.clone()
            },
        };
        let services = Services {
            vector_db,
            embedding_service,
            llm_service,
            storage: self.storage_health().await,
        };
        let (files, catalog) = tokio::join!(self.file_store(), self.catalog_health());
        let well = [&services.vector_db, &services.embedding_service, &files, &catalog]
            .iter()
            .all(|service| service.status == "healthy");
        // Without a language model there are still documents, searches and extractive answers; on a full disk all that is there already.
        let all = [&services.llm_service, &services.storage]
            .iter()
            .all(|service| service.status == "healthy");
        let status = match (well, all) {
            (false, _) => "unhealthy",
            (true, true) => "healthy",
            (true, false) => "degraded",
        };
        Health {
            status: status.to_owned(),
            timestamp: crate::timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            services,
        }
    }

    /// Tries to write. What is there already can be read meanwhile.
    async fn storage_health(&self) -> ServiceHealth {
        let start = Instant::now();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.store.disk.health()).await {
            Ok(Ok(())) => healthy(start.elapsed()),
            Ok(Err(trouble)) => ServiceHealth {
                status: "degraded".to_owned(),
                message: Some(trouble.to_string()),
                ..healthy(start.elapsed())
            },
            Err(_) => unhealthy("does not answer"),
        }
    }
}

/// A part that takes longer is down, for whoever waits on it.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

fn healthy(time: Duration) -> ServiceHealth {
    ServiceHealth {
        status: "healthy".to_owned(),
        response_time: time.as_secs_f64() * 1e3,
        message: None,
    }
}

/// What is told of the language model's server; its address is not.
fn llm_health(health: LlmHealth) -> ServiceHealth {
    match health.answered {
        Ok(time) if health.lists_model => healthy(time),
        Ok(time) => ServiceHealth {
            status: "degraded".to_owned(),
            message: Some("the language model's server does not list the model of llm.model".to_owned()),
            ..healthy(time)
        },
        Err(reason) => unhealthy(LlmError::from(reason).to_string()),
    }
}

fn unhealthy(message: impl Into<String>) -> ServiceHealth {
    ServiceHealth {
        status: "unhealthy".to_owned(),
        response_time: 0.0,
        message: Some(message.into()),
    }
}
