//! A vector index in memory.

use super::faults::{Fault, Faults};
use ibid_index::{CollectionKey, Hit, IndexError, Outage, Point, Query, QueryVector, Schema, VectorIndex};
use ibid_system::disk::DiskError;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Points = BTreeMap<(String, u32), Point>;

/// A vector index that keeps points in memory, searches by dot product, and fails where its [`Faults`] say so. Clones are of the same index.
#[derive(Clone, Default)]
pub(crate) struct FakeIndex {
    collections: Arc<Mutex<BTreeMap<CollectionKey, (Schema, Points)>>>,
    /// The calls, and the failures planned for them.
    pub faults: Arc<Faults>,
}

impl FakeIndex {
    fn collections(&self) -> MutexGuard<'_, BTreeMap<CollectionKey, (Schema, Points)>> {
        self.collections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, method: &'static str, collection: &CollectionKey) -> Result<(), IndexError> {
        match self.faults.call(method, collection).await {
            None => Ok(()),
            Some(Fault::Outage) => Err(IndexError::Unavailable {
                outage: Outage::Unreachable,
                cause: "planned".into(),
            }),
            Some(Fault::DiskFull) => Err(IndexError::Disk {
                disk: DiskError::Full,
                cause: "planned".into(),
            }),
            Some(Fault::Damaged) => Err(IndexError::Corrupt {
                collection: collection.clone(),
                cause: "planned".into(),
            }),
        }
    }

    fn with<T>(&self, collection: &CollectionKey, work: impl FnOnce(&mut Points) -> T) -> Result<T, IndexError> {
        match self.collections().get_mut(collection) {
            Some((_, points)) => Ok(work(points)),
            None => Err(IndexError::CollectionNotFound {
                collection: collection.clone(),
            }),
        }
    }

    /// Returns the chunks that are stored of each document of a collection; none for a collection that is not there.
    pub fn stored(&self, collection: &CollectionKey) -> Vec<(String, u32)> {
        self.with(collection, |points| points.keys().cloned().collect()).unwrap_or_default()
    }
}

#[async_trait::async_trait]
impl VectorIndex for FakeIndex {
    async fn create_collection(&self, collection: &CollectionKey, schema: &Schema) -> Result<(), IndexError> {
        self.call("create_collection", collection).await?;
        let mut collections = self.collections();
        let (stored, _) = collections.entry(collection.clone()).or_insert_with(|| (*schema, Points::new()));
        if stored.dimension == schema.dimension {
            return Ok(());
        }
        Err(IndexError::SchemaMismatch {
            collection: collection.clone(),
            stored: stored.dimension,
            given: schema.dimension,
        })
    }

    async fn drop_collection(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        self.call("drop_collection", collection).await?;
        self.collections().remove(collection);
        Ok(())
    }

    async fn collections(&self) -> Result<Vec<CollectionKey>, IndexError> {
        Ok(self.collections().keys().cloned().collect())
    }

    async fn upsert(&self, collection: &CollectionKey, points: Vec<Point>) -> Result<(), IndexError> {
        self.call("upsert", collection).await?;
        self.with(collection, |stored| {
            stored.extend(
                points
                    .into_iter()
                    .map(|point| ((point.document_id.clone(), point.chunk_index), point)),
            );
        })
    }

    async fn search(&self, collection: &CollectionKey, queries: Vec<Query>) -> Result<Vec<Vec<Hit>>, IndexError> {
        self.call("search", collection).await?;
        self.with(collection, |points| {
            queries
                .iter()
                .map(|query| {
                    let mut hits: Vec<Hit> = points
                        .values()
                        .map(|point| Hit {
                            document_id: point.document_id.clone(),
                            chunk_index: point.chunk_index,
                            score: score(&query.vector, point),
                        })
                        .filter(|hit| query.score_threshold.is_none_or(|least| hit.score >= least))
                        .collect();
                    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
                    hits.truncate(query.limit);
                    hits
                })
                .collect()
        })
    }

    async fn delete_document(&self, collection: &CollectionKey, document_id: &str) -> Result<u64, IndexError> {
        self.call("delete_document", collection).await?;
        self.with(collection, |points| {
            let before = points.len();
            points.retain(|(document, _), _| document != document_id);
            (before - points.len()) as u64
        })
    }

    async fn count(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError> {
        self.call("count", collection).await?;
        self.with(collection, |points| {
            let wanted = |(document, _): &&(String, u32)| document_id.is_none_or(|id| id == document);
            points.keys().filter(wanted).count() as u64
        })
    }

    async fn documents(&self, collection: &CollectionKey) -> Result<BTreeMap<String, u64>, IndexError> {
        self.call("documents", collection).await?;
        self.with(collection, |points| {
            let mut documents = BTreeMap::new();
            for (document, _) in points.keys() {
                *documents.entry(document.clone()).or_default() += 1;
            }
            documents
        })
    }

    async fn vectors(
        &self,
        collection: &CollectionKey,
        document_id: &str,
        chunks: Range<u32>,
    ) -> Result<Vec<Option<Vec<f32>>>, IndexError> {
        self.call("vectors", collection).await?;
        self.with(collection, |points| {
            chunks
                .map(|chunk| points.get(&(document_id.to_owned(), chunk)).map(|point| point.dense.clone()))
                .collect()
        })
    }

    async fn points(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError> {
        self.call("points", collection).await?;
        self.with(collection, |points| {
            chunks
                .filter_map(|chunk| points.get(&(document_id.to_owned(), chunk)).cloned())
                .collect()
        })
    }

    async fn flush(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        self.call("flush", collection).await
    }

    async fn health(&self) -> Result<Duration, IndexError> {
        let key = CollectionKey::of_generation("health", 0)?;
        self.call("health", &key).await.map(|()| Duration::ZERO)
    }

    async fn storage_bytes(&self, _collection: &CollectionKey) -> Result<u64, IndexError> {
        Ok(0)
    }

    async fn close(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

fn score(query: &QueryVector, point: &Point) -> f32 {
    match query {
        QueryVector::Dense(vector) => vector.iter().zip(&point.dense).map(|(a, b)| a * b).sum(),
        QueryVector::Sparse(_) => 0.0,
    }
}
