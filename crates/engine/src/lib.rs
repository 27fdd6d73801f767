//! The two pipelines. Ingest: extract, chunk, embed, index, commit. Query: analyze, embed,
//! retrieve, rerank, generate, cite.
//!
//! Knows the order of the stages and nothing of HTTP: the server speaks to [`Engine`] alone.

mod analyze;
mod announce;
mod audit;
mod backup;
mod change;
mod chunker_imports;
mod cluster;
mod collections;
mod disk;
mod documents;
mod embedding;
mod engine;
mod error;
mod events;
mod filters;
mod fusion;
mod generation;
mod generator;
mod health;
mod ingest;
mod observe;
mod passages;
mod placement;
mod plugins;
mod policy;
mod profile;
mod profiles;
mod query;
mod reading;
mod reception;
mod reconcile;
mod redo;
mod reindex;
mod reporter;
mod rerank;
mod resolve;
mod restore;
mod retrieve;
mod schema;
mod settings;
mod similar;
mod spec;
mod start_error;
mod stream;
mod timestamp;
mod timings;
mod trial;
mod tuning;
mod upload;
mod visibility;
mod watch;
mod work;

pub use audit::{Audit, Finding};
pub use backup::{Entry as BackupEntry, MANIFEST as BACKUP_MANIFEST, Manifest as BackupManifest, copy_hashed};
pub use collections::CollectionSubscription;
pub use documents::{DocumentFile, DocumentQuery};
pub use engine::Engine;
pub use error::PipelineError;
pub use health::{Health, ServiceHealth, Services};
pub use plugins::{MAX_PLUGIN_BYTES, PluginChange, PluginLog, PluginLogEvent};
pub use query::QueryHandle;
pub use reception::Upload;
pub use redo::Redo;
pub use restore::{RestoreError, inside as inside_backup, manifest as read_backup_manifest, restore};
pub use schema::schema as pipeline_schema;
pub use settings::EngineSettings;
pub use spec::{
    EmbedderChoice, ExtractorChoice, GeneratorChoice, GeneratorKind, Limits, Lock, LockedGenerator, LockedModel, LockedPlugin, OnFailure,
    Pipeline, PluginChoice, Retrieval,
};
pub use start_error::StartError;
pub use tuning::Tuning;
pub use upload::{NewUpload, PendingIngest};
pub use watch::{Load, PluginChanges, Quarantined};

pub use crate::events::{UploadNotice, UploadSubscription};
