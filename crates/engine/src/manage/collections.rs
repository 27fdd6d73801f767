//! Creates, lists and deletes collections, and reads their events.

use super::pipeline_checker::{CheckedPipeline, PipelineChecker};
use super::placement::Placement;
use crate::error::PipelineError;
use crate::ingest::reindex;
use crate::lifecycle::Lifecycle;
use crate::peers::{Peers, Stop};
use crate::query::profile_cache::ProfileCache;
use crate::spec::{Lock, Pipeline, shown_to};
use crate::store::announcements::wire;
use crate::store::jobs::Jobs;
use crate::store::{Store, statistics_of};
use crate::timestamp;
use ibid_auth::Subject;
use ibid_catalog::{CatalogError, Collection, CollectionStats as Counts, NewEvent};
use ibid_index::{CollectionKey, Schema, VectorIndex};
use ibid_protocol::{ApiError, CollectionEvent, CollectionInfo, CollectionList, CreateCollection, DeletedCollection};
use ibid_types::IndexBackend;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Events that are read from the log at a time.
const PAGE: u32 = 100;

/// A subscription to the events of collections. An event of `replay` may come again in `live`, with the same `seq`.
pub struct CollectionSubscription {
    /// How many events after the requested one the bounded log has dropped.
    pub missed: u64,
    /// Events after the requested one.
    pub replay: Vec<Arc<CollectionEvent>>,
    /// Events from now on.
    pub live: broadcast::Receiver<Arc<CollectionEvent>>,
}

/// Creates, lists, counts and deletes collections.
pub(crate) struct Collections {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    /// What checks pipelines.
    pub pipelines: Arc<dyn PipelineChecker>,
    pub profiles: Arc<ProfileCache>,
    pub jobs: Arc<Jobs>,
    pub placement: Arc<Placement>,
    pub lifecycle: Lifecycle,
    /// Where collections are kept whose creator does not say.
    pub default_backend: IndexBackend,
}

impl Collections {
    /// Returns every collection that the subject sees, by name.
    pub async fn collections(&self, subject: &Subject) -> Result<CollectionList, ApiError> {
        let list = async {
            let collections = self.store.catalog.collections().await?;
            let stats: std::collections::HashMap<String, Counts> = self.store.catalog.all_stats().await?.into_iter().collect();
            Ok::<_, PipelineError>(
                collections
                    .into_iter()
                    .filter(|c| subject.sees(&c.name))
                    .map(|c| info(&c, stats.get(&c.id).copied().unwrap_or_default(), None))
                    .collect(),
            )
        };
        list.await
            .map(|collections| CollectionList { collections })
            .map_err(|error| error.to_api_error(""))
    }

    /// Returns one collection, with as much of its pipeline as the subject may read.
    pub async fn collection(&self, name: &str, subject: &Subject) -> Result<CollectionInfo, ApiError> {
        if !subject.sees(name) {
            return Err(ApiError::collection_not_found(name));
        }
        let collection = async {
            let collection = self.store.catalog.collection(name).await?;
            let stats = self.store.catalog.stats(&collection.id).await?;
            let reindex = self.store.catalog.reindex(&collection.id).await?;
            let mut info = info(&collection, stats, Some(subject));
            info.reindex = reindex.as_ref().map(reindex::info);
            Ok::<_, PipelineError>(info)
        };
        collection.await.map_err(|error| error.to_api_error(""))
    }

    /// Creates a collection, after its whole pipeline was checked.
    pub async fn create_collection(&self, new: CreateCollection, subject: &Subject) -> Result<CollectionInfo, ApiError> {
        // Checked before the catalog is read: the response must not reveal whether the collection exists.
        if !subject.sees(&new.name) {
            return Err(ApiError::new(
                ibid_protocol::ErrorCode::AuthorizationFailed,
                format!("These credentials are for some collections, and `{}` is none of them.", new.name),
            )
            .with("collection_name", new.name));
        }
        let place = match new.index.as_deref() {
            None => self.default_backend,
            Some(word) => IndexBackend::parse(word).ok_or_else(|| ApiError::validation("index", "must be `embedded` or `qdrant`"))?,
        };
        if place == IndexBackend::Embedded && self.peers.is_shared() {
            return Err(crate::manage::placement::not_shared("index"));
        }
        let pipeline = Pipeline::parse(new.pipeline.unwrap_or_else(|| json!({})))?;
        let collection = self.create(&new.name, pipeline, place).await.map_err(|error| match error {
            // The body of this request calls it `name`.
            PipelineError::Catalog(CatalogError::Validation { issue, .. }) => ApiError::validation("name", issue),
            other => other.to_api_error(""),
        })?;
        Ok(info(&collection, Counts::default(), Some(subject)))
    }

    async fn create(&self, name: &str, pipeline: Pipeline, place: IndexBackend) -> Result<Collection, PipelineError> {
        self.store.disk.admit(0).await?;
        let CheckedPipeline { pipeline, lock } = self.pipelines.check(name, pipeline)?;
        let event = NewEvent::new("collection_created", json!({ "timestamp": timestamp::now() }));
        // Checked first: where the index cannot be used, nothing is created.
        if place == IndexBackend::Qdrant {
            self.store.index.at(place)?.health().await?;
        }
        let (collection, event) = self.store.catalog.create_collection(name, &pipeline, &lock, place, event).await?;
        self.store
            .index
            .put(&CollectionKey::of_generation(&collection.id, collection.generation)?, place);
        let indexed = self.make_index(&collection).await;
        self.store.publish(event);
        if let Err(error) = indexed {
            // A collection without an index is removed. If that fails too, the repair at the next start removes it.
            let removal = async {
                let collection = self.store.catalog.begin_delete_collection(name).await?;
                self.finish_deleting_collection(&collection).await
            };
            if let Err(error) = removal.await {
                tracing::warn!(collection = name, %error, "a collection that could not be created will be removed later");
            }
            return Err(error);
        }
        Ok(collection)
    }

    /// Creates the index of a collection, for vectors of the model in its lock. Does nothing if it exists.
    pub(crate) async fn make_index(&self, collection: &Collection) -> Result<(), PipelineError> {
        let dimension = match serde_json::from_value::<Lock>(collection.lock.clone()) {
            Ok(lock) => lock.model.dimension,
            Err(_) => self.pipelines.default_dimension(),
        };
        let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
        let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
        Ok(self.store.index.create_collection(&key, &Schema { dimension }).await?)
    }

    /// Returns the collection that an upload goes to. Creates it with the default pipeline if there is none.
    pub(crate) async fn collection_for_upload(&self, name: &str) -> Result<Collection, PipelineError> {
        match self.store.catalog.collection(name).await {
            Err(CatalogError::CollectionNotFound(_)) => {}
            other => return Ok(other?),
        }
        match self.create(name, Pipeline::default(), self.default_backend).await {
            // Two first uploads at once: the other one created it.
            Err(PipelineError::Catalog(CatalogError::Conflict(_))) => Ok(self.store.catalog.collection(name).await?),
            other => other,
        }
    }

    /// Deletes a collection with all of its documents, and returns how many there were.
    pub async fn delete_collection(self: &Arc<Self>, name: &str, subject: &Subject) -> Result<DeletedCollection, ApiError> {
        if !subject.sees(name) {
            return Err(ApiError::collection_not_found(name));
        }
        // Goes on if the caller goes away: half a deletion would only be finished at the next start.
        let (collections, name) = (self.clone(), name.to_owned());
        let deletion = self.lifecycle.tasks.spawn(async move {
            let stats = collections
                .store
                .catalog
                .stats(&collections.store.catalog.collection(&name).await?.id)
                .await?;
            let collection = collections.store.catalog.begin_delete_collection(&name).await?;
            collections.finish_deleting_collection(&collection).await?;
            Ok::<_, PipelineError>(DeletedCollection {
                collection: name,
                status: "deleted".to_owned(),
                documents_deleted: stats.documents,
                chunks_deleted: stats.chunks,
            })
        });
        deletion
            .await
            .map_err(PipelineError::from)
            .and_then(|receipt| receipt)
            .map_err(|error| error.to_api_error(""))
    }

    /// Stops the work on a collection that is being deleted, and removes the rest of it.
    pub(crate) async fn finish_deleting_collection(&self, collection: &Collection) -> Result<(), PipelineError> {
        self.forget_collection(&collection.id);
        self.peers.stop(Stop::Collection(collection.id.clone())).await?;
        let documents = self.store.catalog.deleting_documents(Some(&collection.id)).await?;
        for document in &documents {
            self.jobs.ingesting.stop(&document.id).await;
        }
        self.jobs.reindexing.stop(&collection.id).await;
        self.placement.stop_moving(&collection.id).await;
        let next = self.store.catalog.reindex(&collection.id).await?.map(|reindex| reindex.generation);
        for generation in next.into_iter().chain([collection.generation]) {
            let key = CollectionKey::of_generation(&collection.id, generation)?;
            if let Some(other) = collection.moving_to {
                self.store.index.at(other)?.drop_collection(&key).await?;
            }
            self.store.index.drop_collection(&key).await?;
        }
        for document in documents {
            self.store.remove_files(&document).await?;
            self.store.catalog.finish_delete(&document.id, None).await?;
            self.store.visibility.show(&collection.id, &document.id);
        }
        let event = NewEvent::new("collection_deleted", json!({ "timestamp": timestamp::now() }));
        if let Some(event) = self.store.catalog.finish_delete_collection(&collection.id, event).await? {
            self.store.publish(event);
        }
        self.store
            .index
            .forget(&CollectionKey::of_generation(&collection.id, collection.generation)?);
        Ok(())
    }

    /// Drops what is cached of a collection that is deleted or being deleted.
    pub(crate) fn forget_collection(&self, id: &str) {
        self.pipelines.forget_deleted(id);
        self.profiles.forget(id);
    }

    /// Subscribes to the events of collections. `replay` has those after number `after` of the collections whose names are `wanted`.
    pub async fn collection_events(&self, after: Option<i64>, wanted: impl Fn(&str) -> bool) -> Result<CollectionSubscription, ApiError> {
        let live = self.store.events.collections_from_now();
        let mut subscription = CollectionSubscription {
            missed: 0,
            replay: Vec::new(),
            live,
        };
        let Some(after) = after else { return Ok(subscription) };
        let mut after = u64::try_from(after).map_err(|_| ApiError::validation("after", "must be 0 or more"))?;
        let read = async {
            // Lost events are counted only for collections that still exist.
            let names = self
                .store
                .catalog
                .collections()
                .await?
                .into_iter()
                .map(|collection| collection.name);
            let names: Vec<String> = names.filter(|name| wanted(name)).collect();
            subscription.missed = self.store.catalog.events_since(after, Some(&names), 1).await?.missed;
            loop {
                // The log is bounded, and so is this loop.
                let page = self.store.catalog.events_since(after, None, PAGE).await?.events;
                let last = page.last().map(|event| event.seq);
                let whole = page.len() < PAGE as usize;
                let shown = page.into_iter().filter(|event| wanted(&event.collection));
                subscription.replay.extend(shown.map(|event| Arc::new(wire(event))));
                match last {
                    Some(last) if !whole => after = last,
                    _ => return Ok::<_, PipelineError>(()),
                }
            }
        };
        read.await.map_err(|error| error.to_api_error(""))?;
        Ok(subscription)
    }
}

/// Returns a collection as the protocol has it, with its pipeline where a subject is given.
fn info(collection: &Collection, counts: Counts, subject: Option<&Subject>) -> CollectionInfo {
    CollectionInfo {
        name: collection.name.clone(),
        created_at: timestamp::text(collection.created_at),
        processing_documents: counts.processing,
        index: collection.place.as_str().to_owned(),
        stats: statistics_of(&counts),
        pipeline: subject.map(|subject| shown_to(subject, collection.pipeline.clone())),
        lock: subject.map(|subject| shown_to(subject, collection.lock.clone())),
        reindex: None,
    }
}

#[cfg(test)]
#[path = "collections_tests.rs"]
mod tests;
