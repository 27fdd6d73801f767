//! Collections: made, listed, counted, deleted, and their events.

use super::cluster::Stop;
use super::engine::Engine;
use super::error::PipelineError;
use super::reindex;
use super::spec::{Lock, Pipeline, shown_to};
use super::timestamp;
use ibid_auth::Subject;
use ibid_catalog::{CatalogError, Collection, CollectionStats as Counts, Event, NewEvent};
use ibid_index::{CollectionKey, Schema, VectorIndex};
use ibid_protocol::{ApiError, CollectionEvent, CollectionInfo, CollectionList, CollectionStats, CreateCollection, DeletedCollection};
use ibid_types::IndexBackend;
use serde_json::json;
use std::sync::{Arc, PoisonError};
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

impl Engine {
    /// Every collection that the subject sees, by name.
    pub async fn collections(&self, subject: &Subject) -> Result<CollectionList, ApiError> {
        let list = async {
            let collections = self.catalog.collections().await?;
            let stats: std::collections::HashMap<String, Counts> = self.catalog.all_stats().await?.into_iter().collect();
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
            let collection = self.catalog.collection(name).await?;
            let stats = self.catalog.stats(&collection.id).await?;
            let reindex = self.catalog.reindex(&collection.id).await?;
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
            None => self.settings.default_place,
            Some(word) => IndexBackend::parse(word).ok_or_else(|| ApiError::validation("index", "must be `embedded` or `qdrant`"))?,
        };
        if place == IndexBackend::Embedded && self.is_shared() {
            return Err(super::placement::not_shared("index"));
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
        self.disk.admit(0).await?;
        let resolved = self.resolve("unnamed", name, pipeline)?;
        let pipeline = serde_json::to_value(&resolved.pipeline).map_err(ser)?;
        let lock = serde_json::to_value(&resolved.lock).map_err(ser)?;
        let event = NewEvent::new("collection_created", json!({ "timestamp": timestamp::now() }));
        // Before anything is made: where the index cannot be used, nothing has happened.
        if place == IndexBackend::Qdrant {
            self.index.at(place)?.health().await?;
        }
        let (collection, event) = self.catalog.create_collection(name, &pipeline, &lock, place, event).await?;
        self.index
            .put(&CollectionKey::of_generation(&collection.id, collection.generation)?, place);
        let made = self.make_index(&collection).await;
        self.tell(event);
        if let Err(error) = made {
            // Without an index it is no collection: it goes again. Where that fails, the reconciliation finds it.
            let gone = async {
                let collection = self.catalog.begin_delete_collection(name).await?;
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
    pub(super) async fn make_index(&self, collection: &Collection) -> Result<(), PipelineError> {
        let dimension = match serde_json::from_value::<Lock>(collection.lock.clone()) {
            Ok(lock) => lock.model.dimension,
            Err(_) => self.models.default_embedder().info().dimension,
        };
        let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
        let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
        Ok(self.index.create_collection(&key, &Schema { dimension }).await?)
    }

    /// The collection that an upload goes to; made with the default pipeline if there is none.
    pub(super) async fn collection_for_upload(&self, name: &str) -> Result<Collection, PipelineError> {
        match self.catalog.collection(name).await {
            Err(CatalogError::CollectionNotFound(_)) => {}
            other => return Ok(other?),
        }
        match self.make_collection(name, Pipeline::default(), self.settings.default_place).await {
            // Two first uploads at once: the other one made it.
            Err(PipelineError::Catalog(CatalogError::Conflict(_))) => Ok(self.catalog.collection(name).await?),
            other => other,
        }
    }

    /// Deletes a collection and all that is in it, and tells what that was.
    pub async fn delete_collection(self: &Arc<Self>, name: &str, subject: &Subject) -> Result<DeletedCollection, ApiError> {
        if !subject.sees(name) {
            return Err(ApiError::collection_not_found(name));
        }
        // Goes on if the caller goes away: half a deletion would only be finished at the next start.
        let (engine, name) = (self.clone(), name.to_owned());
        let deletion = self.tasks.spawn(async move {
            let stats = engine.catalog.stats(&engine.catalog.collection(&name).await?.id).await?;
            let collection = engine.catalog.begin_delete_collection(&name).await?;
            engine.finish_deleting_collection(&collection).await?;
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
    pub(super) async fn finish_deleting_collection(&self, collection: &Collection) -> Result<(), PipelineError> {
        self.forget_collection(&collection.id);
        self.stop_elsewhere(Stop::Collection(collection.id.clone())).await?;
        let documents = self.catalog.deleting_documents(Some(&collection.id)).await?;
        for document in &documents {
            self.in_process.stop(&document.id).await;
        }
        self.reindexing.stop(&collection.id).await;
        self.stop_moving(&collection.id).await;
        let next = self.catalog.reindex(&collection.id).await?.map(|reindex| reindex.generation);
        for generation in next.into_iter().chain([collection.generation]) {
            let key = CollectionKey::of_generation(&collection.id, generation)?;
            if let Some(other) = collection.moving_to {
                self.index.at(other)?.drop_collection(&key).await?;
            }
            self.index.drop_collection(&key).await?;
        }
        for document in documents {
            self.remove_files(&document).await?;
            self.catalog.finish_delete(&document.id, None).await?;
            self.visibility.show(&collection.id, &document.id);
        }
        let event = NewEvent::new("collection_deleted", json!({ "timestamp": timestamp::now() }));
        if let Some(event) = self.catalog.finish_delete_collection(&collection.id, event).await? {
            self.tell(event);
        }
        self.index
            .forget(&CollectionKey::of_generation(&collection.id, collection.generation)?);
        Ok(())
    }

    /// Forgets what is known of a collection that is gone, or going.
    pub(super) fn forget_collection(&self, id: &str) {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).resolved.remove(id);
        self.forget_profiles(id);
    }

    /// What happens to the collections whose names are `wanted`: after `after`, if that is given; and what happens to any from now on.
    pub async fn collection_events(&self, after: Option<i64>, wanted: impl Fn(&str) -> bool) -> Result<CollectionSubscription, ApiError> {
        let live = self.events.collections_from_now();
        let mut subscription = CollectionSubscription {
            missed: 0,
            replay: Vec::new(),
            live,
        };
        let Some(after) = after else { return Ok(subscription) };
        let mut after = u64::try_from(after).map_err(|_| ApiError::validation("after", "must be 0 or more"))?;
        let read = async {
            // Of names that no collection has any more nothing is known to be lost.
            let names = self.catalog.collections().await?.into_iter().map(|collection| collection.name);
            let names: Vec<String> = names.filter(|name| wanted(name)).collect();
            subscription.missed = self.catalog.events_since(after, Some(&names), 1).await?.missed;
            loop {
                // The log is bounded, and so is what is read of it here.
                let page = self.catalog.events_since(after, None, PAGE).await?.events;
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

    /// Records and tells a collection's statistics as they are now.
    pub(super) async fn tell_statistics_of(&self, collection_id: &str) -> Result<(), PipelineError> {
        let stats = statistics(&self.catalog.stats(collection_id).await?);
        let data = serde_json::to_value(&stats).map_err(ser)?;
        match self
            .catalog
            .append_event(collection_id, NewEvent::new("collection_stats", data))
            .await
        {
            Ok(event) => self.tell(event),
            // Deleted meanwhile: there is nothing to count.
            Err(CatalogError::CollectionNotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn ser(error: serde_json::Error) -> PipelineError {
    tracing::error!(%error, "a value could not be written as JSON");
    ApiError::new(ibid_protocol::ErrorCode::InternalError, "a value could not be written as JSON").into()
}

/// An event as it is told.
pub(super) fn wire(event: Event) -> CollectionEvent {
    CollectionEvent {
        kind: event.kind,
        collection: event.collection,
        seq: i64::try_from(event.seq).unwrap_or(i64::MAX),
        data: event.data,
    }
}

fn statistics(counts: &Counts) -> CollectionStats {
    CollectionStats {
        total_documents: counts.documents,
        total_chunks: counts.chunks,
        storage_size_mb: (counts.file_bytes + counts.text_bytes) as f64 / 1e6,
        last_updated: timestamp::now(),
    }
}

/// What is told of a collection: with its pipeline where there is somebody to show it to.
fn info(collection: &Collection, counts: Counts, subject: Option<&Subject>) -> CollectionInfo {
    CollectionInfo {
        name: collection.name.clone(),
        created_at: timestamp::text(collection.created_at),
        processing_documents: counts.processing,
        index: collection.place.as_str().to_owned(),
        stats: statistics(&counts),
        pipeline: subject.map(|subject| shown_to(subject, collection.pipeline.clone())),
        lock: subject.map(|subject| shown_to(subject, collection.lock.clone())),
        reindex: None,
    }
}
