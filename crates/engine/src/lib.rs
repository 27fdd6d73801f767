//! The services of Ibid: ingest, re-index, query, management and upkeep, over the durable state.
//!
//! [`Engine::start`] opens everything and returns when the server can serve. The crate knows nothing of HTTP.
//!
//! | Module | Job |
//! | --- | --- |
//! | `store` | the durable state: catalog, files, index, and what is known of them in memory |
//! | `peers` | the other servers over the same catalog |
//! | `spec` | what a pipeline is, and what runs it |
//! | `ingest` | uploads, documents from `received` to `live`, re-indexing |
//! | `query` | questions and searches |
//! | `manage` | collections, documents, pipelines, plugins, moves between indexes |
//! | `upkeep` | repair at start, events, disk, backups, audit, health |

mod clock;
mod engine;
mod error;
#[cfg(test)]
#[allow(dead_code, reason = "tests use them as they come")]
mod fakes;
mod ingest;
mod lifecycle;
mod manage;
mod opening;
mod peers;
mod permission;
mod query;
mod retry;
mod services;
mod session;
mod settings;
mod spec;
mod start_error;
mod store;
mod timestamp;
mod tuning;
mod upkeep;

pub use engine::Engine;
pub use error::PipelineError;
pub use ingest::reports::{NewUpload, PendingIngest};
pub use ingest::uploads::Upload;
pub use manage::collections::CollectionSubscription;
pub use manage::document_query::DocumentQuery;
pub use manage::documents::DocumentFile;
pub use manage::plugins::{MAX_PLUGIN_BYTES, PluginChange, PluginLog, PluginLogEvent};
pub use permission::{Admin, Config, Delete, Read, ScopeType, Write};
pub use query::QueryHandle;
pub use session::{Granted, Session};
pub use settings::EngineSettings;
pub use spec::reindex_scope::ReindexScope;
pub use spec::schema::schema as pipeline_schema;
pub use spec::{
    EmbedderChoice, ExtractorChoice, GeneratorChoice, GeneratorKind, Limits, Lock, LockedGenerator, LockedModel, LockedPlugin, OnFailure,
    Pipeline, PluginChoice, Retrieval,
};
pub use start_error::StartError;
pub use store::events::{UploadNotice, UploadSubscription};
pub use tuning::Tuning;
pub use upkeep::audit::{Audit, Finding};
pub use upkeep::backup::{Entry as BackupEntry, MANIFEST as BACKUP_MANIFEST, Manifest as BackupManifest, copy_hashed};
pub use upkeep::health::{Health, ServiceHealth, Services};
pub use upkeep::load::{Load, PluginChanges, Quarantined};
pub use upkeep::restore::{RestoreError, inside as inside_backup, manifest as read_backup_manifest, restore};
