//! Documents like a given one: by the meaning of their passages, without a question.

use super::Queries;
use crate::error::PipelineError;
use crate::query::filters::narrowed;
use crate::query::passages::FoundChunk;
use ibid_auth::Subject;
use ibid_catalog::{DocumentRecord, DocumentState};
use ibid_index::{Filter, Hit, Query, QueryVector, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode, SearchHitMetadata, SimilarDocument, SimilarRequest, SimilarResponse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Passages of the given document that are searched for, evenly over its length. More say little more of what it is about.
const PASSAGES: u32 = 16;

/// Hits that each of them takes: a document that none of these is in is not like it there.
const DEPTH: usize = 200;

/// A document that was found.
#[derive(Debug, Default, PartialEq)]
struct Candidate {
    /// Sum, over the passages searched for, of the similarity of the passage here that is most like each.
    sum: f32,
    /// The most similar passage of all, and how similar it is.
    best: (u32, f32),
}

impl Queries {
    /// Documents of the same collection that are like a given one, most alike first. Where the subject does not see the collection
    /// there is no such document.
    ///
    /// # Errors
    /// A value that is wrong, no such document, `CONFLICT` while it is processed, or a failed index.
    pub async fn similar(&self, request: SimilarRequest, subject: &Subject) -> Result<SimilarResponse, ApiError> {
        request.validate()?;
        let start = Instant::now();
        let record = self.documents.visible(&request.document_id, subject).await?;
        if record.state != DocumentState::Live {
            let issue = "the document is still being processed, or could not be: only one that can be found can be compared";
            return Err(ApiError::new(ErrorCode::Conflict, issue));
        }
        let _permit = self.permits.admit().await?;
        let results = self.timeout.run("document_retrieval", self.alike(&record, &request)).await?;
        Ok(SimilarResponse {
            document_id: record.id,
            collection_name: record.collection,
            total_results: results.len(),
            results,
            processing_time: start.elapsed().as_secs_f64(),
        })
    }

    async fn alike(&self, record: &DocumentRecord, request: &SimilarRequest) -> Result<Vec<SimilarDocument>, PipelineError> {
        let pipeline = self.pipelines.find(&record.collection).await?;
        let mut hidden = self.store.visibility.hidden(pipeline.collection_id());
        hidden.push(record.id.clone());
        let others = Filter {
            exclude_documents: hidden,
            ..Filter::default()
        };
        let filter = Arc::new(narrowed(&others, &request.filters.clone().unwrap_or_default())?);
        let mut queries = Vec::new();
        for chunk in spread_over(record.chunks_total) {
            let vectors = self.store.index.vectors(pipeline.key(), &record.id, chunk..chunk + 1).await?;
            queries.extend(vectors.into_iter().flatten().map(|vector| Query {
                vector: QueryVector::Dense(vector),
                filter: filter.clone(),
                limit: DEPTH,
                score_threshold: None,
            }));
        }
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let searched = queries.len();
        let ranked = rank(self.store.index.search(pipeline.key(), queries).await?, searched);
        let wanted: Vec<((String, u32), f32)> = ranked
            .into_iter()
            .filter(|(_, score)| request.score_threshold.is_none_or(|least| *score >= least))
            .collect();
        // Read with the threshold applied and the offset not: one that is gone since must not leave a gap.
        let upto = (request.offset + request.limit) as usize;
        let spare = upto * 2;
        let found = self
            .read_chunks(pipeline.generation(), wanted.into_iter().take(spare).collect(), spare, false, 0.0)
            .await?;
        Ok(found
            .0
            .into_iter()
            .take(upto)
            .enumerate()
            .skip(request.offset as usize)
            .map(|(n, found)| similar_document(found, n as u32 + 1))
            .collect())
    }
}

/// At most [`PASSAGES`] of `chunks` chunks, evenly spread.
fn spread_over(chunks: u32) -> Vec<u32> {
    let count = chunks.min(PASSAGES);
    (0..count)
        .map(|n| (u64::from(n) * u64::from(chunks) / u64::from(count.max(1))) as u32)
        .collect()
}

/// The documents of `lists`, each with its best passage, most alike first; ties by identifier.
fn rank(lists: Vec<Vec<Hit>>, searched: usize) -> Vec<((String, u32), f32)> {
    let mut documents: BTreeMap<String, Candidate> = BTreeMap::new();
    for list in lists {
        let mut here: BTreeMap<String, f32> = BTreeMap::new();
        for hit in list {
            let score = hit.score.clamp(0.0, 1.0);
            let candidate = documents.entry(hit.document_id.clone()).or_default();
            if score > candidate.best.1 {
                candidate.best = (hit.chunk_index, score);
            }
            let best = here.entry(hit.document_id).or_default();
            *best = best.max(score);
        }
        for (document, score) in here {
            documents.entry(document).or_default().sum += score;
        }
    }
    let mut ranked: Vec<((String, u32), f32)> = documents
        .into_iter()
        .map(|(document, found)| ((document, found.best.0), found.sum / searched.max(1) as f32))
        .collect();
    // Stable: those of equal scores stay in the order of their identifiers.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

fn similar_document(found: FoundChunk, rank: u32) -> SimilarDocument {
    SimilarDocument {
        document_id: found.document_id.clone(),
        filename: found.source.clone(),
        relevance_score: f64::from(found.relevance),
        rank,
        content: found.text.to_string(),
        metadata: SearchHitMetadata::from(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(document: &str, chunk_index: u32, score: f32) -> Hit {
        Hit {
            document_id: document.to_owned(),
            chunk_index,
            score,
        }
    }

    #[test]
    fn passages_are_spread_over_the_document() {
        assert!(spread_over(0).is_empty());
        assert_eq!(spread_over(3), [0, 1, 2]);
        let many = spread_over(1_000);
        assert_eq!((many.len(), many[0], many[1], many[15]), (16, 0, 62, 937));
    }

    #[test]
    fn a_document_counts_with_its_best_passage_for_each_passage_searched_for() {
        let lists = vec![
            vec![hit("a", 0, 0.9), hit("b", 3, 0.8), hit("a", 1, 0.7)],
            vec![hit("b", 5, 0.6), hit("c", 0, -0.2)],
        ];
        let ranked = rank(lists, 2);
        let order: Vec<(&str, u32)> = ranked.iter().map(|((document, chunk), _)| (document.as_str(), *chunk)).collect();
        assert_eq!(order, [("b", 3), ("a", 0), ("c", 0)]);
        assert!((ranked[0].1 - 0.7).abs() < 1e-6 && (ranked[1].1 - 0.45).abs() < 1e-6 && ranked[2].1 == 0.0);
    }
}
