//! What clients may do with the engine: every call goes through a session, and names the scope that it needs as a type.
//!
//! A handler gets at a method only by [`Session::with`], which checks the scope. A handler that forgets the check does not compile.

use crate::engine::Engine;
use crate::permission::{Admin, Config, Delete, Permission, Read, ScopeType, Write};
use crate::{
    CollectionSubscription, DocumentFile, DocumentQuery, Health, Load, NewUpload, PluginChange, PluginChanges, PluginLog, QueryHandle,
    ReindexScope, ServiceHealth, Tuning, Upload, UploadSubscription,
};
use bytes::Bytes;
use ibid_auth::Subject;
use ibid_embed::{InstalledModel, Model};
use ibid_protocol::{
    AnalyzeRequest, AnalyzeResponse, Answer, ApiError, ChunkList, CollectionInfo, CollectionList, CollectionPipeline, CollectionPlace,
    CreateCollection, DeletedCollection, DeletedDocument, DocumentDetail, DocumentList, PipelineChanged, PipelineValid, PluginInstalled,
    PluginList, PluginRemoved, QueryOptions, ReindexInfo, ReindexPlan, SearchRequest, SearchResponse, SimilarRequest, SimilarResponse,
    TryPlugin, TryResult, UploadInfo,
};
use ibid_types::IndexBackend;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The engine as one subject may use it. Clones are of the same subject.
#[derive(Clone)]
pub struct Session {
    engine: Arc<Engine>,
    subject: Arc<Subject>,
}

/// What a subject's scope `S` allows. Made by [`Session::with`] alone. Results hold only what the subject may see.
pub struct Granted<S> {
    engine: Arc<Engine>,
    permission: Permission<S>,
}

impl Engine {
    /// Returns the engine as a subject may use it.
    pub fn session(self: &Arc<Self>, subject: Arc<Subject>) -> Session {
        Session {
            engine: self.clone(),
            subject,
        }
    }

    /// Takes other settings, for whatever begins from now on.
    pub fn tune(&self, tuning: Tuning) {
        self.services.queries.tune(tuning)
    }

    /// Asks every part something real.
    pub async fn health(&self) -> Health {
        self.services.monitor.health().await
    }

    /// Brings the metrics of what there is and what waits up to now. What cannot be had keeps its last value.
    pub async fn observe(&self) {
        self.services.monitor.observe().await
    }

    /// The last minute.
    pub fn load(&self) -> Load {
        self.services.monitor.load()
    }

    /// When plugins are quarantined and recover, from now on.
    pub fn plugin_state_changes(&self) -> PluginChanges {
        self.services.monitor.plugin_state_changes()
    }

    /// Runs a plugin, the default analyzer, over one word. `degraded` while a plugin is quarantined.
    pub async fn plugin_runtime(&self) -> ServiceHealth {
        self.services.monitor.plugin_runtime().await
    }

    /// Asks the file store something real. The report of health has no part for it: it shows in the status of the whole.
    pub async fn file_store(&self) -> ServiceHealth {
        self.services.monitor.file_store().await
    }

    /// Asks the catalog something. As with the file store, it shows in the status of the whole.
    pub async fn catalog_health(&self) -> ServiceHealth {
        self.services.monitor.catalog_health().await
    }
}

impl Session {
    /// Returns what the scope `S` allows, if the subject has it.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`.
    pub fn with<S: ScopeType>(&self) -> Result<Granted<S>, ApiError> {
        Ok(Granted {
            engine: self.engine.clone(),
            permission: Permission::of(&self.subject)?,
        })
    }

    /// Returns the subject.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }
}

impl<S: ScopeType> Granted<S> {
    /// Checks that the subject may use a collection; `None` is the default collection.
    ///
    /// # Errors
    /// `COLLECTION_NOT_FOUND`: to the client, a collection that it may not see does not exist.
    pub fn require_collection(&self, name: Option<&str>) -> Result<(), ApiError> {
        let name = name.unwrap_or(&self.engine.default_collection);
        self.permission.require_collection(name)
    }
}

/// What `read` allows: to ask, search, list and read.
impl Granted<Read> {
    /// Every collection that the subject sees, by name.
    pub async fn collections(&self) -> Result<CollectionList, ApiError> {
        self.engine.services.collections.collections(&self.permission.subject).await
    }

    /// One collection, with its pipeline, as far as the subject may know it.
    pub async fn collection(&self, name: &str) -> Result<CollectionInfo, ApiError> {
        self.engine.services.collections.collection(name, &self.permission.subject).await
    }

    /// The pipeline of a collection, and what it resolves to, as far as the subject may know it.
    pub async fn collection_pipeline(&self, name: &str) -> Result<CollectionPipeline, ApiError> {
        self.require_collection(Some(name))?;
        self.engine
            .services
            .updates
            .collection_pipeline(name, &self.permission.subject)
            .await
    }

    /// Where a collection is kept, and how far its last move is.
    pub async fn collection_place(&self, name: &str) -> Result<CollectionPlace, ApiError> {
        self.engine
            .services
            .placement
            .collection_place(name, &self.permission.subject)
            .await
    }

    /// What happens to the collections whose names are `wanted`: after `after`, if that is given; and what happens to any from now on.
    pub async fn collection_events(&self, after: Option<i64>, wanted: impl Fn(&str) -> bool) -> Result<CollectionSubscription, ApiError> {
        self.engine.services.collections.collection_events(after, wanted).await
    }

    /// A page of the documents that the subject sees.
    pub async fn documents(&self, list: DocumentQuery) -> Result<DocumentList, ApiError> {
        self.engine.services.documents.documents(list, &self.permission.subject).await
    }

    /// All that is known of a document.
    pub async fn document(&self, id: &str) -> Result<DocumentDetail, ApiError> {
        self.engine.services.documents.document(id, &self.permission.subject).await
    }

    /// A page of a document's chunks: `limit` 1 to 1,000.
    pub async fn document_chunks(&self, id: &str, limit: u32, offset: u32, include_embeddings: bool) -> Result<ChunkList, ApiError> {
        self.engine
            .services
            .documents
            .document_chunks(id, limit, offset, include_embeddings, &self.permission.subject)
            .await
    }

    /// The extracted text, or the part of it from code point `start` up to, not including, `end`.
    pub async fn document_text(&self, id: &str, start: Option<u64>, end: Option<u64>) -> Result<String, ApiError> {
        self.engine
            .services
            .documents
            .document_text(id, start, end, &self.permission.subject)
            .await
    }

    /// The original bytes.
    pub async fn document_file(&self, id: &str) -> Result<DocumentFile, ApiError> {
        self.engine.services.documents.document_file(id, &self.permission.subject).await
    }

    /// Starts a query of the subject's. Checks its values before anything else happens.
    pub fn query(&self, options: QueryOptions) -> Result<QueryHandle, ApiError> {
        self.engine.services.queries.query(options, &self.permission.subject)
    }

    /// Answers a query at once.
    pub async fn answer(&self, options: QueryOptions) -> Result<Answer, ApiError> {
        self.engine.services.queries.answer(options, &self.permission.subject).await
    }

    /// Finds passages without making an answer.
    pub async fn search(&self, request: SearchRequest) -> Result<SearchResponse, ApiError> {
        self.engine.services.queries.search(request, &self.permission.subject).await
    }

    /// Documents of the same collection that are like a given one, most alike first. Where the subject does not see the collection
    /// there is no such document.
    ///
    /// # Errors
    /// A value that is wrong, no such document, `CONFLICT` while it is processed, or a failed index.
    pub async fn similar(&self, request: SimilarRequest) -> Result<SimilarResponse, ApiError> {
        self.engine.services.queries.similar(request, &self.permission.subject).await
    }

    /// Asks a collection's analyzer.
    ///
    /// # Errors
    /// A value that is wrong, no such collection, or a failed analyzer that the pipeline does not go on without.
    pub async fn analyze_question(&self, request: AnalyzeRequest) -> Result<AnalyzeResponse, ApiError> {
        self.require_collection(request.collection_name.as_deref())?;
        self.engine.services.queries.analyze_question(request).await
    }

    /// The models that are installed, rerankers among them, the default one first.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn models(&self) -> Result<Vec<InstalledModel>, ApiError> {
        self.engine.services.embeddings.models().await
    }

    /// An embedding model by its name, in the precision of the settings.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` for one that is not installed, `VALIDATION_ERROR` for a reranker; a description that cannot be used.
    pub fn embedding_model(&self, name: &str) -> Result<Model, ApiError> {
        self.engine.services.embeddings.embedding_model(name)
    }

    /// The vectors of texts by a model, in their order, and the tokens of these texts; `queries` says that they are questions, for
    /// models that tell those apart. Dropping the future gives up what was not computed yet.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` when too much waits for the embedder, or as many models are in use as may be; `TIMEOUT_ERROR`; or a
    /// failed embedder.
    pub async fn embed(&self, model: &Model, texts: Vec<String>, queries: bool) -> Result<(Vec<Vec<f32>>, u64), ApiError> {
        self.engine.services.embeddings.embed(model, texts, queries).await
    }

    /// Tokens of the texts, as the default embedding model counts them.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn count_tokens(&self, texts: Vec<String>) -> Result<u64, ApiError> {
        self.engine.services.embeddings.count_tokens(texts).await
    }

    /// How much of a text, up to the end of a word, has at most `room` tokens of the embedding model: its bytes, and its tokens.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn fit_tokens(&self, text: String, room: u64) -> Result<(usize, u64), ApiError> {
        self.engine.services.embeddings.fit_tokens(text, room).await
    }

    /// What happens to uploads from now on, and where those in flight stand.
    pub fn upload_events(&self) -> UploadSubscription {
        self.engine.services.uploads.upload_events()
    }
}

/// What `write` allows: to upload, and create collections.
impl Granted<Write> {
    /// Makes a collection, once all of its pipeline is known to run.
    pub async fn create_collection(&self, new: CreateCollection) -> Result<CollectionInfo, ApiError> {
        self.engine
            .services
            .collections
            .create_collection(new, &self.permission.subject)
            .await
    }

    /// Checks a pipeline against what is installed, as a collection that is made with it would.
    ///
    /// # Errors
    /// A value that is wrong, by its key.
    pub fn validate_pipeline(&self, pipeline: Value) -> Result<PipelineValid, ApiError> {
        self.engine.services.updates.validate_pipeline(pipeline)
    }

    /// Begins an upload. Fails if no extractor takes the file's type, if it is too large, or if
    /// too many uploads are open. Nobody is told of it before [`Upload::announce`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `UNSUPPORTED_MEDIA_TYPE`, `PAYLOAD_TOO_LARGE`, `SERVICE_UNAVAILABLE`, or a failure of storage.
    pub async fn begin_upload(&self, new: NewUpload) -> Result<Upload, ApiError> {
        self.require_collection(new.collection_name.as_deref())?;
        self.engine.services.uploads.begin_upload(new).await
    }

    /// Takes up a resumable upload after the bytes that are here, also from whoever has it now.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if its bytes are not coming any more, `CONFLICT` if it is not resumable, or a failure of storage.
    pub async fn resume_upload(&self, id: &str) -> Result<Upload, ApiError> {
        self.upload_of(id).await?;
        self.engine.services.uploads.resume_upload(id).await
    }

    /// An upload, for one who may write to it.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`; `RESOURCE_NOT_FOUND` if there is none, or none that the subject sees.
    pub async fn upload_of(&self, id: &str) -> Result<UploadInfo, ApiError> {
        self.engine.services.uploads.upload_of(id, &self.permission.subject).await
    }

    /// Ends an upload without a document, whoever has it, also in the middle of processing.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `CONFLICT` if it has ended, or a failure of storage.
    pub async fn cancel_upload(&self, id: &str) -> Result<(), ApiError> {
        self.upload_of(id).await?;
        self.engine.services.uploads.cancel_upload(id).await
    }
}

/// What `delete` allows: to delete documents and collections.
impl Granted<Delete> {
    /// Deletes a collection and all that is in it, and tells what that was.
    pub async fn delete_collection(&self, name: &str) -> Result<DeletedCollection, ApiError> {
        self.engine
            .services
            .collections
            .delete_collection(name, &self.permission.subject)
            .await
    }

    /// Deletes a document and all that was made of it, and tells what that was.
    pub async fn delete_document(&self, id: &str) -> Result<DeletedDocument, ApiError> {
        self.engine.services.documents.delete_document(id, &self.permission.subject).await
    }
}

/// What `config` allows: to change pipelines and plugins.
impl Granted<Config> {
    /// Puts another pipeline in place, all of it checked before: at once where no document has to be made again, else by a re-index
    /// in the background. With `dry_run` it only tells what it would do.
    ///
    /// # Errors
    /// A value that is wrong, by its key; `CONFLICT` while the collection is re-indexed: then nothing has changed.
    pub async fn set_pipeline(&self, name: &str, pipeline: Value, dry_run: bool) -> Result<PipelineChanged, ApiError> {
        self.require_collection(Some(name))?;
        self.engine.services.updates.set_pipeline(name, pipeline, dry_run).await
    }

    /// Makes the documents of a collection again, by its present pipeline and what is installed now: what each needs, and `at_least`
    /// that. With `dry_run` it only tells what that would be.
    ///
    /// # Errors
    /// `CONFLICT` while the collection is re-indexed, or a pipeline that does not fit what is installed.
    pub async fn reindex(&self, name: &str, at_least: ReindexScope, dry_run: bool) -> Result<ReindexPlan, ApiError> {
        self.require_collection(Some(name))?;
        self.engine.services.updates.reindex(name, at_least, dry_run).await
    }

    /// Stops the re-index of a collection, which stays as it was; tells how it ended.
    ///
    /// # Errors
    /// `CONFLICT` where none runs.
    pub async fn cancel_reindex(&self, name: &str) -> Result<ReindexInfo, ApiError> {
        self.require_collection(Some(name))?;
        self.engine.services.updates.cancel_reindex(name).await
    }

    /// Every installed plugin.
    pub async fn plugins(&self) -> Result<PluginList, ApiError> {
        self.engine.services.plugins.plugins().await
    }

    /// All versions of a plugin.
    pub async fn plugin(&self, name: &str) -> Result<PluginList, ApiError> {
        self.engine.services.plugins.plugin(name).await
    }

    /// Follows the log of a plugin, in all its versions.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if there is none of this name.
    pub fn plugin_log(&self, name: &str) -> Result<PluginLog, ApiError> {
        self.engine.services.plugins.plugin_log(name)
    }

    /// Waits for the right to change what is installed.
    ///
    /// # Errors
    /// Where this server takes no plugins over the network, or another change takes too long.
    pub async fn plugin_change(&self) -> Result<PluginChange, ApiError> {
        self.engine.services.plugins.plugin_change().await
    }

    /// Installs a component. `true`: it is new here. Pipelines that its name and version fit take it up at once.
    ///
    /// # Errors
    /// `CONFLICT` if another plugin has its name and version, unless `replace`; `PLUGIN_ERROR` if it cannot be used.
    pub async fn install_plugin(&self, change: PluginChange, bytes: Vec<u8>, replace: bool) -> Result<(PluginInstalled, bool), ApiError> {
        self.engine.services.plugins.install_plugin(change, bytes, replace).await
    }

    /// Removes an installed plugin, of several versions the one that is named.
    ///
    /// # Errors
    /// `CONFLICT` if it ships with Ibid, if several versions are installed and none is named, or if a pipeline needs
    /// it, unless `force`.
    pub async fn remove_plugin(
        &self,
        change: PluginChange,
        name: &str,
        version: Option<&str>,
        force: bool,
    ) -> Result<PluginRemoved, ApiError> {
        self.engine.services.plugins.remove_plugin(change, name, version, force).await
    }

    /// Runs a plugin over a text: a chunker or an extractor over it as a document, an analyzer over it as a question, a formatter over
    /// each of its lines as a statement that cites itself.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if it is not installed; a value that is wrong, by its key; and what the plugin fails with.
    pub async fn try_plugin(&self, name: &str, request: TryPlugin) -> Result<TryResult, ApiError> {
        self.engine.services.trials.try_plugin(name, request).await
    }
}

/// What `admin` allows: to move collections, and back everything up.
impl Granted<Admin> {
    /// Begins to move a collection, or stops its move where `to` is the place where it is. A move that goes on there already goes on.
    ///
    /// # Errors
    /// No such collection, or an index that cannot be used: then nothing has changed.
    pub async fn move_collection(&self, name: &str, to: IndexBackend) -> Result<CollectionPlace, ApiError> {
        self.require_collection(Some(name))?;
        self.engine
            .services
            .placement
            .move_collection(name, to, &self.permission.subject)
            .await
    }

    /// Begins a backup; its pieces come out of the receiver. An error as a piece ends it: it is not whole then.
    ///
    /// # Errors
    /// `AUTHORIZATION_FAILED` for who does not see everything; `CONFLICT` while another one is made; what keeps the catalog from being
    /// copied.
    pub async fn backup(&self) -> Result<mpsc::Receiver<io::Result<Bytes>>, ApiError> {
        self.engine.services.backups.backup(&self.permission.subject).await
    }
}
