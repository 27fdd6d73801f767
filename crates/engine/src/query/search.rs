//! Searches: passages without an answer.

use super::Queries;
use crate::query::passages::FoundChunk;
use crate::query::plan::{default_search, names, searches};
use crate::query::retrieve::{Reading, Retrieval};
use crate::query::timings::Timings;
use ibid_auth::Subject;
use ibid_index::{Bm25, SparseVector};
use ibid_protocol::{ApiError, Highlight, Mode, SearchHit, SearchHitMetadata, SearchRequest, SearchResponse, SearchType};
use std::time::Instant;

impl Queries {
    /// Finds passages without making an answer.
    pub async fn search(&self, request: SearchRequest, subject: &Subject) -> Result<SearchResponse, ApiError> {
        request.validate()?;
        let start = Instant::now();
        let collection = request.collection_name.as_deref().unwrap_or(&self.default_collection);
        if !subject.sees(collection) {
            return Err(ApiError::collection_not_found(collection));
        }
        let pipeline = self
            .pipelines
            .find(collection)
            .await
            .map_err(|error| error.to_api_error("document_retrieval"))?;
        let mode = request.mode.unwrap_or(pipeline.settings().retrieval.mode);
        let question = request.query.trim().to_owned();
        let _permit = self.permits.admit().await?;
        let mut timings = Timings::default();
        let (plan, _) = timings
            .time(
                "analysis",
                self.timeout.run("query_analysis", self.analyze(&*pipeline, &question, mode, None)),
            )
            .await?;
        let search_type = request.search_type.unwrap_or(default_search(mode));
        let limit = (request.offset + request.limit) as usize;
        let reread = pipeline.settings().reads_again(mode, limit, request.rerank);
        // What the pipeline's share is for: other scores have other scales, and who turns pages wants more.
        let own = match (search_type, mode, reread, request.offset) {
            (SearchType::Hybrid, Mode::Balanced | Mode::Comprehensive, None, 0) => pipeline.settings().retrieval.relative_threshold,
            _ => 0.0,
        };
        let share = request.relative_threshold.unwrap_or(own);
        let wanted = Retrieval {
            searches: searches(&question, &plan, mode),
            search_type,
            mode,
            limit,
            score_threshold: request.score_threshold,
            filters: request.filters.clone().unwrap_or_default(),
            names: names(&plan),
            reading: match reread {
                Some(read) => Reading::Reranked(read),
                None if share > 0.0 => Reading::Joined,
                None => Reading::Single,
            },
        };
        let found = self
            .timeout
            .run("document_retrieval", self.retrieve(&*pipeline, &wanted, &mut timings))
            .await?;
        let mut reranked = false;
        let mut warnings = Vec::new();
        let mut passages = match wanted.reading {
            Reading::Single | Reading::Joined => found.passages,
            Reading::Reranked(read) => {
                let ranked = self
                    .rerank(&*pipeline, &question, found, (read, limit), wanted.score_threshold, &mut timings)
                    .await;
                reranked = ranked.warning.is_none();
                warnings.extend(ranked.warning);
                ranked.passages
            }
        };
        timings.measure();
        let least = passages.0.iter().map(FoundChunk::score).fold(0.0, f32::max) * share;
        passages.0.retain(|found| found.score() >= least);
        let asked = pipeline.bm25().query(&question);
        let results: Vec<SearchHit> = passages
            .0
            .into_iter()
            .enumerate()
            .skip(request.offset as usize)
            .map(|(n, hit)| SearchHit {
                highlight: highlight(pipeline.bm25(), &asked, &hit),
                content: hit.text.to_string(),
                relevance_score: f64::from(hit.score()),
                rank: n as u32 + 1,
                metadata: SearchHitMetadata::from(hit),
            })
            .collect();
        Ok(SearchResponse {
            total_results: results.len(),
            results,
            search_type,
            processing_mode: mode,
            reranked,
            processing_time: start.elapsed().as_secs_f64(),
            warnings,
        })
    }
}

/// Returns where words of the question stand in a passage.
fn highlight(bm25: &Bm25, asked: &SparseVector, found: &FoundChunk) -> Vec<Highlight> {
    let (mut at, mut chars) = (0, found.chunk.char_start);
    let mut after = |end: usize| {
        chars += found.text.get(at..end).map_or(0, |text| text.chars().count() as u64);
        at = end;
        chars
    };
    let matches = bm25.matches(&found.text, asked).into_iter();
    matches
        .map(|word| Highlight {
            start_char: after(word.start),
            end_char: after(word.end),
        })
        .collect()
}
