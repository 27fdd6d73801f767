//! Moves collections between the embedded index and a Qdrant server, while they are in use and without embedding anything again.
//!
//! The catalog says where a collection is kept and whether it is moving. A move copies one document after another until both indexes hold
//! the same, holds back writes for the last difference, and switches in one transaction. Until then uploads and deletions use the old index,
//! and queries never wait. A copy that a failed move leaves behind is removed by the repair at the next start. A server that is away is
//! waited for.

use crate::error::PipelineError;
use crate::lifecycle::Lifecycle;
use crate::peers::Peers;
use crate::retry::Backoff;
use crate::spec::Lock;
use crate::store::Store;
use crate::timestamp;
use ibid_auth::Subject;
use ibid_catalog::{Collection, NewEvent, ReindexStatus};
use ibid_index::{CollectionKey, IndexError, Schema, VectorIndex};
use ibid_protocol::{ApiError, CollectionMove, CollectionPlace, ErrorCode};
use ibid_types::IndexBackend;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Points that are copied at a time: some MB.
const BATCH: u32 = 256;
/// Rounds of copying before writes are held back, however much still differs.
const ROUNDS: usize = 8;
/// Points that may still differ when writes are held back: less than a second's work.
const LAST_POINTS: u64 = 1_000;
/// Pauses between tries of a move that waits: the first, and the longest.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_AT_MOST: Duration = Duration::from_secs(10);

/// Moves by the collection's identifier. The last one stays, so that its status can be read.
pub(crate) type Moves = Mutex<HashMap<String, Arc<Move>>>;

/// A move that is running or has ended.
pub(crate) struct Move {
    to: IndexBackend,
    /// Points in the new index, and in the old one.
    copied: AtomicU64,
    total: AtomicU64,
    /// Why the move waits, or why it failed.
    message: Mutex<Option<String>>,
    failed: std::sync::atomic::AtomicBool,
    cancel: CancellationToken,
    ended: CancellationToken,
}

impl Move {
    fn set_message(&self, message: Option<String>) {
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = message;
    }

    fn status(&self) -> CollectionMove {
        let status = match (self.ended.is_cancelled(), self.failed.load(Ordering::Acquire)) {
            (false, _) => "moving",
            (true, true) => "failed",
            (true, false) => "moved",
        };
        CollectionMove {
            to: self.to.to_string(),
            status: status.to_owned(),
            chunks_copied: self.copied.load(Ordering::Acquire),
            chunks_total: self.total.load(Ordering::Acquire),
            message: self.message.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// The difference between the old and the new index.
#[derive(Default)]
struct Difference {
    /// Documents that the new index lacks, with their points in the old one.
    missing: Vec<(String, u64)>,
    /// Documents that only the new index has.
    strays: Vec<String>,
}

impl Difference {
    fn points(&self) -> u64 {
        self.missing.iter().map(|(_, points)| points).sum::<u64>() + self.strays.len() as u64
    }

    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.strays.is_empty()
    }
}

/// Returns whether the collection has, or may have, anything in an index.
pub(crate) fn touches(collection: &Collection, place: IndexBackend) -> bool {
    collection.place == place || collection.moving_to == Some(place)
}

/// Moves collections between the embedded index and a Qdrant server.
pub(crate) struct Placement {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub lifecycle: Lifecycle,
    /// Collections that move, or have moved.
    pub moves: Moves,
}

impl Placement {
    /// Records in the index where every collection is kept.
    pub(crate) async fn load_places(&self) -> Result<(), PipelineError> {
        let mut all = self.store.catalog.collections().await?;
        all.extend(self.store.catalog.deleting_collections().await?);
        let mut lost = Vec::new();
        for collection in &all {
            self.store.index.put(&key(collection)?, collection.place);
            if touches(collection, IndexBackend::Qdrant) && !self.store.index.has_remote() {
                lost.push(collection.name.as_str());
            }
        }
        if !lost.is_empty() {
            let collections = lost.join(", ");
            tracing::error!(
                collections,
                "collections live in a Qdrant server, and qdrant.url does not say where that is: they cannot be used until it does"
            );
        }
        Ok(())
    }

    /// Returns where a collection is kept, and how far its last move is.
    pub async fn collection_place(&self, name: &str, subject: &Subject) -> Result<CollectionPlace, ApiError> {
        if !subject.sees(name) {
            return Err(ApiError::collection_not_found(name));
        }
        let collection = self.store.catalog.collection(name).await;
        let collection = collection.map_err(|error| PipelineError::from(error).to_api_error(""))?;
        Ok(self.place_of(&collection))
    }

    fn place_of(&self, collection: &Collection) -> CollectionPlace {
        let moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        CollectionPlace {
            collection: collection.name.clone(),
            index: collection.place.as_str().to_owned(),
            last_move: moves.get(&collection.id).map(|moving| moving.status()),
        }
    }

    /// Begins to move a collection, or stops its move where `to` is the index that it is kept in. A move there that is running continues.
    ///
    /// # Errors
    /// No such collection, or an index that cannot be used: then nothing has changed.
    pub async fn move_collection(self: &Arc<Self>, name: &str, to: IndexBackend, subject: &Subject) -> Result<CollectionPlace, ApiError> {
        if !subject.sees(name) {
            return Err(ApiError::collection_not_found(name));
        }
        if to == IndexBackend::Embedded && self.peers.is_shared() {
            return Err(not_shared("index"));
        }
        let moved = async {
            let collection = self.store.catalog.collection(name).await?;
            if collection.place == to {
                self.stop_moving(&collection.id).await;
                if let Some(other) = collection.moving_to
                    && self.store.catalog.stop_move(&collection.id).await?
                {
                    self.remove_copy(&key(&collection)?, other).await;
                }
                return Ok(self.store.catalog.collection(name).await?);
            }
            // Checked first: the response then says what is wrong with an address or a key.
            self.store.index.at(to)?.health().await?;
            {
                let _right = self.store.placing.acquire().await.map_err(|_| PipelineError::Abandoned)?;
                let reindex = self.store.catalog.reindex(&collection.id).await?;
                if reindex.is_some_and(|reindex| reindex.status == ReindexStatus::Running) {
                    let message = format!("`{name}` is being re-indexed: move it when that has ended, or stop it first");
                    return Err(ApiError::new(ErrorCode::Conflict, message).into());
                }
                if !self.store.catalog.begin_move(&collection.id, to).await? {
                    let collection = self.store.catalog.collection(name).await?;
                    if collection.moving_to != Some(to) {
                        let issue = "the collection changed meanwhile: look where it is, and try again";
                        return Err(ApiError::new(ErrorCode::Conflict, issue).into());
                    }
                    return Ok(collection);
                }
                // An earlier move may have left a copy.
                if let Err(error) = self.store.index.at(to)?.drop_collection(&key(&collection)?).await {
                    self.store.catalog.stop_move(&collection.id).await?;
                    return Err(error.into());
                }
            }
            let collection = self.store.catalog.collection(name).await?;
            self.go_on_moving(collection.clone());
            Ok::<_, PipelineError>(collection)
        };
        let collection = moved.await.map_err(|error| error.to_api_error("collection_move"))?;
        Ok(self.place_of(&collection))
    }

    /// Moves a collection in the background, if the catalog says that it is moving.
    pub(crate) fn go_on_moving(self: &Arc<Self>, collection: Collection) {
        let Some(to) = collection.moving_to else {
            return;
        };
        let moving = Arc::new(Move {
            to,
            copied: AtomicU64::new(0),
            total: AtomicU64::new(0),
            message: Mutex::default(),
            failed: false.into(),
            cancel: self.lifecycle.stopping.child_token(),
            ended: CancellationToken::new(),
        });
        self.moves
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(collection.id.clone(), moving.clone());
        let engine = self.clone();
        self.lifecycle.tasks.spawn(async move {
            // Runs also if the work panics.
            let _ended = moving.ended.clone().drop_guard();
            let work = engine.move_with_retries(&collection, to, &moving);
            tokio::select! {
                biased;
                () = moving.cancel.cancelled() => moving.failed.store(true, Ordering::Release),
                () = work => {}
            }
        });
    }

    /// Stops the move of a collection, if there is one, and waits until it has ended.
    pub(crate) async fn stop_moving(&self, collection_id: &str) {
        let moving = {
            let moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
            moves.get(collection_id).cloned()
        };
        if let Some(moving) = moving
            && !moving.ended.is_cancelled()
        {
            moving.set_message(Some("the move was stopped".to_owned()));
            moving.cancel.cancel();
            moving.ended.cancelled().await;
        }
    }

    async fn move_with_retries(self: &Arc<Self>, collection: &Collection, to: IndexBackend, moving: &Move) {
        let mut backoff = Backoff::new(self.lifecycle.clock.clone(), RETRY, RETRY_AT_MOST);
        loop {
            self.store.disk.wait_until_writable().await;
            match self.copy_and_switch(collection, to, moving).await {
                Ok(()) => {
                    moving.set_message(None);
                    return;
                }
                Err(PipelineError::Index(error)) if error.is_outage() => {
                    tracing::warn!(
                        collection = collection.name,
                        error = error.detail(),
                        "a move waits for the Qdrant server"
                    );
                    moving.set_message(Some(error.to_string()));
                    self.store.index.set_away(true);
                    backoff.wait().await;
                    let _ = self.store.index.away().wait_for(|away| !away).await;
                }
                Err(error) if let Some(trouble) = self.store.disk.explains(&error).await => {
                    tracing::warn!(collection = collection.name, %error, "a move waits for the disk");
                    moving.set_message(Some(trouble.to_string()));
                    backoff.wait().await;
                }
                Err(error) => {
                    tracing::error!(collection = collection.name, %error, "a collection was not moved");
                    moving.set_message(Some(error.to_api_error("collection_move").message));
                    moving.failed.store(true, Ordering::Release);
                    if let Err(error) = self.store.catalog.stop_move(&collection.id).await {
                        tracing::error!(collection = collection.name, %error, "the next start takes the move up again");
                        return;
                    }
                    if let Ok(key) = key(collection) {
                        self.remove_copy(&key, to).await;
                    }
                    return;
                }
            }
        }
    }

    async fn copy_and_switch(self: &Arc<Self>, collection: &Collection, to: IndexBackend, moving: &Move) -> Result<(), PipelineError> {
        let key = key(collection)?;
        let from = collection.place;
        let (old, new) = (self.store.index.at(from)?, self.store.index.at(to)?);
        new.create_collection(
            &key,
            &Schema {
                dimension: dimension(collection)?,
            },
        )
        .await?;
        for _ in 0..ROUNDS {
            let difference = self.difference(&key, old, new, moving).await?;
            if difference.points() <= LAST_POINTS {
                break;
            }
            copy(&key, old, new, difference, moving).await?;
        }
        let held = self.store.index.hold(&key).await?;
        let difference = self.difference(&key, old, new, moving).await?;
        copy(&key, old, new, difference, moving).await?;
        if !self.difference(&key, old, new, moving).await?.is_empty() {
            let issue = "the copy is not what was copied: the collection stays where it was";
            return Err(ApiError::new(ErrorCode::VectorStoreError, issue).into());
        }
        new.flush(&key).await?;
        // A task of its own: a move that is stopped now has either not switched, or wholly.
        let (engine, collection) = (self.clone(), collection.clone());
        let switch = self.lifecycle.tasks.spawn(async move {
            let event = json!({ "timestamp": timestamp::now(), "index": to, "moved_from": from });
            let event = NewEvent::new("collection_moved", event);
            let Some(event) = engine.store.catalog.finish_move(&collection.id, event).await? else {
                return Err(ApiError::new(ErrorCode::Conflict, "the collection was deleted, or its move stopped").into());
            };
            engine.store.index.put(&key, to);
            drop(held);
            engine.store.publish(event);
            tracing::info!(collection = collection.name, %from, %to, "moved a collection");
            engine.remove_copy(&key, from).await;
            Ok(())
        });
        switch.await?
    }

    /// Removes a copy that is not used. If that fails, the repair at the next start removes it.
    async fn remove_copy(&self, key: &CollectionKey, place: IndexBackend) {
        let removed = match self.store.index.at(place) {
            Ok(index) => index.drop_collection(key).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(collection = %key, %place, error = error.detail(), "an old copy will be removed later");
        }
    }

    async fn difference(
        &self,
        key: &CollectionKey,
        old: &dyn VectorIndex,
        new: &dyn VectorIndex,
        moving: &Move,
    ) -> Result<Difference, PipelineError> {
        let (there, mut here) = (old.documents(key).await?, new.documents(key).await?);
        moving.total.store(there.values().sum(), Ordering::Release);
        moving.copied.store(here.values().sum(), Ordering::Release);
        let mut difference = Difference::default();
        for (document, points) in there {
            if here.remove(&document) != Some(points) {
                difference.missing.push((document, points));
            }
        }
        difference.strays = here.into_keys().collect();
        Ok(difference)
    }
}

/// The error of a collection that would be kept where only one of several servers can reach it.
pub(crate) fn not_shared(field: &str) -> ApiError {
    ApiError::validation(field, "must be `qdrant`: this server shares its collections with others")
}

/// Returns what the index calls the generation of a collection that queries see.
fn key(collection: &Collection) -> Result<CollectionKey, IndexError> {
    CollectionKey::of_generation(&collection.id, collection.generation)
}

/// Makes the new index hold what the old one holds of these documents.
async fn copy(
    key: &CollectionKey,
    old: &dyn VectorIndex,
    new: &dyn VectorIndex,
    difference: Difference,
    moving: &Move,
) -> Result<(), IndexError> {
    for stray in &difference.strays {
        new.delete_document(key, stray).await?;
    }
    for (document, points) in difference.missing {
        if new.count(key, Some(&document)).await? > points {
            new.delete_document(key, &document).await?;
        }
        // The catalog numbers chunks from 0 without gaps.
        let points = u32::try_from(points).unwrap_or(u32::MAX);
        let mut from = 0;
        while from < points {
            let upto = points.min(from.saturating_add(BATCH));
            let batch = old.points(key, &document, from..upto).await?;
            let copied = batch.len() as u64;
            new.upsert(key, batch).await?;
            moving.copied.fetch_add(copied, Ordering::AcqRel);
            from = upto;
        }
    }
    Ok(())
}

/// Returns the dimension of a collection's vectors.
fn dimension(collection: &Collection) -> Result<u32, PipelineError> {
    let lock: Option<Lock> = serde_json::from_value(collection.lock.clone()).ok();
    let dimension = lock.and_then(|lock| u32::try_from(lock.model.dimension).ok());
    dimension.ok_or_else(|| {
        ApiError::new(
            ErrorCode::InternalError,
            "the catalog does not say what the collection was made with",
        )
        .into()
    })
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
