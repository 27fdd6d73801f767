//! Collections: made, listed, counted, deleted, and their events.

use super::placement::Placement;
use crate::error::PipelineError;
use crate::ingest::reindex;
use crate::lifecycle::Lifecycle;
use crate::peers::{Peers, Stop};
use crate::query::profile_cache::ProfileCache;
use crate::spec::pipelines::Pipelines;
use crate::spec::{Lock, Pipeline, shown_to};
use crate::store::announcements::wire;
use crate::store::jobs::Jobs;
use crate::store::{Store, statistics_of, unwritable};
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

/// A view of what happens to collections. What is in `replay` may come again in `live`: its `seq`
/// tells.
pub struct CollectionSubscription {
    /// Events after the point asked for that the bounded log has dropped.
    pub missed: u64,
    /// Events after the point asked for.
    pub replay: Vec<Arc<CollectionEvent>>,
    /// What happens from now on.
    pub live: broadcast::Receiver<Arc<CollectionEvent>>,
}

/// Creates, lists, counts and deletes collections.
pub(crate) struct Collections {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
    pub profiles: Arc<ProfileCache>,
    pub jobs: Arc<Jobs>,
    pub placement: Arc<Placement>,
    pub lifecycle: Lifecycle,
    /// Where collections are kept whose creator does not say.
    pub default_backend: IndexBackend,
}

impl Collections {
    /// Every collection that the subject sees, by name.
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

    /// One collection, with its pipeline, as far as the subject may know it.
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

    /// Makes a collection, once all of its pipeline is known to run.
    pub async fn create_collection(&self, new: CreateCollection, subject: &Subject) -> Result<CollectionInfo, ApiError> {
        // Before anything is looked up, so that the answer does not tell whether there is one.
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
        let collection = self
            .make_collection(&new.name, pipeline, place)
            .await
            .map_err(|error| match error {
                // The body of this request calls it `name`.
                PipelineError::Catalog(CatalogError::Validation { issue, .. }) => ApiError::validation("name", issue),
                other => other.to_api_error(""),
            })?;
        Ok(info(&collection, Counts::default(), Some(subject)))
    }

    async fn make_collection(&self, name: &str, pipeline: Pipeline, place: IndexBackend) -> Result<Collection, PipelineError> {
        self.store.disk.admit(0).await?;
        let resolved = self.pipelines.resolve("unnamed", name, pipeline)?;
        let pipeline = serde_json::to_value(&resolved.pipeline).map_err(unwritable)?;
        let lock = serde_json::to_value(&resolved.lock).map_err(unwritable)?;
        let event = NewEvent::new("collection_created", json!({ "timestamp": timestamp::now() }));
        // Before anything is made: where the index cannot be used, nothing has happened.
        if place == IndexBackend::Qdrant {
            self.store.index.at(place)?.health().await?;
        }
        let (collection, event) = self.store.catalog.create_collection(name, &pipeline, &lock, place, event).await?;
        self.store
            .index
            .put(&CollectionKey::of_generation(&collection.id, collection.generation)?, place);
        let made = self.make_index(&collection).await;
        self.store.publish(event);
        if let Err(error) = made {
            // Without an index it is no collection: it goes again. Where that fails, the reconciliation finds it.
            let gone = async {
                let collection = self.store.catalog.begin_delete_collection(name).await?;
                self.finish_deleting_collection(&collection).await
            };
            if let Err(error) = gone.await {
                tracing::warn!(collection = name, %error, "a collection that could not be made will be removed later");
            }
            return Err(error);
        }
        Ok(collection)
    }

    /// The index of a collection, for vectors of the model in its lock; nothing happens if it is there.
    pub(crate) async fn make_index(&self, collection: &Collection) -> Result<(), PipelineError> {
        let dimension = match serde_json::from_value::<Lock>(collection.lock.clone()) {
            Ok(lock) => lock.model.dimension,
            Err(_) => self.pipelines.models.default_embedder().info().dimension,
        };
        let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
        let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
        Ok(self.store.index.create_collection(&key, &Schema { dimension }).await?)
    }

    /// The collection that an upload goes to; made with the default pipeline if there is none.
    pub(crate) async fn collection_for_upload(&self, name: &str) -> Result<Collection, PipelineError> {
        match self.store.catalog.collection(name).await {
            Err(CatalogError::CollectionNotFound(_)) => {}
            other => return Ok(other?),
        }
        match self.make_collection(name, Pipeline::default(), self.default_backend).await {
            // Two first uploads at once: the other one made it.
            Err(PipelineError::Catalog(CatalogError::Conflict(_))) => Ok(self.store.catalog.collection(name).await?),
            other => other,
        }
    }

    /// Deletes a collection and all that is in it, and tells what that was.
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

    /// Removes what is left of a collection that is being deleted.
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

    /// Forgets what is known of a collection that is gone, or going.
    pub(crate) fn forget_collection(&self, id: &str) {
        self.pipelines.drop_resolved(id);
        self.profiles.forget(id);
    }

    /// What happens to the collections whose names are `wanted`: after `after`, if that is given; and what happens to any from now on.
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
            // Of names that no collection has any more nothing is known to be lost.
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
                // The log is bounded, and so is what is read of it here.
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

/// What is told of a collection: with its pipeline where there is somebody to show it to.
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
