//! The engine's settings and their defaults.

use crate::spec::OnFailure;
use ibid_catalog::PostgresOptions;
use ibid_embed::{Precision, RuntimeChoice};
use ibid_files::StoreOptions;
use ibid_generate::llm::LlmSettings;
use ibid_index::RemoteOptions;
use ibid_types::IndexBackend;
use std::path::PathBuf;
use std::time::Duration;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Where all that is uploaded lives.
    pub data_dir: PathBuf,
    /// Where `lib/`, `models/` and `plugins/` are.
    pub share_dir: PathBuf,
    /// Collection that is meant where none is named.
    pub default_collection: String,
    /// The database of the catalog that this server shares with others; absent: a file in `data_dir`.
    pub catalog: Option<PostgresOptions>,
    /// Name of the embedding model of pipelines that name none: a directory under `models/`.
    pub model: String,
    /// Which ONNX Runtime is loaded, and the processor that runs the model.
    pub runtime: RuntimeChoice,
    /// The numbers that models compute in where a pipeline does not say.
    pub precision: Precision,
    /// Embedding models that are loaded at a time, the default one among them.
    pub max_models: usize,
    /// How long another one than the default stays loaded when nobody uses it.
    pub unload_models_after: Duration,
    /// Threads that embed; 0 takes one for each core.
    pub embedder_threads: usize,
    /// Texts that may wait for the embedder, for questions and for documents each.
    pub embedder_queue: usize,
    /// Largest file, in bytes.
    pub max_upload_bytes: u64,
    /// Bytes that are to stay free on the disk of the data directory; 0 for none.
    pub disk_reserve_bytes: u64,
    /// Documents that are processed at once.
    pub max_documents_in_flight: usize,
    /// Percent of the time that re-indexing may work, 1 to 100; the rest is left to uploads and questions.
    pub reindex_percent: u32,
    /// Uploads that may be received, or wait to be processed, at once.
    pub max_open_uploads: usize,
    /// Events of collections that are kept for those who ask for what they missed.
    pub kept_events: u64,
    /// Resumable uploads that may wait for their bytes, suspended ones among them.
    pub max_resumable_uploads: usize,
    /// How long a suspended upload waits to be resumed before its bytes are dropped.
    pub resumable_expiry: Duration,
    /// Queries that run at once; others wait.
    pub max_concurrent_queries: usize,
    /// Queries that wait; one more is refused.
    pub max_waiting_queries: usize,
    /// Longest time for any stage of a query.
    pub query_timeout: Duration,
    /// Language models.
    pub llm: LlmSettings,
    /// What follows when one gives no answer, where a pipeline does not say: `Fail` or `Fallback`.
    pub llm_on_failure: OnFailure,
    /// Where new collections are kept.
    pub default_place: IndexBackend,
    /// Where files and texts are kept.
    pub files: StoreOptions,
    /// The Qdrant server that may keep collections.
    pub qdrant: Option<RemoteOptions>,
    /// Whether plugins may be installed and removed over the network.
    pub plugin_install: bool,
    /// Digests (`sha256:...`) of the only plugins that may run; empty lets all.
    pub allowed_plugins: Vec<String>,
}

impl EngineSettings {
    /// Defaults for a data directory and a share directory.
    pub fn new(data_dir: impl Into<PathBuf>, share_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            share_dir: share_dir.into(),
            default_collection: "documents".to_owned(),
            catalog: None,
            model: "all-MiniLM-L6-v2".to_owned(),
            runtime: RuntimeChoice::default(),
            precision: Precision::default(),
            // Some 100 MB each for small models.
            max_models: 4,
            unload_models_after: Duration::from_secs(900),
            embedder_threads: 0,
            // About four documents' windows, so that the embedder never starves between them.
            embedder_queue: 1_024,
            max_upload_bytes: 512 * 1024 * 1024,
            disk_reserve_bytes: 512 * 1024 * 1024,
            // One document's extraction overlaps another's embedding; more would only hold memory.
            max_documents_in_flight: 4,
            // Uploads and questions have the embedder for themselves half of the time.
            reindex_percent: 50,
            max_open_uploads: 1_000,
            kept_events: 10_000,
            max_resumable_uploads: 1_000,
            resumable_expiry: Duration::from_secs(24 * 3600),
            max_concurrent_queries: 64,
            max_waiting_queries: 1_024,
            query_timeout: Duration::from_secs(60),
            llm: LlmSettings::default(),
            llm_on_failure: OnFailure::Fail,
            default_place: IndexBackend::Embedded,
            files: StoreOptions::default(),
            qdrant: None,
            plugin_install: true,
            allowed_plugins: Vec::new(),
        }
    }
}
