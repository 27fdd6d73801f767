//! The engine's settings.

use crate::spec::OnFailure;
use crate::tuning::Tuning;
use ibid_catalog::PostgresOptions;
use ibid_embed::{Precision, RuntimeChoice};
use ibid_files::StoreOptions;
use ibid_generate::llm::LlmSettings;
use ibid_index::RemoteOptions;
use ibid_settings::{Format, Kind, SettingValue, Value, settings};
use ibid_types::IndexBackend;
use std::path::PathBuf;
use std::time::Duration;

settings! {
    /// How the engine is set up.
    pub struct EngineSettings {
        keys {
            /// The collection that is meant where a client names none.
            "default_collection" => default_collection: String = "documents".to_owned(),
            /// Largest file that may be uploaded, in bytes.
            "server.max_upload_bytes" [range(1, 1 << 40)] => max_upload_bytes: u64 = 256 << 20,
            /// The embedding model where a pipeline names none: a directory under models/ of the share directory, or another one by its
            /// whole path.
            "embedder.model" => model: String = "all-MiniLM-L6-v2".to_owned(),
            /// Embedding models that are loaded at a time, that of embedder.model among them; a model in two precisions counts twice.
            // Some 100 MB each for small models.
            "embedder.max_models" [range(1, 1_000)] => max_models: usize = 4,
            /// Seconds after which a model that nobody uses is unloaded; that of embedder.model stays.
            "embedder.unload_seconds" [range(1, 31_536_000)] => unload_models_after: Duration = Duration::from_secs(900),
            /// auto is fp32 on a CPU and fp16 on a GPU. int8 is faster on a CPU, and nearly as good (docs/embedding.md).
            "embedder.precision" => precision: Precision = Precision::Auto,
            /// Threads that embed documents (beside a GPU: that read them), each on one core; 0 takes as many as there are cores.
            "embedder.threads" [range(0, 1024)] => embedder_threads: usize = 0,
            /// Texts that may wait for the embedder.
            // About four documents' windows, so that the embedder never starves between them.
            "embedder.queue" [range(1, 1_000_000)] => embedder_queue: usize = 1_024,
            /// Bytes that stay free on the disk of data_dir: with less, uploads are refused and what was accepted waits, while questions
            /// and deletions go on. 0: none.
            "ingest.disk_reserve_bytes" [range(0, 1 << 50)] => disk_reserve_bytes: u64 = 512 << 20,
            /// Documents that are processed at a time; others wait on disk.
            // One document's extraction overlaps another's embedding; more would only hold memory.
            "ingest.documents_in_flight" [range(1, 1024)] => max_documents_in_flight: usize = 4,
            /// Percent of the time that re-indexing a collection may work; the rest is left to uploads and questions.
            "ingest.reindex_percent" [range(1, 100)] => reindex_percent: u32 = 50,
            /// Uploads that may be received, wait or be processed at a time; one more is answered 503.
            "ingest.max_open_uploads" [range(1, 1_000_000)] => max_open_uploads: usize = 1_000,
            /// Events of /ws/collections that are kept for clients that ask for what they missed.
            "ingest.kept_events" [range(1, 10_000_000)] => kept_events: u64 = 10_000,
            /// Resumable uploads that may wait for their bytes; one more is refused until one ends.
            "ingest.resumable_uploads" [range(1, 1_000_000)] => max_resumable_uploads: usize = 1_000,
            /// Seconds that a suspended upload waits to be resumed before its bytes are dropped.
            "ingest.resumable_seconds" [range(1, 31_536_000)] => resumable_expiry: Duration = Duration::from_secs(24 * 3_600),
            /// Where the vectors of new collections are kept: in the data directory, or in the Qdrant server of section [qdrant]. `ibid
            /// collections move` moves one.
            "index.default" => default_place: IndexBackend = IndexBackend::Embedded,
            /// Whether plugins may be installed and removed while the server runs (`ibid plugin install`).
            "plugins.install" [live()] => plugin_install: bool = true,
            /// Digests (sha256:...) of the only plugins that may run, those that ship included; an empty list lets all.
            "plugins.allow" => allowed_plugins: Vec<String> = Vec::new(),
            /// Queries that are answered at a time, over all connections.
            "query.max_concurrent" [range(1, 100_000), live()] => max_concurrent_queries: usize = 64,
            /// Queries that may wait for one of those places; one more is answered 503.
            "query.max_waiting" [range(0, 1_000_000)] => max_waiting_queries: usize = 1_024,
            /// Seconds that a query may take.
            "query.timeout_seconds" [range(1, 3600), live()] => query_timeout: Duration = Duration::from_secs(60),
            /// When no answer can be had before the first token: fail the query with LLM_CONNECTION_ERROR, or answer by the extractive
            /// generator and say so.
            "llm.on_failure" as FailOrFallback => llm_on_failure: OnFailure = OnFailure::Fail,
        }
        parts {
            /// The processor that runs the models, and ONNX Runtime.
            runtime: RuntimeChoice,
            /// The database of the catalog that this server shares with others; absent: a file in `data_dir`.
            catalog: Option<PostgresOptions>,
            /// Where files and texts are kept.
            files: StoreOptions,
            /// The Qdrant server that may keep collections.
            qdrant: Option<RemoteOptions>,
            /// Language models.
            llm: LlmSettings,
        }
        fixed {
            /// Where all that is uploaded lives.
            data_dir: PathBuf = PathBuf::new(),
            /// Where `lib/`, `models/` and `plugins/` are.
            share_dir: PathBuf = PathBuf::new(),
        }
    }
}

impl EngineSettings {
    /// Returns the defaults for a data directory and a share directory.
    pub fn new(data_dir: impl Into<PathBuf>, share_dir: impl Into<PathBuf>) -> Self {
        Self::default().in_directories(data_dir, share_dir)
    }

    /// Returns the same settings for a data directory and a share directory.
    pub fn in_directories(self, data_dir: impl Into<PathBuf>, share_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            share_dir: share_dir.into(),
            ..self
        }
    }
}

/// `fail` or `fallback`: without a generator there is no answer, so that it cannot be skipped.
#[derive(Debug)]
pub struct FailOrFallback;

impl Format<OnFailure> for FailOrFallback {
    const KIND: Kind = Kind::Choice(&["fail", "fallback"]);

    fn from_toml(value: &Value) -> Result<OnFailure, String> {
        match String::from_toml(value)?.as_str() {
            "fail" => Ok(OnFailure::Fail),
            "fallback" => Ok(OnFailure::Fallback),
            other => Err(format!("must be fail or fallback, not `{other}`")),
        }
    }

    fn to_toml(value: &OnFailure) -> Value {
        Value::from(value.name())
    }
}

impl From<&EngineSettings> for Tuning {
    fn from(settings: &EngineSettings) -> Self {
        Self {
            query_timeout: settings.query_timeout,
            max_concurrent_queries: settings.max_concurrent_queries,
            plugin_install: settings.plugin_install,
        }
    }
}
