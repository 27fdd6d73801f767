//! Converts between the index's types and the engine's: configuration, points, filters.

use super::super::error::IndexError;
pub(super) use super::super::fields::DENSE;
use super::super::fields::{
    AUTHORS, CHUNK_INDEX, CREATED, DOCUMENT_ID, DOCUMENT_TYPE, FULL_SCAN_KIB, HNSW_BUILD_BEAM, HNSW_EDGES, HNSW_SEARCH_BEAM, KEYWORDS,
    METADATA, SOURCE, SPARSE, pair, unpaired,
};
use super::super::filter::Filter;
use super::super::types::{Payload, Point, Query, QueryVector, SparseVector};
use super::EmbeddedOptions;
use qdrant_edge::external::serde_json::{self, Value, json};
use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeOptimizersConfig, EdgeSparseVectorParams, EdgeVectorParams, FieldIndexOperations,
    Filter as EngineFilter, HnswIndexConfig, JsonPath, Modifier, NamedQuery, PayloadFieldSchema, PayloadSchemaType, PointId,
    PointInsertOperations, PointOperations, PointStruct, QueryEnum, SearchParams, SearchRequest, UpdateOperation, Vector, VectorInternal,
    VectorStructInternal, Vectors, WalOptions, WithPayloadInterface,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The size of a file of the engine's log. The log is never read (see `journal.rs`), and only takes space.
const LOG_SEGMENT_BYTES: usize = 8 << 20;

/// Runs a call to the engine, and turns a panic into an error. The engine panics on unexpected errors of the file system, which must not
/// stop anything else.
pub(super) fn guarded<T, E>(operation: &'static str, call: impl FnOnce() -> Result<T, E>) -> Result<T, IndexError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError::engine(operation, error)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("it panicked");
            Err(IndexError::engine(operation, format!("the engine panicked: {text}")))
        }
    }
}

/// Returns the engine's configuration of a collection.
pub(super) fn config(dimension: u32, options: &EmbeddedOptions) -> EdgeConfig {
    let dense = EdgeVectorParams::builder(dimension as usize, Distance::Cosine)
        .on_disk(true)
        .build();
    let sparse = EdgeSparseVectorParams::builder().modifier(Modifier::Idf).build();
    EdgeConfig::builder()
        .vector(DENSE, dense)
        .sparse_vector(SPARSE, sparse)
        .on_disk_payload(true)
        .hnsw_config(HnswIndexConfig {
            m: HNSW_EDGES,
            ef_construct: HNSW_BUILD_BEAM,
            full_scan_threshold: FULL_SCAN_KIB,
            max_indexing_threads: options.optimizer_threads,
            on_disk: Some(false),
            payload_m: None,
            inline_storage: None,
        })
        .optimizers(EdgeOptimizersConfig {
            // Every segment is searched in turn, so few are better.
            default_segment_number: Some(2),
            indexing_threshold: Some(options.indexing_threshold_kib),
            ..EdgeOptimizersConfig::default()
        })
        .wal_options(WalOptions {
            segment_capacity: LOG_SEGMENT_BYTES,
            ..WalOptions::default()
        })
        .build()
}

/// Returns the operations that index the fields that filters use.
pub(super) fn payload_indexes() -> Result<Vec<UpdateOperation>, IndexError> {
    let keywords = KEYWORDS.into_iter().map(|name| (name, PayloadSchemaType::Keyword));
    let fields = keywords.chain([(CREATED, PayloadSchemaType::Integer)]);
    let operation = |(name, kind): (&str, PayloadSchemaType)| {
        Ok(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(
            CreateIndex {
                field_name: path(name)?,
                field_schema: Some(PayloadFieldSchema::FieldType(kind)),
            },
        )))
    };
    fields.map(operation).collect()
}

/// Returns the path of the field with the document's identifier.
pub(super) fn document_field() -> Result<JsonPath, IndexError> {
    path(DOCUMENT_ID)
}

fn path(name: &str) -> Result<JsonPath, IndexError> {
    name.parse()
        .map_err(|()| IndexError::engine("name a field", format!("'{name}' is no path")))
}

/// Returns the point's id in the engine.
pub(super) fn point_id(document_id: &str, chunk_index: u32) -> PointId {
    PointId::Uuid(Point::id(document_id, chunk_index))
}

/// Returns the operation that stores points.
pub(super) fn upsert(points: Vec<Point>) -> Result<UpdateOperation, IndexError> {
    let points = points
        .into_iter()
        .map(|point| Ok(self::point(point)?.into()))
        .collect::<Result<_, IndexError>>()?;
    Ok(UpdateOperation::PointOperation(PointOperations::UpsertPoints(
        PointInsertOperations::PointsList(points),
    )))
}

/// Returns the operation that removes points by id.
pub(super) fn delete_points(ids: Vec<PointId>) -> UpdateOperation {
    UpdateOperation::PointOperation(PointOperations::DeletePoints { ids })
}

/// Returns the operation that removes a document's points.
pub(super) fn delete_document(document_id: &str) -> Result<UpdateOperation, IndexError> {
    Ok(UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(
        document_filter(document_id)?,
    )))
}

fn point(point: Point) -> Result<PointStruct, IndexError> {
    let id = point_id(&point.document_id, point.chunk_index);
    let mut vectors = vec![(DENSE, Vector::new_dense(point.dense))];
    if !point.sparse.is_empty() {
        let sparse = Vector::new_sparse(point.sparse.indices, point.sparse.values);
        vectors.push((SPARSE, sparse.map_err(|error| IndexError::engine("store points", error))?));
    }
    let metadata: Vec<Value> = point.payload.metadata.iter().map(|(key, value)| pair(key, value).into()).collect();
    let mut payload = json!({
        DOCUMENT_ID: point.document_id,
        CHUNK_INDEX: point.chunk_index,
        SOURCE: point.payload.source,
        DOCUMENT_TYPE: point.payload.document_type,
        AUTHORS: point.payload.authors,
        METADATA: metadata,
    });
    if let (Some(created), Some(payload)) = (point.payload.created, payload.as_object_mut()) {
        payload.insert(CREATED.to_owned(), created.into());
    }
    Ok(PointStruct::new(id, Vectors::new_named(vectors), payload))
}

/// Returns a filter for one document.
pub(super) fn document_filter(document_id: &str) -> Result<EngineFilter, IndexError> {
    parse_filter(json!({ "must": [{ "key": DOCUMENT_ID, "match": { "value": document_id } }] }))
}

/// Converts a filter to the engine's; `None` if it restricts nothing.
pub(super) fn filter(filter: &Filter) -> Result<Option<EngineFilter>, IndexError> {
    if filter.is_empty() {
        return Ok(None);
    }
    let mut must = Vec::new();
    let lists = [
        (DOCUMENT_ID, &filter.document_ids),
        (SOURCE, &filter.sources),
        (DOCUMENT_TYPE, &filter.document_types),
        (AUTHORS, &filter.authors),
    ];
    for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        must.push(json!({ "key": key, "match": { "any": values } }));
    }
    for (key, value) in &filter.metadata {
        must.push(json!({ "key": METADATA, "match": { "value": pair(key, value) } }));
    }
    if !filter.created.is_open() {
        must.push(json!({ "key": CREATED, "range": { "gte": filter.created.start, "lte": filter.created.end } }));
    }
    let mut must_not = Vec::new();
    if !filter.exclude_documents.is_empty() {
        must_not.push(json!({ "key": DOCUMENT_ID, "match": { "any": filter.exclude_documents } }));
    }
    parse_filter(json!({ "must": must, "must_not": must_not })).map(Some)
}

fn parse_filter(filter: Value) -> Result<EngineFilter, IndexError> {
    serde_json::from_value(filter).map_err(|error| IndexError::engine("build a filter", error))
}

/// Returns the engine's request for the best `limit` hits.
pub(super) fn search(query: &Query, filter: Option<EngineFilter>, limit: usize) -> Result<SearchRequest, IndexError> {
    let (vector, name) = match &query.vector {
        QueryVector::Dense(vector) => (VectorInternal::Dense(vector.clone()), DENSE),
        QueryVector::Sparse(vector) => (VectorInternal::Sparse(sparse(vector)), SPARSE),
    };
    Ok(SearchRequest {
        query: QueryEnum::Nearest(NamedQuery::new(vector, name)),
        filter,
        params: Some(SearchParams {
            hnsw_ef: Some(HNSW_SEARCH_BEAM.max(limit)),
            ..SearchParams::default()
        }),
        limit,
        offset: 0,
        with_payload: Some(WithPayloadInterface::Fields(vec![path(DOCUMENT_ID)?, path(CHUNK_INDEX)?])),
        with_vector: None,
        score_threshold: None,
    })
}

fn sparse(vector: &SparseVector) -> qdrant_edge::SparseVector {
    qdrant_edge::SparseVector {
        indices: vector.indices.clone(),
        values: vector.values.clone(),
    }
}

/// Reads the document and the chunk index from a stored payload.
pub(super) fn chunk_of(payload: Option<&qdrant_edge::Payload>) -> Option<(String, u32)> {
    let fields = &payload?.0;
    let document = fields.get(DOCUMENT_ID)?.as_str()?.to_owned();
    let chunk = u32::try_from(fields.get(CHUNK_INDEX)?.as_u64()?).ok()?;
    Some((document, chunk))
}

/// Rebuilds a point from the payload and the vectors that the engine returns.
pub(super) fn stored(payload: Option<&qdrant_edge::Payload>, vectors: Option<VectorStructInternal>) -> Option<Point> {
    let (document_id, chunk_index) = chunk_of(payload)?;
    let fields = &payload?.0;
    let VectorStructInternal::Named(mut vectors) = vectors? else {
        return None;
    };
    let VectorInternal::Dense(dense) = vectors.remove(DENSE)? else {
        return None;
    };
    let sparse = match vectors.remove(SPARSE) {
        Some(VectorInternal::Sparse(sparse)) => sparse,
        _ => qdrant_edge::SparseVector::default(),
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |name: &str| {
        let values = fields.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    Some(Point {
        document_id,
        chunk_index,
        dense,
        sparse: SparseVector {
            indices: sparse.indices,
            values: sparse.values,
        },
        payload: Payload {
            source: text(SOURCE),
            document_type: text(DOCUMENT_TYPE),
            authors: texts(AUTHORS),
            created: fields.get(CREATED).and_then(Value::as_i64),
            metadata: texts(METADATA).iter().filter_map(|pair| unpaired(pair)).collect(),
        },
    })
}
