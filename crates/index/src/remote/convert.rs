//! Converts between the index's types and the server's: points, filters, queries, hits.

use super::super::fields::{
    AUTHORS, CHUNK_INDEX, CREATED, DENSE, DOCUMENT_ID, DOCUMENT_TYPE, HNSW_SEARCH_BEAM, METADATA, SOURCE, SPARSE, pair, unpaired,
};
use super::super::filter::Filter;
use super::super::types::{Hit, Payload, Point, Query, QueryVector, SparseVector};
use qdrant_client::qdrant::{
    self, Condition, DenseVector, ListValue, NamedVectors, PointId, PointStruct, QueryPoints, Range, RetrievedPoint, ScoredPoint,
    SearchParams, Value, Vector, VectorInput, VectorsOutput, point_id::PointIdOptions, value::Kind, vector, vector_input, vector_output,
    vectors_output,
};
use std::collections::HashMap;

/// Returns the point's id in the server.
pub(super) fn point_id(document_id: &str, chunk_index: u32) -> PointId {
    PointId {
        point_id_options: Some(PointIdOptions::Uuid(Point::id(document_id, chunk_index).to_string())),
    }
}

/// Returns an id as text.
pub(super) fn uuid(id: PointId) -> Option<String> {
    match id.point_id_options? {
        PointIdOptions::Uuid(uuid) => Some(uuid),
        PointIdOptions::Num(_) => None,
    }
}

fn text(value: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(value.into())),
    }
}

fn number(value: i64) -> Value {
    Value {
        kind: Some(Kind::IntegerValue(value)),
    }
}

fn texts(values: impl Iterator<Item = String>) -> Value {
    Value {
        kind: Some(Kind::ListValue(ListValue {
            values: values.map(text).collect(),
        })),
    }
}

/// Converts a point to the server's form.
fn point(point: Point) -> PointStruct {
    let id = point_id(&point.document_id, point.chunk_index);
    let dense = vector::Vector::Dense(DenseVector { data: point.dense });
    let mut vectors = vec![(DENSE, dense)];
    if !point.sparse.is_empty() {
        let sparse = qdrant::SparseVector {
            indices: point.sparse.indices,
            values: point.sparse.values,
        };
        vectors.push((SPARSE, vector::Vector::Sparse(sparse)));
    }
    let vectors = vectors.into_iter().map(|(name, vector)| {
        let vector = Vector {
            vector: Some(vector),
            ..Vector::default()
        };
        (name.to_owned(), vector)
    });
    let metadata = point.payload.metadata.iter().map(|(key, value)| pair(key, value));
    let mut payload = HashMap::from([
        (DOCUMENT_ID.to_owned(), text(point.document_id)),
        (CHUNK_INDEX.to_owned(), number(i64::from(point.chunk_index))),
        (SOURCE.to_owned(), text(point.payload.source)),
        (DOCUMENT_TYPE.to_owned(), text(point.payload.document_type)),
        (AUTHORS.to_owned(), texts(point.payload.authors.into_iter())),
        (METADATA.to_owned(), texts(metadata)),
    ]);
    if let Some(created) = point.payload.created {
        payload.insert(CREATED.to_owned(), number(created));
    }
    PointStruct {
        id: Some(id),
        payload,
        vectors: Some(
            NamedVectors {
                vectors: vectors.collect(),
            }
            .into(),
        ),
    }
}

/// Divides points into requests of about `bytes` bytes, with at least one point in each.
pub(super) fn batches(points: Vec<Point>, bytes: usize) -> Vec<Vec<PointStruct>> {
    let mut batches: Vec<Vec<PointStruct>> = Vec::new();
    let mut size = 0usize;
    for point in points.into_iter().map(point) {
        let length = prost::Message::encoded_len(&point);
        match batches.last_mut() {
            Some(batch) if size.saturating_add(length) <= bytes => {
                size += length;
                batch.push(point);
            }
            _ => {
                size = length;
                batches.push(vec![point]);
            }
        }
    }
    batches
}

/// Returns a filter for one document.
pub(super) fn document_filter(document_id: &str) -> qdrant::Filter {
    qdrant::Filter::must([Condition::matches(DOCUMENT_ID, document_id.to_owned())])
}

/// Converts a filter to the server's; `None` if it restricts nothing.
pub(super) fn filter(filter: &Filter) -> Option<qdrant::Filter> {
    if filter.is_empty() {
        return None;
    }
    let lists = [
        (DOCUMENT_ID, &filter.document_ids),
        (SOURCE, &filter.sources),
        (DOCUMENT_TYPE, &filter.document_types),
        (AUTHORS, &filter.authors),
    ];
    let mut must: Vec<Condition> = lists
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(field, values)| Condition::matches(field, values.clone()))
        .collect();
    for (key, value) in &filter.metadata {
        must.push(Condition::matches(METADATA, pair(key, value)));
    }
    if !filter.created.is_open() {
        // Seconds are exact as floating-point numbers for some hundred million years.
        let bound = |seconds: Option<i64>| seconds.map(|seconds| seconds as f64);
        let range = Range {
            gte: bound(filter.created.start),
            lte: bound(filter.created.end),
            ..Range::default()
        };
        must.push(Condition::range(CREATED, range));
    }
    let mut must_not = Vec::new();
    if !filter.exclude_documents.is_empty() {
        must_not.push(Condition::matches(DOCUMENT_ID, filter.exclude_documents.clone()));
    }
    Some(qdrant::Filter {
        must,
        must_not,
        ..qdrant::Filter::default()
    })
}

/// Returns the vector and the parameters of a query.
pub(super) fn query(query: &Query, fetch: usize) -> QueryPoints {
    let (input, name) = match &query.vector {
        QueryVector::Dense(data) => (vector_input::Variant::Dense(DenseVector { data: data.clone() }), DENSE),
        QueryVector::Sparse(sparse) => {
            let sparse = qdrant::SparseVector {
                indices: sparse.indices.clone(),
                values: sparse.values.clone(),
            };
            (vector_input::Variant::Sparse(sparse), SPARSE)
        }
    };
    QueryPoints {
        query: Some(qdrant::Query {
            variant: Some(qdrant::query::Variant::Nearest(VectorInput { variant: Some(input) })),
        }),
        using: Some(name.to_owned()),
        params: Some(SearchParams {
            hnsw_ef: Some(HNSW_SEARCH_BEAM.max(fetch) as u64),
            ..SearchParams::default()
        }),
        ..QueryPoints::default()
    }
}

/// Returns the fields that a hit needs.
pub(super) fn chunk_fields() -> Vec<&'static str> {
    vec![DOCUMENT_ID, CHUNK_INDEX]
}

fn text_of(payload: &HashMap<String, Value>, field: &str) -> Option<String> {
    match payload.get(field)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn number_of(payload: &HashMap<String, Value>, field: &str) -> Option<i64> {
    match payload.get(field)?.kind.as_ref()? {
        Kind::IntegerValue(number) => Some(*number),
        _ => None,
    }
}

fn texts_of(payload: &HashMap<String, Value>, field: &str) -> Vec<String> {
    let Some(Kind::ListValue(list)) = payload.get(field).and_then(|value| value.kind.as_ref()) else {
        return Vec::new();
    };
    let texts = list.values.iter().filter_map(|value| match value.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

/// Reads the document and the chunk index from a stored payload.
fn chunk_of(payload: &HashMap<String, Value>) -> Option<(String, u32)> {
    Some((
        text_of(payload, DOCUMENT_ID)?,
        u32::try_from(number_of(payload, CHUNK_INDEX)?).ok()?,
    ))
}

/// Returns the best hits of a query, best first, equal ones in order.
pub(super) fn hits(query: &Query, found: Vec<ScoredPoint>) -> Vec<Hit> {
    let threshold = query.score_threshold.unwrap_or(f32::NEG_INFINITY);
    let hits = found
        .into_iter()
        .filter(|point| point.score >= threshold)
        .filter_map(|point| {
            let (document_id, chunk_index) = chunk_of(&point.payload)?;
            Some(Hit {
                document_id,
                chunk_index,
                score: point.score,
            })
        })
        .collect();
    Hit::best(hits, query.limit)
}

fn named(vectors: VectorsOutput) -> Option<HashMap<String, vector_output::Vector>> {
    let vectors_output::VectorsOptions::Vectors(named) = vectors.vectors_options? else {
        return None;
    };
    let vectors = named.vectors.into_iter();
    Some(vectors.map(|(name, vector)| (name, vector.into_vector())).collect())
}

/// Returns the dense vector of a stored point.
pub(super) fn dense(vectors: VectorsOutput) -> Option<Vec<f32>> {
    match named(vectors)?.remove(DENSE)? {
        vector_output::Vector::Dense(dense) => Some(dense.data),
        _ => None,
    }
}

/// Rebuilds a stored point as it was given.
pub(super) fn stored(point: RetrievedPoint) -> Option<Point> {
    let (document_id, chunk_index) = chunk_of(&point.payload)?;
    let mut vectors = named(point.vectors?)?;
    let vector_output::Vector::Dense(dense) = vectors.remove(DENSE)? else {
        return None;
    };
    let mut terms: Vec<(u32, f32)> = match vectors.remove(SPARSE) {
        Some(vector_output::Vector::Sparse(sparse)) => sparse.indices.into_iter().zip(sparse.values).collect(),
        _ => Vec::new(),
    };
    terms.sort_unstable_by_key(|(index, _)| *index);
    let (indices, values) = terms.into_iter().unzip();
    let metadata = texts_of(&point.payload, METADATA);
    Some(Point {
        document_id,
        chunk_index,
        dense: dense.data,
        sparse: SparseVector { indices, values },
        payload: Payload {
            source: text_of(&point.payload, SOURCE).unwrap_or_default(),
            document_type: text_of(&point.payload, DOCUMENT_TYPE).unwrap_or_default(),
            authors: texts_of(&point.payload, AUTHORS),
            created: number_of(&point.payload, CREATED),
            metadata: metadata.iter().filter_map(|pair| unpaired(pair)).collect(),
        },
    })
}
