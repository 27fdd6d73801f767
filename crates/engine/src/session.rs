//! What clients may do with the engine.

use crate::engine::Engine;
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
use tokio::sync::mpsc;

impl Engine {
    /// Returns the name of the collection that a request means that names `named`.
    pub fn collection_or_default<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.unwrap_or(&self.default_collection)
    }

    /// Returns the name of the collection of requests that name none.
    pub fn default_collection(&self) -> &str {
        &self.default_collection
    }

    /// Starts a query of the subject's. Checks its values before anything else happens.
    pub fn query(&self, options: QueryOptions, subject: &Subject) -> Result<QueryHandle, ApiError> {
        self.queries.query(options, subject)
    }

    /// Answers a query at once.
    pub async fn answer(&self, options: QueryOptions, subject: &Subject) -> Result<Answer, ApiError> {
        self.queries.answer(options, subject).await
    }

    /// Finds passages without making an answer.
    pub async fn search(&self, request: SearchRequest, subject: &Subject) -> Result<SearchResponse, ApiError> {
        self.queries.search(request, subject).await
    }

    /// Takes other settings, for whatever begins from now on.
    pub fn tune(&self, tuning: Tuning) {
        self.queries.tune(tuning)
    }

    /// Asks a collection's analyzer.
    ///
    /// # Errors
    /// A value that is wrong, no such collection, or a failed analyzer that the pipeline does not go on without.
    pub async fn analyze_question(&self, request: AnalyzeRequest) -> Result<AnalyzeResponse, ApiError> {
        self.queries.analyze_question(request).await
    }

    /// The models that are installed, rerankers among them, the default one first.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn models(&self) -> Result<Vec<InstalledModel>, ApiError> {
        self.queries.models().await
    }

    /// An embedding model by its name, in the precision of the settings.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` for one that is not installed, `VALIDATION_ERROR` for a reranker; a description that cannot be used.
    pub fn embedding_model(&self, name: &str) -> Result<Model, ApiError> {
        self.queries.embedding_model(name)
    }

    /// The vectors of texts by a model, in their order, and the tokens of these texts; `queries` says that they are questions, for
    /// models that tell those apart. Dropping the future gives up what was not computed yet.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` when too much waits for the embedder, or as many models are in use as may be; `TIMEOUT_ERROR`; or a
    /// failed embedder.
    pub async fn embed(&self, model: &Model, texts: Vec<String>, queries: bool) -> Result<(Vec<Vec<f32>>, u64), ApiError> {
        self.queries.embed(model, texts, queries).await
    }

    /// Tokens of the texts, as the default embedding model counts them.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn count_tokens(&self, texts: Vec<String>) -> Result<u64, ApiError> {
        self.queries.count_tokens(texts).await
    }

    /// How much of a text, up to the end of a word, has at most `room` tokens of the embedding model: its bytes, and its tokens.
    ///
    /// # Errors
    /// A worker thread that failed.
    pub async fn fit_tokens(&self, text: String, room: u64) -> Result<(usize, u64), ApiError> {
        self.queries.fit_tokens(text, room).await
    }

    /// Documents of the same collection that are like a given one, most alike first. Where the subject does not see the collection
    /// there is no such document.
    ///
    /// # Errors
    /// A value that is wrong, no such document, `CONFLICT` while it is processed, or a failed index.
    pub async fn similar(&self, request: SimilarRequest, subject: &Subject) -> Result<SimilarResponse, ApiError> {
        self.queries.similar(request, subject).await
    }

    /// Runs a plugin over a text: a chunker or an extractor over it as a document, an analyzer over it as a question, a formatter over
    /// each of its lines as a statement that cites itself.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if it is not installed; a value that is wrong, by its key; and what the plugin fails with.
    pub async fn try_plugin(&self, name: &str, request: TryPlugin) -> Result<TryResult, ApiError> {
        self.queries.try_plugin(name, request).await
    }

    /// Every collection that the subject sees, by name.
    pub async fn collections(&self, subject: &Subject) -> Result<CollectionList, ApiError> {
        self.collections.collections(subject).await
    }

    /// One collection, with its pipeline, as far as the subject may know it.
    pub async fn collection(&self, name: &str, subject: &Subject) -> Result<CollectionInfo, ApiError> {
        self.collections.collection(name, subject).await
    }

    /// Makes a collection, once all of its pipeline is known to run.
    pub async fn create_collection(&self, new: CreateCollection, subject: &Subject) -> Result<CollectionInfo, ApiError> {
        self.collections.create_collection(new, subject).await
    }

    /// Deletes a collection and all that is in it, and tells what that was.
    pub async fn delete_collection(&self, name: &str, subject: &Subject) -> Result<DeletedCollection, ApiError> {
        self.collections.delete_collection(name, subject).await
    }

    /// What happens to the collections whose names are `wanted`: after `after`, if that is given; and what happens to any from now on.
    pub async fn collection_events(&self, after: Option<i64>, wanted: impl Fn(&str) -> bool) -> Result<CollectionSubscription, ApiError> {
        self.collections.collection_events(after, wanted).await
    }

    /// A page of the documents that the subject sees.
    pub async fn documents(&self, list: DocumentQuery, subject: &Subject) -> Result<DocumentList, ApiError> {
        self.documents.documents(list, subject).await
    }

    /// All that is known of a document.
    pub async fn document(&self, id: &str, subject: &Subject) -> Result<DocumentDetail, ApiError> {
        self.documents.document(id, subject).await
    }

    /// A page of a document's chunks: `limit` 1 to 1,000.
    pub async fn document_chunks(
        &self,
        id: &str,
        limit: u32,
        offset: u32,
        include_embeddings: bool,
        subject: &Subject,
    ) -> Result<ChunkList, ApiError> {
        self.documents.document_chunks(id, limit, offset, include_embeddings, subject).await
    }

    /// The extracted text, or the part of it from code point `start` up to, not including, `end`.
    pub async fn document_text(&self, id: &str, start: Option<u64>, end: Option<u64>, subject: &Subject) -> Result<String, ApiError> {
        self.documents.document_text(id, start, end, subject).await
    }

    /// The original bytes.
    pub async fn document_file(&self, id: &str, subject: &Subject) -> Result<DocumentFile, ApiError> {
        self.documents.document_file(id, subject).await
    }

    /// Deletes a document and all that was made of it, and tells what that was.
    pub async fn delete_document(&self, id: &str, subject: &Subject) -> Result<DeletedDocument, ApiError> {
        self.documents.delete_document(id, subject).await
    }

    /// The pipeline of a collection, and what it resolves to, as far as the subject may know it.
    pub async fn collection_pipeline(&self, name: &str, subject: &Subject) -> Result<CollectionPipeline, ApiError> {
        self.updates.collection_pipeline(name, subject).await
    }

    /// Checks a pipeline against what is installed, as a collection that is made with it would.
    ///
    /// # Errors
    /// A value that is wrong, by its key.
    pub fn validate_pipeline(&self, pipeline: Value) -> Result<PipelineValid, ApiError> {
        self.updates.validate_pipeline(pipeline)
    }

    /// Puts another pipeline in place, all of it checked before: at once where no document has to be made again, else by a re-index
    /// in the background. With `dry_run` it only tells what it would do.
    ///
    /// # Errors
    /// A value that is wrong, by its key; `CONFLICT` while the collection is re-indexed: then nothing has changed.
    pub async fn set_pipeline(&self, name: &str, pipeline: Value, dry_run: bool) -> Result<PipelineChanged, ApiError> {
        self.updates.set_pipeline(name, pipeline, dry_run).await
    }

    /// Makes the documents of a collection again, by its present pipeline and what is installed now: what each needs, and `at_least`
    /// that. With `dry_run` it only tells what that would be.
    ///
    /// # Errors
    /// `CONFLICT` while the collection is re-indexed, or a pipeline that does not fit what is installed.
    pub async fn reindex(&self, name: &str, at_least: ReindexScope, dry_run: bool) -> Result<ReindexPlan, ApiError> {
        self.updates.reindex(name, at_least, dry_run).await
    }

    /// Stops the re-index of a collection, which stays as it was; tells how it ended.
    ///
    /// # Errors
    /// `CONFLICT` where none runs.
    pub async fn cancel_reindex(&self, name: &str) -> Result<ReindexInfo, ApiError> {
        self.updates.cancel_reindex(name).await
    }

    /// Where a collection is kept, and how far its last move is.
    pub async fn collection_place(&self, name: &str, subject: &Subject) -> Result<CollectionPlace, ApiError> {
        self.placement.collection_place(name, subject).await
    }

    /// Begins to move a collection, or stops its move where `to` is the place where it is. A move that goes on there already goes on.
    ///
    /// # Errors
    /// No such collection, or an index that cannot be used: then nothing has changed.
    pub async fn move_collection(&self, name: &str, to: IndexBackend, subject: &Subject) -> Result<CollectionPlace, ApiError> {
        self.placement.move_collection(name, to, subject).await
    }

    /// Follows the log of a plugin, in all its versions.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if there is none of this name.
    pub fn plugin_log(&self, name: &str) -> Result<PluginLog, ApiError> {
        self.plugins.plugin_log(name)
    }

    /// Every installed plugin.
    pub async fn plugins(&self) -> Result<PluginList, ApiError> {
        self.plugins.plugins().await
    }

    /// All versions of a plugin.
    pub async fn plugin(&self, name: &str) -> Result<PluginList, ApiError> {
        self.plugins.plugin(name).await
    }

    /// Waits for the right to change what is installed.
    ///
    /// # Errors
    /// Where this server takes no plugins over the network, or another change takes too long.
    pub async fn plugin_change(&self) -> Result<PluginChange, ApiError> {
        self.plugins.plugin_change().await
    }

    /// Installs a component. `true`: it is new here. Pipelines that its name and version fit take it up at once.
    ///
    /// # Errors
    /// `CONFLICT` if another plugin has its name and version, unless `replace`; `PLUGIN_ERROR` if it cannot be used.
    pub async fn install_plugin(&self, change: PluginChange, bytes: Vec<u8>, replace: bool) -> Result<(PluginInstalled, bool), ApiError> {
        self.plugins.install_plugin(change, bytes, replace).await
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
        self.plugins.remove_plugin(change, name, version, force).await
    }

    /// Begins an upload. Fails if no extractor takes the file's type, if it is too large, or if
    /// too many uploads are open. Nobody is told of it before [`Upload::announce`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `UNSUPPORTED_MEDIA_TYPE`, `PAYLOAD_TOO_LARGE`, `SERVICE_UNAVAILABLE`, or a failure of storage.
    pub async fn begin_upload(&self, new: NewUpload) -> Result<Upload, ApiError> {
        self.uploads.begin_upload(new).await
    }

    /// Takes up a resumable upload after the bytes that are here, also from whoever has it now.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if its bytes are not coming any more, `CONFLICT` if it is not resumable, or a failure of storage.
    pub async fn resume_upload(&self, id: &str) -> Result<Upload, ApiError> {
        self.uploads.resume_upload(id).await
    }

    /// What happens to uploads from now on, and where those in flight stand.
    pub fn upload_events(&self) -> UploadSubscription {
        self.uploads.upload_events()
    }

    /// An upload, for one who may write to it.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`; `RESOURCE_NOT_FOUND` if there is none, or none that the subject sees.
    pub async fn upload_of(&self, id: &str, subject: &Subject) -> Result<UploadInfo, ApiError> {
        self.uploads.upload_of(id, subject).await
    }

    /// Ends an upload without a document, whoever has it, also in the middle of processing.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `CONFLICT` if it has ended, or a failure of storage.
    pub async fn cancel_upload(&self, id: &str) -> Result<(), ApiError> {
        self.uploads.cancel_upload(id).await
    }

    /// Begins a backup; its pieces come out of the receiver. An error as a piece ends it: it is not whole then.
    ///
    /// # Errors
    /// `AUTHORIZATION_FAILED` for who does not see everything; `CONFLICT` while another one is made; what keeps the catalog from being
    /// copied.
    pub async fn backup(&self, subject: &Subject) -> Result<mpsc::Receiver<io::Result<Bytes>>, ApiError> {
        self.backups.backup(subject).await
    }

    /// Asks the file store something real. The report of health has no part for it: it shows in the status of the whole.
    pub async fn file_store(&self) -> ServiceHealth {
        self.monitor.file_store().await
    }

    /// Asks the catalog something. As with the file store, it shows in the status of the whole.
    pub async fn catalog_health(&self) -> ServiceHealth {
        self.monitor.catalog_health().await
    }

    /// Asks every part something real.
    pub async fn health(&self) -> Health {
        self.monitor.health().await
    }

    /// The last minute.
    pub fn load(&self) -> Load {
        self.monitor.load()
    }

    /// When plugins are quarantined and recover, from now on.
    pub fn plugin_state_changes(&self) -> PluginChanges {
        self.monitor.plugin_state_changes()
    }

    /// Runs a plugin, the default analyzer, over one word. `degraded` while a plugin is quarantined.
    pub async fn plugin_runtime(&self) -> ServiceHealth {
        self.monitor.plugin_runtime().await
    }

    /// Brings the metrics of what there is and what waits up to now. What cannot be had keeps its last value.
    pub async fn observe(&self) {
        self.monitor.observe().await
    }
}
