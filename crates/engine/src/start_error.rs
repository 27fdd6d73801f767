//! Why the engine did not start.

use ibid_generate::llm::Refusal;
use ibid_protocol::ApiError;
use ibid_system::disk::DiskError;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedder.
    #[error(transparent)]
    Embed(#[from] ibid_embed::EmbedError),
    /// The plugin host.
    #[error(transparent)]
    Plugin(#[from] ibid_plugin_host::PluginError),
    /// The store of installed plugins.
    #[error("installed plugins cannot be read: {0}")]
    PluginStore(#[from] ibid_plugin_host::StoreError),
    /// The language model's settings.
    #[error("the setting `llm.{}` {}", .0.key, .0.issue)]
    Llm(Refusal),
    /// The disk of the data directory.
    #[error("the data directory {directory} cannot be written: {error}. Or choose another one with --data-dir DIR")]
    Disk {
        /// Where it is.
        directory: String,
        /// What is the matter.
        error: DiskError,
    },
    /// The catalog.
    #[error("the catalog in {directory} cannot be opened: {cause}")]
    Catalog {
        /// Where it is.
        directory: String,
        /// Why it cannot be opened.
        #[source]
        cause: ibid_catalog::CatalogError,
    },
    /// The catalog that servers share.
    #[error("{0}. `catalog.url` says where the catalog of several servers is")]
    SharedCatalog(ibid_catalog::CatalogError),
    /// Servers that share a catalog have to share the index.
    #[error("servers that share a catalog (`catalog.url`) keep vectors in a Qdrant server: set `qdrant.url`")]
    NoSharedIndex,
    /// Servers that share a catalog have to share the files.
    #[error("servers that share a catalog (`catalog.url`) keep files in an object store: set `files.store` to s3, and section `files.s3`")]
    NoSharedFiles,
    /// The other servers.
    #[error("this server cannot join those that share its catalog: {0}")]
    Join(ApiError),
    /// New collections are to be kept in a Qdrant server, and there is none.
    #[error("`index.default` is qdrant, and `qdrant.url` does not say where the server is: set it, or leave index.default as it is")]
    NoQdrant,
    /// The vector index.
    #[error("the vector index cannot be opened: {}", .0.detail())]
    Index(#[from] ibid_index::IndexError),
    /// The file store.
    #[error("the file store in {place} cannot be opened: {cause}")]
    Files {
        /// Where it is.
        place: String,
        /// Why it cannot be opened.
        #[source]
        cause: ibid_files::FileError,
    },
    /// The default pipeline does not fit what is installed.
    #[error("the default pipeline cannot run: {0}. `ibid doctor` says what is missing")]
    Pipeline(ApiError),
    /// What was unfinished at the last stop cannot be taken up.
    #[error("unfinished work cannot be taken up: {0}")]
    Resume(ApiError),
    /// A worker thread failed.
    #[error("a worker thread failed: {0}")]
    Worker(#[from] tokio::task::JoinError),
}
