//! The index in a Qdrant server, over gRPC.
//!
//! A collection of Ibid is a collection of the server, named by a prefix and the key. The client connects when it is first used, and again
//! after a failure, so a server that is down at the start is no obstacle. Every failure that ends when the server is back is an [`Outage`].
//! Points have the same identifiers as in the embedded index, so a point that is sent twice is stored once.

mod call;
mod convert;
mod schema;
mod settings;

use super::error::{IndexError, Outage};
use super::fields::{DENSE, DOCUMENT_ID, TIE_LIMIT, TIE_MARGIN};
use super::types::{CollectionKey, Hit, MAX_LIMIT, Point, Query, QueryVector, Schema, check_batch};
use super::{Filter, VectorIndex};
pub use settings::{Quantization, RemoteOptions};

use call::Reply;
use qdrant_client::Qdrant;
use qdrant_client::qdrant::{
    self, CountPoints, DeletePoints, FacetCounts, GetPoints, PointsSelector, QueryBatchPoints, QueryPoints, ScrollPoints, UpsertPoints,
    WithPayloadSelector, WithVectorsSelector, facet_value, points_selector,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Points whose vectors are read at a time.
const RETRIEVE_BATCH: usize = 500;
/// Points from which the size of all is estimated.
const SAMPLE: u32 = 64;

/// The index in a Qdrant server.
pub struct RemoteIndex {
    client: Qdrant,
    options: RemoteOptions,
    /// The dimensions of collections that were used: they never change while a collection exists.
    dimensions: RwLock<HashMap<CollectionKey, u32>>,
}

impl std::fmt::Debug for RemoteIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteIndex")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl RemoteIndex {
    /// Makes the client of a server, which need not run yet.
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for a malformed address or prefix.
    pub fn new(options: RemoteOptions) -> Result<Self, IndexError> {
        ibid_system::tls::install_provider();
        if !options.url.starts_with("http://") && !options.url.starts_with("https://") {
            return Err(IndexError::invalid("`qdrant.url` must begin with http:// or https://"));
        }
        // A key of 64 characters follows, and the server's limit is 255.
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if options.prefix.len() > 100 || !options.prefix.bytes().all(legal) {
            return Err(IndexError::invalid(
                "`qdrant.collection_prefix` must have at most 100 letters, digits, '-' and '_'",
            ));
        }
        if options.api_key.is_some() && options.url.starts_with("http://") {
            tracing::warn!("qdrant.api_key is sent unencrypted, since qdrant.url is not https");
        }
        let client = Qdrant::from_url(&options.url)
            .api_key(options.api_key.as_ref().map(|key| key.expose().to_owned()))
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .skip_compatibility_check()
            .build()
            .map_err(|error| IndexError::invalid(format!("`qdrant.url` is not a valid URL: {error}")))?;
        Ok(Self {
            client,
            options,
            dimensions: RwLock::default(),
        })
    }

    fn name(&self, collection: &CollectionKey) -> String {
        format!("{}{collection}", self.options.prefix)
    }

    /// Returns the dimension of a collection's vectors.
    async fn dimension(&self, collection: &CollectionKey) -> Result<u32, IndexError> {
        let known = self
            .dimensions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(collection)
            .copied();
        if let Some(dimension) = known {
            return Ok(dimension);
        }
        let name = self.name(collection);
        let info = self
            .reading("look at a collection", || self.client.collection_info(name.clone()))
            .await;
        let info = info.of(collection)?.result;
        let dimension = info
            .and_then(|info| info.config)
            .and_then(|config| config.params)
            .and_then(|params| schema::dimension(&params))
            .ok_or_else(|| IndexError::Corrupt {
                collection: collection.clone(),
                cause: format!("the collection {name} has no vector '{DENSE}': it is not Ibid's").into(),
            })?;
        self.dimensions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(collection.clone(), dimension);
        Ok(dimension)
    }

    fn forget(&self, collection: &CollectionKey) {
        self.dimensions.write().unwrap_or_else(PoisonError::into_inner).remove(collection);
    }

    /// Makes a read-only call. Retries it once at once if the connection was broken.
    async fn reading<T, F>(&self, what: &'static str, call: impl Fn() -> F) -> Reply<T>
    where
        F: Future<Output = Result<T, qdrant_client::QdrantError>>,
    {
        call::with_retries(what, self.options.retries.min(1), call).await
    }

    /// Makes a call that is safe to repeat, and retries it with patience.
    async fn writing<T, F>(&self, what: &'static str, call: impl Fn() -> F) -> Reply<T>
    where
        F: Future<Output = Result<T, qdrant_client::QdrantError>>,
    {
        call::with_retries(what, self.options.retries, call).await
    }

    async fn counted(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError> {
        let request = CountPoints {
            collection_name: self.name(collection),
            filter: document_id.map(convert::document_filter),
            exact: Some(true),
            ..CountPoints::default()
        };
        let reply = self.reading("count points", || self.client.count(request.clone())).await;
        Ok(self.known(collection, reply)?.result.map_or(0, |result| result.count))
    }

    /// Converts a reply about a collection, and drops the cached dimension if the collection does not exist.
    fn known<T>(&self, collection: &CollectionKey, reply: Reply<T>) -> Result<T, IndexError> {
        let result = reply.of(collection);
        if matches!(result, Err(IndexError::CollectionNotFound { .. })) {
            self.forget(collection);
        }
        result
    }

    /// Returns the points that are stored under the chunks' identifiers.
    async fn retrieve(
        &self,
        collection: &CollectionKey,
        document_id: &str,
        chunks: Range<u32>,
        payload: bool,
        vectors: WithVectorsSelector,
    ) -> Result<Vec<qdrant::RetrievedPoint>, IndexError> {
        if chunks.len() > MAX_LIMIT {
            return Err(IndexError::invalid(format!(
                "vectors of at most {MAX_LIMIT} chunks, not {}",
                chunks.len()
            )));
        }
        let ids: Vec<_> = chunks.map(|chunk| convert::point_id(document_id, chunk)).collect();
        let mut found = Vec::with_capacity(ids.len());
        for batch in ids.chunks(RETRIEVE_BATCH) {
            let request = GetPoints {
                collection_name: self.name(collection),
                ids: batch.to_vec(),
                with_payload: Some(payload.into()),
                with_vectors: Some(vectors.clone()),
                ..GetPoints::default()
            };
            let reply = self.reading("read vectors", || self.client.get_points(request.clone())).await;
            found.extend(self.known(collection, reply)?.result);
        }
        Ok(found)
    }

    /// Runs queries as one request; `fetch` is the number of hits for each.
    async fn run(&self, collection: &CollectionKey, queries: &[(&Query, usize)]) -> Result<Vec<Vec<qdrant::ScoredPoint>>, IndexError> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let name = self.name(collection);
        // The queries of a batch mostly share one filter.
        let mut last: Option<(&Arc<Filter>, Option<qdrant::Filter>)> = None;
        let mut batch = Vec::with_capacity(queries.len());
        for (query, fetch) in queries {
            let filter = match last.take() {
                Some((same, filter)) if Arc::ptr_eq(same, &query.filter) => filter,
                _ => convert::filter(&query.filter),
            };
            batch.push(QueryPoints {
                collection_name: name.clone(),
                filter: filter.clone(),
                limit: Some(*fetch as u64),
                with_payload: Some(WithPayloadSelector::from(convert::chunk_fields())),
                ..convert::query(query, *fetch)
            });
            last = Some((&query.filter, filter));
        }
        let request = QueryBatchPoints {
            collection_name: name,
            query_points: batch,
            ..QueryBatchPoints::default()
        };
        let reply = self.reading("search", || self.client.query_batch(request.clone())).await;
        let results = self.known(collection, reply)?.result;
        if results.len() != queries.len() {
            return Err(IndexError::unavailable(
                Outage::Failing,
                "the response has fewer results than the request has queries",
            ));
        }
        Ok(results.into_iter().map(|result| result.result).collect())
    }
}

#[async_trait::async_trait]
impl VectorIndex for RemoteIndex {
    async fn create_collection(&self, collection: &CollectionKey, schema: &Schema) -> Result<(), IndexError> {
        schema.check()?;
        self.forget(collection);
        let name = self.name(collection);
        let request = schema::collection(name.clone(), schema.dimension, &self.options);
        let made = self
            .writing("create a collection", || self.client.create_collection(request.clone()))
            .await;
        if let Err(error) = made.of(collection) {
            // Refused because the collection exists, or because the options are invalid: look which.
            match self.dimension(collection).await {
                Ok(stored) if stored == schema.dimension => {}
                Ok(stored) => {
                    return Err(IndexError::SchemaMismatch {
                        collection: collection.clone(),
                        stored,
                        given: schema.dimension,
                    });
                }
                Err(IndexError::CollectionNotFound { .. }) => return Err(error),
                Err(other) => return Err(other),
            }
        }
        // Also for a collection that existed: its creator may not have got this far.
        for request in schema::payload_indexes(&name) {
            let reply = self
                .writing("index a field", || self.client.create_field_index(request.clone()))
                .await;
            reply.of(collection)?;
        }
        Ok(())
    }

    async fn drop_collection(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        self.forget(collection);
        let name = self.name(collection);
        let reply = self
            .writing("drop a collection", || self.client.delete_collection(name.clone()))
            .await;
        match reply.of(collection) {
            Err(IndexError::CollectionNotFound { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn collections(&self) -> Result<Vec<CollectionKey>, IndexError> {
        let reply = self.reading("list collections", || self.client.list_collections()).await;
        let mut keys: Vec<CollectionKey> = reply
            .plain()?
            .collections
            .iter()
            .filter_map(|collection| CollectionKey::new(collection.name.strip_prefix(&self.options.prefix)?).ok())
            .collect();
        keys.sort();
        Ok(keys)
    }

    async fn upsert(&self, collection: &CollectionKey, points: Vec<Point>) -> Result<(), IndexError> {
        let dimension = self.dimension(collection).await?;
        for point in &points {
            point.check(dimension)?;
        }
        for batch in convert::batches(points, self.options.request_bytes) {
            let request = UpsertPoints {
                collection_name: self.name(collection),
                wait: Some(true),
                points: batch,
                ..UpsertPoints::default()
            };
            let reply = self.writing("store points", || self.client.upsert_points(request.clone())).await;
            self.known(collection, reply)?;
        }
        Ok(())
    }

    async fn search(&self, collection: &CollectionKey, queries: Vec<Query>) -> Result<Vec<Vec<Hit>>, IndexError> {
        check_batch(&queries)?;
        let dimension = self.dimension(collection).await?;
        for query in &queries {
            query.check(dimension)?;
        }
        let mut results: Vec<Vec<qdrant::ScoredPoint>> = queries.iter().map(|_| Vec::new()).collect();
        // The queries of this round, with the number of hits to fetch: in the first round all that can find anything. A later round repeats
        // those with so many equal hits that it is not known yet which of them to return.
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (at, query) in queries.iter().enumerate() {
            let nothing = matches!(&query.vector, QueryVector::Sparse(vector) if vector.is_empty());
            if !nothing && query.limit > 0 {
                open.push((at, query.limit + TIE_MARGIN));
            }
        }
        while !open.is_empty() {
            let batch: Vec<(&Query, usize)> = open.iter().filter_map(|(at, fetch)| Some((queries.get(*at)?, *fetch))).collect();
            let found = self.run(collection, &batch).await?;
            let mut again = Vec::new();
            for ((at, fetch), found) in open.into_iter().zip(found) {
                let Some(query) = queries.get(at) else { continue };
                let cut = query.limit.checked_sub(1).and_then(|last| found.get(last)).map(|point| point.score);
                let tied_to_the_end = found.len() >= fetch && cut == found.last().map(|point| point.score);
                let most = query.limit + TIE_LIMIT;
                if tied_to_the_end && fetch < most {
                    again.push((at, most));
                }
                if let Some(result) = results.get_mut(at) {
                    *result = found;
                }
            }
            open = again;
        }
        Ok(queries
            .iter()
            .zip(results)
            .map(|(query, found)| convert::hits(query, found))
            .collect())
    }

    async fn delete_document(&self, collection: &CollectionKey, document_id: &str) -> Result<u64, IndexError> {
        let before = self.counted(collection, Some(document_id)).await?;
        let selector = points_selector::PointsSelectorOneOf::Filter(convert::document_filter(document_id));
        let request = DeletePoints {
            collection_name: self.name(collection),
            wait: Some(true),
            points: Some(PointsSelector {
                points_selector_one_of: Some(selector),
            }),
            ..DeletePoints::default()
        };
        // Also where nothing was counted: a request that timed out may have stored something since.
        let reply = self
            .writing("delete a document", || self.client.delete_points(request.clone()))
            .await;
        self.known(collection, reply)?;
        Ok(before)
    }

    async fn count(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError> {
        self.counted(collection, document_id).await
    }

    async fn documents(&self, collection: &CollectionKey) -> Result<BTreeMap<String, u64>, IndexError> {
        // There are no more documents than points.
        let most = self.counted(collection, None).await?;
        if most == 0 {
            return Ok(BTreeMap::new());
        }
        let request = FacetCounts {
            collection_name: self.name(collection),
            key: DOCUMENT_ID.to_owned(),
            limit: Some(most),
            exact: Some(true),
            ..FacetCounts::default()
        };
        let reply = self.reading("list documents", || self.client.facet(request.clone())).await;
        let hits = self.known(collection, reply)?.hits;
        // A value that no point has any more is still listed for a while.
        let named = hits
            .into_iter()
            .filter(|hit| hit.count > 0)
            .filter_map(|hit| match hit.value?.variant? {
                facet_value::Variant::StringValue(document) => Some((document, hit.count)),
                _ => None,
            });
        Ok(named.collect())
    }

    async fn vectors(
        &self,
        collection: &CollectionKey,
        document_id: &str,
        chunks: Range<u32>,
    ) -> Result<Vec<Option<Vec<f32>>>, IndexError> {
        let only = WithVectorsSelector::from(vec![DENSE]);
        let found = self.retrieve(collection, document_id, chunks.clone(), false, only).await?;
        let mut vectors: HashMap<String, Vec<f32>> = found
            .into_iter()
            .filter_map(|point| Some((convert::uuid(point.id?)?, convert::dense(point.vectors?)?)))
            .collect();
        Ok(chunks
            .map(|chunk| vectors.remove(&Point::id(document_id, chunk).to_string()))
            .collect())
    }

    async fn points(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError> {
        let found = self
            .retrieve(collection, document_id, chunks, true, WithVectorsSelector::from(true))
            .await?;
        let mut points = Vec::with_capacity(found.len());
        for point in found {
            let point = convert::stored(point);
            points.push(point.ok_or_else(|| IndexError::engine("read points", "a stored point is not as it was written"))?);
        }
        points.sort_by_key(|point| point.chunk_index);
        Ok(points)
    }

    /// Qdrant writes its log before it acknowledges, so this only checks that the collection exists.
    async fn flush(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        let name = self.name(collection);
        let reply = self.reading("flush", || self.client.collection_exists(name.clone())).await;
        if reply.plain()? {
            return Ok(());
        }
        self.forget(collection);
        Err(IndexError::CollectionNotFound {
            collection: collection.clone(),
        })
    }

    /// Sends a request that needs the API key, which the server's own health check does not.
    async fn health(&self) -> Result<Duration, IndexError> {
        let start = Instant::now();
        let name = format!("{}health", self.options.prefix);
        let reply = call::with_retries("answer", 0, || self.client.collection_exists(name.clone())).await;
        reply.plain()?;
        Ok(start.elapsed())
    }

    /// Returns an estimate, since the server does not report the size over gRPC: the average size of some points, times their number;
    /// without the graph, the inverted indexes and further replicas.
    async fn storage_bytes(&self, collection: &CollectionKey) -> Result<u64, IndexError> {
        let count = self.counted(collection, None).await?;
        if count == 0 {
            return Ok(0);
        }
        let request = ScrollPoints {
            collection_name: self.name(collection),
            limit: Some(SAMPLE),
            with_payload: Some(true.into()),
            with_vectors: Some(true.into()),
            ..ScrollPoints::default()
        };
        let reply = self.reading("measure a collection", || self.client.scroll(request.clone())).await;
        let sample = self.known(collection, reply)?.result;
        let bytes: u64 = sample.iter().map(|point| prost::Message::encoded_len(point) as u64).sum();
        Ok(bytes.saturating_mul(count) / (sample.len() as u64).max(1))
    }

    /// Does nothing: everything is durable, and requests in flight end with their callers.
    async fn close(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
