//! A stand-in for a Qdrant server: the calls that Ibid makes, over gRPC, on points in memory that are all looked at. Tests of what Ibid
//! does with a Qdrant server run against it where no real one is named; what is about Qdrant itself needs a real one.

use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::{self as q, condition::ConditionOneOf, r#match::MatchValue, vector, vector_input, vectors};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Default)]
struct Collection {
    config: q::CreateCollection,
    points: BTreeMap<String, q::PointStruct>,
}

/// The collections, by name.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<BTreeMap<String, Collection>>>);

impl Store {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Collection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Collection) -> T) -> Result<T, Status> {
        let mut all = self.all();
        let collection = all.get_mut(name);
        Ok(work(
            collection.ok_or_else(|| Status::not_found(format!("Collection `{name}` doesn't exist!")))?,
        ))
    }
}

/// A Qdrant server for a test: the one at `IBID_TEST_QDRANT_URL`, or else a stand-in.
pub enum AnyQdrant {
    /// Its address.
    Real(String),
    /// A stand-in, for this test alone.
    Double(QdrantDouble),
}

impl AnyQdrant {
    /// The one that there is.
    pub async fn new() -> Self {
        match std::env::var("IBID_TEST_QDRANT_URL").ok().filter(|url| !url.is_empty()) {
            Some(url) => Self::Real(url),
            None => Self::Double(QdrantDouble::start().await),
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        match self {
            Self::Real(url) => url.clone(),
            Self::Double(double) => double.url(),
        }
    }
}

/// A running stand-in; it ends when this is dropped.
pub struct QdrantDouble {
    address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

impl QdrantDouble {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let store = Store::default();
        const MOST: usize = 64 << 20;
        let router = tonic::transport::Server::builder()
            .add_service(CollectionsServer::new(store.clone()).accept_compressed(tonic::codec::CompressionEncoding::Gzip))
            .add_service(
                PointsServer::new(store)
                    .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
                    .max_decoding_message_size(MOST),
            );
        let server = tokio::spawn(async move {
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            router.serve_with_incoming(incoming).await.expect("it serves");
        });
        Self {
            address,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn id_of(id: &q::PointId) -> String {
    match &id.point_id_options {
        Some(q::point_id::PointIdOptions::Uuid(id)) => id.clone(),
        Some(q::point_id::PointIdOptions::Num(id)) => id.to_string(),
        None => String::new(),
    }
}

fn texts(value: Option<&q::Value>) -> Vec<String> {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => vec![text.clone()],
        Some(Kind::ListValue(list)) => list.values.iter().flat_map(|value| texts(Some(value))).collect(),
        _ => Vec::new(),
    }
}

fn holds(condition: &q::Condition, point: &q::PointStruct) -> bool {
    let Some(ConditionOneOf::Field(field)) = &condition.condition_one_of else {
        return false;
    };
    let value = point.payload.get(&field.key);
    if let Some(range) = &field.range {
        let Some(Kind::IntegerValue(number)) = value.and_then(|value| value.kind.as_ref()) else {
            return false;
        };
        let number = *number as f64;
        return range.gte.is_none_or(|least| number >= least) && range.lte.is_none_or(|most| number <= most);
    }
    let found = texts(value);
    match field.r#match.as_ref().and_then(|wanted| wanted.match_value.as_ref()) {
        Some(MatchValue::Keyword(wanted)) => found.contains(wanted),
        Some(MatchValue::Keywords(wanted)) => wanted.strings.iter().any(|wanted| found.contains(wanted)),
        _ => false,
    }
}

fn passes(filter: Option<&q::Filter>, point: &q::PointStruct) -> bool {
    filter.is_none_or(|filter| {
        filter.must.iter().all(|condition| holds(condition, point)) && !filter.must_not.iter().any(|condition| holds(condition, point))
    })
}

fn vector<'a>(point: &'a q::PointStruct, name: &str) -> Option<&'a vector::Vector> {
    match point.vectors.as_ref()?.vectors_options.as_ref()? {
        vectors::VectorsOptions::Vectors(named) => named.vectors.get(name)?.vector.as_ref(),
        vectors::VectorsOptions::Vector(_) => None,
    }
}

/// To length 1, as Qdrant keeps vectors that it compares by cosine.
fn normalize(data: &mut [f32]) {
    let length = data.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        data.iter_mut().for_each(|value| *value /= length);
    }
}

/// What is searched for: a vector of length 1, or words weighed by how rare they are among the points.
fn prepared(input: &vector_input::Variant, collection: &Collection, name: &str) -> vector_input::Variant {
    let mut input = input.clone();
    match &mut input {
        vector_input::Variant::Dense(dense) => normalize(&mut dense.data),
        vector_input::Variant::Sparse(sparse) => {
            let all = collection.points.len() as f32;
            for (word, value) in sparse.indices.iter().zip(&mut sparse.values) {
                let holds =
                    |point: &&q::PointStruct| matches!(vector(point, name), Some(vector::Vector::Sparse(of)) if of.indices.contains(word));
                let with = collection.points.values().filter(holds).count() as f32;
                *value *= ((all - with + 0.5) / (with + 0.5)).ln_1p();
            }
        }
        _ => {}
    }
    input
}

/// How alike they are; `None` for a sparse vector that shares nothing with the question.
fn score(input: &vector_input::Variant, stored: &vector::Vector) -> Option<f32> {
    match (input, stored) {
        (vector_input::Variant::Dense(a), vector::Vector::Dense(b)) => Some(a.data.iter().zip(&b.data).map(|(a, b)| a * b).sum()),
        (vector_input::Variant::Sparse(a), vector::Vector::Sparse(b)) => {
            let known: HashMap<u32, f32> = b.indices.iter().copied().zip(b.values.iter().copied()).collect();
            let shared = a
                .indices
                .iter()
                .zip(&a.values)
                .filter_map(|(at, value)| Some(value * known.get(at)?));
            shared.reduce(|sum, part| sum + part)
        }
        _ => None,
    }
}

/// Points as they are sent back.
fn output(point: &q::PointStruct) -> q::VectorsOutput {
    let mut named = HashMap::new();
    if let Some(vectors::VectorsOptions::Vectors(vectors)) = point.vectors.as_ref().and_then(|vectors| vectors.vectors_options.as_ref()) {
        for (name, stored) in &vectors.vectors {
            let vector = match stored.vector.clone() {
                Some(vector::Vector::Dense(dense)) => q::vector_output::Vector::Dense(dense),
                Some(vector::Vector::Sparse(sparse)) => q::vector_output::Vector::Sparse(sparse),
                _ => continue,
            };
            let vector = q::VectorOutput {
                vector: Some(vector),
                ..q::VectorOutput::default()
            };
            named.insert(name.clone(), vector);
        }
    }
    q::VectorsOutput {
        vectors_options: Some(q::vectors_output::VectorsOptions::Vectors(q::NamedVectorsOutput { vectors: named })),
    }
}

fn retrieved(point: &q::PointStruct) -> q::RetrievedPoint {
    q::RetrievedPoint {
        id: point.id.clone(),
        payload: point.payload.clone(),
        vectors: Some(output(point)),
        ..q::RetrievedPoint::default()
    }
}

fn nearest(collection: &Collection, query: &q::QueryPoints) -> q::BatchResult {
    let name = query.using.clone().unwrap_or_default();
    let Some(q::query::Variant::Nearest(input)) = query.query.as_ref().and_then(|query| query.variant.as_ref()) else {
        return q::BatchResult::default();
    };
    let Some(input) = &input.variant else {
        return q::BatchResult::default();
    };
    let input = prepared(input, collection, &name);
    let mut result: Vec<q::ScoredPoint> = collection
        .points
        .values()
        .filter(|point| passes(query.filter.as_ref(), point))
        .filter_map(|point| {
            let score = score(&input, vector(point, &name)?)?;
            Some(q::ScoredPoint {
                id: point.id.clone(),
                payload: point.payload.clone(),
                score,
                ..q::ScoredPoint::default()
            })
        })
        .collect();
    result.sort_by(|a, b| b.score.total_cmp(&a.score));
    result.truncate(usize::try_from(query.limit.unwrap_or(10)).unwrap_or(usize::MAX));
    q::BatchResult { result }
}

fn done() -> Answer<q::CollectionOperationResponse> {
    Ok(Response::new(q::CollectionOperationResponse { result: true, time: 0.0 }))
}

fn changed() -> Answer<q::PointsOperationResponse> {
    Ok(Response::new(q::PointsOperationResponse {
        result: Some(q::UpdateResult {
            status: q::UpdateStatus::Completed.into(),
            ..q::UpdateResult::default()
        }),
        ..q::PointsOperationResponse::default()
    }))
}

/// Calls that Ibid does not make.
macro_rules! not_made {
    ($($name:ident($request:ident) -> $answer:ident;)*) => {
        // As `async_trait` would write it: it sees this macro before it is expanded.
        $(fn $name<'a, 'async_trait>(
            &'a self,
            _: Request<q::$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<q::$answer>> + Send + 'async_trait>>
        where
            'a: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        })*
    };
}

#[tonic::async_trait]
impl Collections for Store {
    async fn get(&self, request: Request<q::GetCollectionInfoRequest>) -> Answer<q::GetCollectionInfoResponse> {
        let info = self.with(&request.into_inner().collection_name, |collection| q::CollectionInfo {
            config: Some(q::CollectionConfig {
                params: Some(q::CollectionParams {
                    vectors_config: collection.config.vectors_config.clone(),
                    sparse_vectors_config: collection.config.sparse_vectors_config.clone(),
                    ..q::CollectionParams::default()
                }),
                ..q::CollectionConfig::default()
            }),
            ..q::CollectionInfo::default()
        })?;
        Ok(Response::new(q::GetCollectionInfoResponse {
            result: Some(info),
            time: 0.0,
        }))
    }

    async fn list(&self, _: Request<q::ListCollectionsRequest>) -> Answer<q::ListCollectionsResponse> {
        let collections = self
            .all()
            .keys()
            .map(|name| q::CollectionDescription { name: name.clone() })
            .collect();
        Ok(Response::new(q::ListCollectionsResponse { collections, time: 0.0 }))
    }

    async fn create(&self, request: Request<q::CreateCollection>) -> Answer<q::CollectionOperationResponse> {
        let config = request.into_inner();
        let mut all = self.all();
        if all.contains_key(&config.collection_name) {
            return Err(Status::already_exists("Collection already exists!"));
        }
        let points = BTreeMap::new();
        all.insert(config.collection_name.clone(), Collection { config, points });
        done()
    }

    async fn delete(&self, request: Request<q::DeleteCollection>) -> Answer<q::CollectionOperationResponse> {
        self.all().remove(&request.into_inner().collection_name);
        done()
    }

    async fn collection_exists(&self, request: Request<q::CollectionExistsRequest>) -> Answer<q::CollectionExistsResponse> {
        let exists = self.all().contains_key(&request.into_inner().collection_name);
        Ok(Response::new(q::CollectionExistsResponse {
            result: Some(q::CollectionExists { exists }),
            time: 0.0,
        }))
    }

    not_made! {
        update(UpdateCollection) -> CollectionOperationResponse;
        update_aliases(ChangeAliases) -> CollectionOperationResponse;
        list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
        list_aliases(ListAliasesRequest) -> ListAliasesResponse;
        collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
        update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
        create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
        delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
        list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
    }
}

#[tonic::async_trait]
impl Points for Store {
    async fn upsert(&self, request: Request<q::UpsertPoints>) -> Answer<q::PointsOperationResponse> {
        let request = request.into_inner();
        self.with(&request.collection_name, |collection| {
            for mut point in request.points {
                if let Some(vectors::VectorsOptions::Vectors(named)) =
                    point.vectors.as_mut().and_then(|vectors| vectors.vectors_options.as_mut())
                {
                    for stored in named.vectors.values_mut() {
                        if let Some(vector::Vector::Dense(dense)) = &mut stored.vector {
                            normalize(&mut dense.data);
                        }
                    }
                }
                let id = point.id.as_ref().map(id_of).unwrap_or_default();
                collection.points.insert(id, point);
            }
        })?;
        changed()
    }

    async fn delete(&self, request: Request<q::DeletePoints>) -> Answer<q::PointsOperationResponse> {
        let request = request.into_inner();
        let selector = request.points.and_then(|points| points.points_selector_one_of);
        let Some(q::points_selector::PointsSelectorOneOf::Filter(filter)) = selector else {
            return Err(Status::unimplemented("deleting without a filter"));
        };
        self.with(&request.collection_name, |collection| {
            collection.points.retain(|_, point| !passes(Some(&filter), point));
        })?;
        changed()
    }

    async fn get(&self, request: Request<q::GetPoints>) -> Answer<q::GetResponse> {
        let request = request.into_inner();
        let result = self.with(&request.collection_name, |collection| {
            let ids = request.ids.iter().map(id_of);
            ids.filter_map(|id| collection.points.get(&id)).map(retrieved).collect()
        })?;
        Ok(Response::new(q::GetResponse {
            result,
            ..q::GetResponse::default()
        }))
    }

    async fn scroll(&self, request: Request<q::ScrollPoints>) -> Answer<q::ScrollResponse> {
        let request = request.into_inner();
        let limit = usize::try_from(request.limit.unwrap_or(10)).unwrap_or(usize::MAX);
        let result = self.with(&request.collection_name, |collection| {
            collection.points.values().take(limit).map(retrieved).collect()
        })?;
        Ok(Response::new(q::ScrollResponse {
            result,
            ..q::ScrollResponse::default()
        }))
    }

    async fn count(&self, request: Request<q::CountPoints>) -> Answer<q::CountResponse> {
        let request = request.into_inner();
        let count = self.with(&request.collection_name, |collection| {
            collection
                .points
                .values()
                .filter(|point| passes(request.filter.as_ref(), point))
                .count() as u64
        })?;
        Ok(Response::new(q::CountResponse {
            result: Some(q::CountResult { count }),
            ..q::CountResponse::default()
        }))
    }

    async fn query_batch(&self, request: Request<q::QueryBatchPoints>) -> Answer<q::QueryBatchResponse> {
        let request = request.into_inner();
        let result = self.with(&request.collection_name, |collection| {
            request.query_points.iter().map(|query| nearest(collection, query)).collect()
        })?;
        Ok(Response::new(q::QueryBatchResponse {
            result,
            ..q::QueryBatchResponse::default()
        }))
    }

    async fn facet(&self, request: Request<q::FacetCounts>) -> Answer<q::FacetResponse> {
        let request = request.into_inner();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        self.with(&request.collection_name, |collection| {
            for point in collection.points.values() {
                for value in texts(point.payload.get(&request.key)) {
                    *counts.entry(value).or_default() += 1;
                }
            }
        })?;
        let hits = counts.into_iter().map(|(value, count)| q::FacetHit {
            value: Some(q::FacetValue {
                variant: Some(q::facet_value::Variant::StringValue(value)),
            }),
            count,
        });
        Ok(Response::new(q::FacetResponse {
            hits: hits.collect(),
            ..q::FacetResponse::default()
        }))
    }

    async fn create_field_index(&self, request: Request<q::CreateFieldIndexCollection>) -> Answer<q::PointsOperationResponse> {
        self.with(&request.into_inner().collection_name, |_| ())?;
        changed()
    }

    not_made! {
        update_vectors(UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(DeletePointVectors) -> PointsOperationResponse;
        set_payload(SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
        create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
        delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
        search(SearchPoints) -> SearchResponse;
        search_batch(SearchBatchPoints) -> SearchBatchResponse;
        search_groups(SearchPointGroups) -> SearchGroupsResponse;
        recommend(RecommendPoints) -> RecommendResponse;
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
        discover(DiscoverPoints) -> DiscoverResponse;
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
        update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
        query(QueryPoints) -> QueryResponse;
        query_groups(QueryPointGroups) -> QueryGroupsResponse;
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
    }
}
