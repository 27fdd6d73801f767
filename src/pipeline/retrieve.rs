//! Finds passages: one batch of dense and BM25 searches, fused, then read from the documents.
//!
//! May depend on `index`, `embed`, `catalog`, `files`, `generate` (its passages), `telemetry` and `protocol`.

use super::engine::Engine;
use super::error::PipelineError;
use super::fusion::reciprocal_rank_fusion;
use super::resolve::Resolved;
use crate::catalog::Chunk;
use crate::document::{Attrs, Span};
use crate::files::FileError;
use crate::generate::Passage;
use crate::index::{DateRange, Filter, Query, QueryVector};
use crate::plugin::Search;
use crate::protocol::{ApiError, ErrorCode, Filters, Mode, SearchType};
use crate::telemetry;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What to find.
#[derive(Debug, Clone)]
pub struct Retrieval {
    /// What to search for. Not empty.
    pub searches: Vec<Search>,
    /// Which searches are run.
    pub search_type: SearchType,
    /// What to spend.
    pub mode: Mode,
    /// Passages wanted.
    pub limit: usize,
    /// Passages less relevant than this are left out.
    pub score_threshold: Option<f32>,
    /// Restrictions.
    pub filters: Filters,
}

/// Candidates that each search takes, for `limit` results: fusion needs more than it returns, since
/// a passage that both searches find at rank 30 beats one that a single search finds at rank 20.
fn depth(mode: Mode, limit: usize) -> usize {
    match mode {
        Mode::Speed => limit,
        Mode::Balanced => (limit * 3).max(50),
        Mode::Comprehensive => (limit * 5).max(100),
    }
}

/// Passages that are read for each that is wanted, so that other pages can come forward.
const SPARE: usize = 2;

/// What a passage is worth when a better one of its page stands before it, and again for each
/// further one. Chunks of one page are close to one another, and crowd out other pages that might
/// answer; anything from .5 to .9 gave about the same ranks (`docs/quality.md`).
const SAME_PAGE: f32 = 0.8;

/// The best `limit` passages, those of the same page discounted. Documents without pages keep their
/// order.
fn spread(mut found: Vec<FoundChunk>, limit: usize) -> Vec<FoundChunk> {
    let mut seen: HashMap<(String, u32), i32> = HashMap::new();
    for passage in &mut found {
        if let Some(page) = passage.chunk.page {
            let before = seen.entry((passage.document_id.clone(), page)).or_default();
            passage.relevance *= SAME_PAGE.powi(*before);
            *before += 1;
        }
    }
    // Stable: what is equally relevant stays in its order.
    found.sort_by(|a, b| b.relevance.total_cmp(&a.relevance));
    found.truncate(limit);
    found
}

/// A passage, and what a citation of it needs.
#[derive(Debug, Clone)]
pub struct FoundChunk {
    /// The document.
    pub document_id: String,
    /// File name.
    pub source: String,
    /// Where the chunk stands.
    pub chunk: Chunk,
    /// The document's text there.
    pub text: Arc<str>,
    /// In [0,1].
    pub relevance: f32,
    /// The document's metadata.
    pub metadata: Arc<BTreeMap<String, String>>,
}

impl FoundChunk {
    /// The chunk's name in the API.
    pub fn chunk_id(&self) -> String {
        chunk_id(&self.document_id, self.chunk.index)
    }
}

/// A chunk's name in the API: its document's and its position.
pub fn chunk_id(document_id: &str, index: u32) -> String {
    format!("{document_id}_chunk_{index}")
}

/// The passages of one query, most relevant first.
#[derive(Debug, Default)]
pub struct Passages(pub Vec<FoundChunk>);

/// A quotation with all that a citation says of it.
#[derive(Debug)]
pub struct Quoted {
    /// The document.
    pub document_id: String,
    /// The chunk.
    pub chunk_id: String,
    /// File name.
    pub source: String,
    /// Exactly the document's text.
    pub content: String,
    /// Code points before it.
    pub char_start: u64,
    /// Code points before its end.
    pub char_end: u64,
    /// The page that holds its start.
    pub page: Option<u32>,
    /// Headings above it.
    pub section: Vec<String>,
    /// The document's metadata.
    pub attrs: Attrs,
}

impl Passages {
    /// As the generator sees them.
    pub fn for_generator(&self) -> Vec<Passage> {
        self.0
            .iter()
            .map(|found| Passage {
                document_id: found.document_id.clone(),
                source: found.source.clone(),
                section: found.chunk.section.clone(),
                at: found.chunk.at,
                text: found.text.clone(),
                relevance: found.relevance,
            })
            .collect()
    }

    /// What stands at `at`, which must lie in the passage `index`.
    pub fn quote(&self, index: usize, at: Span) -> Option<Quoted> {
        let found = self.0.get(index)?;
        let chunk = &found.chunk;
        let within = Span::new(at.start.checked_sub(chunk.at.start)?, at.end.checked_sub(chunk.at.start)?);
        let content = within.of(&found.text).filter(|content| !content.is_empty())?;
        let before = found.text.get(..within.start as usize)?.chars().count() as u64;
        let char_start = chunk.char_start + before;
        Some(Quoted {
            document_id: found.document_id.clone(),
            chunk_id: found.chunk_id(),
            source: found.source.clone(),
            content: content.to_owned(),
            char_start,
            char_end: char_start + content.chars().count() as u64,
            page: page_at(chunk, at.start),
            section: chunk.section.clone(),
            attrs: found.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }
}

/// Key of a chunk's attribute that tells of a page which begins inside it: `NUMBER@BYTE`.
const PAGE_BREAK: &str = "ibid.page-break";

/// The attribute for a page that begins at byte `start`, inside a chunk.
pub fn page_break(number: u32, start: u32) -> (String, String) {
    (PAGE_BREAK.to_owned(), format!("{number}@{start}"))
}

fn page_at(chunk: &Chunk, offset: u32) -> Option<u32> {
    let breaks = chunk.attrs.iter().filter(|(key, _)| key == PAGE_BREAK).filter_map(|(_, value)| {
        let (number, start) = value.split_once('@')?;
        Some((number.parse::<u32>().ok()?, start.parse::<u32>().ok()?))
    });
    let begun = breaks.filter(|(_, start)| *start <= offset);
    begun.fold(chunk.page, |_, (number, _)| Some(number))
}

impl Engine {
    /// Finds passages. Documents that are not whole (being ingested, being deleted) are never seen.
    pub(super) async fn retrieve(&self, resolved: &Resolved, wanted: &Retrieval, timings: &mut Timings) -> Result<Passages, PipelineError> {
        let filters = self.index_filter(resolved, &wanted.filters)?;
        let mut lists: Vec<f32> = Vec::new();
        let mut queries: Vec<Query> = Vec::new();
        let weights = &resolved.pipeline.retrieval;
        let (dense, sparse) = match wanted.search_type {
            SearchType::Semantic => (1.0, 0.0),
            SearchType::Keyword => (0.0, 1.0),
            SearchType::Hybrid => (weights.dense_weight, weights.sparse_weight),
        };
        if dense > 0.0 {
            let texts = wanted.searches.iter().map(|search| search.text.clone()).collect();
            let vectors = timings.time("embedding", self.embedder.embed_queries(texts)).await?;
            for (search, vector) in wanted.searches.iter().zip(vectors) {
                lists.push(dense * search.weight);
                queries.push(self.index_query(QueryVector::Dense(vector), search, wanted, &filters)?);
            }
        }
        if sparse > 0.0 {
            for search in &wanted.searches {
                lists.push(sparse * search.weight);
                queries.push(self.index_query(QueryVector::Sparse(resolved.bm25.query(&search.text)), search, wanted, &filters)?);
            }
        }
        let hits = timings.time("retrieval", self.index.search(&resolved.key, queries)).await?;
        let single = hits.len() == 1;
        let ranked: Vec<((String, u32), f32)> = if single {
            // One list needs no fusion: its scores say more than its ranks.
            let hits = hits.into_iter().next().unwrap_or_default();
            let best = hits.first().map_or(1.0, |hit| hit.score.max(1.0));
            hits.into_iter()
                .map(|hit| ((hit.document_id, hit.chunk_index), (hit.score / best).clamp(0.0, 1.0)))
                .collect()
        } else {
            let ranks = hits
                .into_iter()
                .map(|list| list.into_iter().map(|hit| (hit.document_id, hit.chunk_index)).collect());
            reciprocal_rank_fusion(&lists.into_iter().zip(ranks).collect::<Vec<_>>())
        };
        let wanted_refs: Vec<((String, u32), f32)> = ranked
            .into_iter()
            .filter(|(_, score)| wanted.score_threshold.is_none_or(|least| *score >= least))
            .take(wanted.limit * SPARE)
            .collect();
        let found = timings.time("reading", self.read_chunks(wanted_refs)).await?;
        Ok(Passages(spread(found.0, wanted.limit)))
    }

    fn index_query(&self, vector: QueryVector, search: &Search, wanted: &Retrieval, filter: &Arc<Filter>) -> Result<Query, PipelineError> {
        let filter = match &search.filter {
            Some(own) => {
                let own: Filters = serde_json::from_value(Value::Object(own.clone()))
                    .map_err(|error| ApiError::new(ErrorCode::PluginError, format!("the analyzer's filter is not one: {error}")))?;
                Arc::new(narrowed(filter, &own)?)
            }
            None => filter.clone(),
        };
        let limit = search
            .limit
            .map_or(depth(wanted.mode, wanted.limit), |limit| limit as usize)
            .clamp(1, 1_000);
        Ok(Query {
            vector,
            filter,
            limit,
            score_threshold: None,
        })
    }

    fn index_filter(&self, resolved: &Resolved, filters: &Filters) -> Result<Arc<Filter>, PipelineError> {
        let hidden = Filter {
            exclude_documents: self.visibility.hidden(&resolved.collection_id),
            ..Filter::default()
        };
        Ok(Arc::new(narrowed(&hidden, filters)?))
    }

    /// Reads the chunks' places and texts; leaves out those whose documents are not live any more.
    async fn read_chunks(&self, ranked: Vec<((String, u32), f32)>) -> Result<Passages, PipelineError> {
        let references: Vec<(String, u32)> = ranked.iter().map(|(reference, _)| reference.clone()).collect();
        let located = self.catalog.chunks_by_refs(&references).await?;
        let mut chunks: HashMap<(String, u32), Chunk> = located
            .into_iter()
            .map(|located| ((located.document_id, located.chunk.index), located.chunk))
            .collect();
        let mut ids: Vec<String> = references.iter().map(|(document_id, _)| document_id.clone()).collect();
        ids.sort();
        ids.dedup();
        let documents: HashMap<String, (String, Arc<BTreeMap<String, String>>)> = self
            .catalog
            .live_documents(&ids)
            .await?
            .into_iter()
            .map(|record| {
                let metadata = Arc::new(super::documents::all_metadata(&record));
                (record.id, (record.filename, metadata))
            })
            .collect();
        let mut texts = self.read_texts(&references, &chunks).await?;
        let mut found = Vec::with_capacity(ranked.len());
        for ((document_id, index), relevance) in ranked {
            let Some((source, metadata)) = documents.get(&document_id).cloned() else {
                continue;
            };
            let Some(chunk) = chunks.remove(&(document_id.clone(), index)) else {
                continue;
            };
            let Some(text) = texts.remove(&(document_id.clone(), index)) else {
                continue;
            };
            found.push(FoundChunk {
                document_id,
                source,
                chunk,
                text,
                relevance,
                metadata,
            });
        }
        Ok(Passages(found))
    }

    /// The chunks' texts: one read for each document. A document that was deleted since it was
    /// found has none.
    async fn read_texts(
        &self,
        references: &[(String, u32)],
        chunks: &HashMap<(String, u32), Chunk>,
    ) -> Result<HashMap<(String, u32), Arc<str>>, PipelineError> {
        let mut wanted: BTreeMap<&str, Vec<(u32, Span)>> = BTreeMap::new();
        for reference in references {
            if let Some(chunk) = chunks.get(reference) {
                wanted.entry(&reference.0).or_default().push((reference.1, chunk.at));
            }
        }
        let mut texts = HashMap::with_capacity(references.len());
        for (document_id, parts) in wanted {
            let spans: Vec<Span> = parts.iter().map(|(_, span)| *span).collect();
            match self.files.read_spans(document_id, &spans).await {
                Ok(read) => texts.extend(
                    parts
                        .into_iter()
                        .zip(read)
                        .map(|((index, _), text)| ((document_id.to_owned(), index), Arc::from(text))),
                ),
                Err(FileError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(texts)
    }
}

/// `filter`, narrowed by the client's or the analyzer's filters.
fn narrowed(filter: &Filter, filters: &Filters) -> Result<Filter, PipelineError> {
    let mut narrowed = filter.clone();
    for (mine, theirs) in [
        (&mut narrowed.document_ids, &filters.document_ids),
        (&mut narrowed.sources, &filters.sources),
        (&mut narrowed.document_types, &filters.document_types),
        (&mut narrowed.authors, &filters.authors),
    ] {
        if mine.is_empty() {
            mine.clone_from(theirs);
        } else if !theirs.is_empty() {
            mine.retain(|value| theirs.contains(value));
            if mine.is_empty() {
                // Nothing meets both: a value that no document has says so.
                mine.push(String::new());
            }
        }
    }
    narrowed.document_types = narrowed.document_types.iter().flat_map(|kind| extensions(kind)).collect();
    narrowed
        .metadata
        .extend(filters.metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(range) = &filters.date_range {
        let start = range.start.as_deref().and_then(|date| moment(date, false));
        let end = range.end.as_deref().and_then(|date| moment(date, true));
        narrowed.created = DateRange {
            start: [narrowed.created.start, start].into_iter().flatten().max(),
            end: [narrowed.created.end, end].into_iter().flatten().min(),
        };
    }
    Ok(narrowed)
}

/// The file name extensions that a media type goes by; an extension is itself.
fn extensions(kind: &str) -> Vec<String> {
    let kind = kind.trim_start_matches('.').to_lowercase();
    match mime_guess::get_mime_extensions_str(&kind) {
        Some(extensions) => extensions.iter().map(|extension| (*extension).to_owned()).collect(),
        None => vec![kind],
    }
}

/// Seconds since 1970 of an RFC 3339 time, or of the first or last second of a date.
pub(super) fn moment(date: &str, last: bool) -> Option<i64> {
    let text = match (date.len(), last) {
        (10, false) => format!("{date}T00:00:00Z"),
        (10, true) => format!("{date}T23:59:59Z"),
        _ => date.to_owned(),
    };
    OffsetDateTime::parse(&text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// Seconds by stage.
#[derive(Debug, Default, Clone)]
pub struct Timings(pub BTreeMap<String, f64>);

impl Timings {
    /// Runs `work` and adds its time to `stage`, as clients read it; metrics and traces have it too.
    pub async fn time<T>(&mut self, stage: &str, work: impl Future<Output = T>) -> T {
        let start = std::time::Instant::now();
        let result = match measured(stage) {
            Some(stage) => telemetry::stage(telemetry::Pipeline::Query, stage, work).await,
            None => work.await,
        };
        *self.0.entry(stage.to_owned()).or_default() += start.elapsed().as_secs_f64();
        result
    }
}

/// The stage of the metrics that one of an answer's `timings` is.
fn measured(timing: &str) -> Option<telemetry::Stage> {
    use telemetry::Stage;
    Some(match timing {
        "analysis" => Stage::Analyze,
        "embedding" => Stage::Embed,
        "retrieval" => Stage::Retrieve,
        "reading" => Stage::Read,
        "generation" => Stage::Generate,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(document: &str, page: Option<u32>, relevance: f32) -> FoundChunk {
        let chunk = Chunk {
            index: 0,
            at: Span::new(10, 20),
            char_start: 8,
            char_end: 18,
            page,
            section: Vec::new(),
            context: Vec::new(),
            attrs: Vec::new(),
        };
        FoundChunk {
            document_id: document.to_owned(),
            source: "a.pdf".to_owned(),
            chunk,
            text: "0123456789".into(),
            relevance,
            metadata: Arc::default(),
        }
    }

    #[test]
    fn other_pages_come_before_more_of_the_same_page() {
        let found = vec![
            passage("a", Some(1), 1.0),
            passage("a", Some(1), 0.9),
            passage("a", Some(2), 0.8),
            passage("b", Some(1), 0.75),
        ];
        let order: Vec<(String, Option<u32>)> = spread(found, 3).into_iter().map(|p| (p.document_id, p.chunk.page)).collect();
        assert_eq!(
            order,
            [("a".to_owned(), Some(1)), ("a".to_owned(), Some(2)), ("b".to_owned(), Some(1))]
        );
    }

    #[test]
    fn documents_without_pages_keep_their_order() {
        let found = vec![passage("a", None, 1.0), passage("a", None, 0.9), passage("b", None, 0.8)];
        let kept: Vec<f32> = spread(found, 3).into_iter().map(|p| p.relevance).collect();
        assert_eq!(kept, [1.0, 0.9, 0.8]);
    }

    #[test]
    fn a_quotation_knows_its_page_inside_a_chunk_that_crosses_pages() {
        let mut found = passage("a", Some(3), 1.0);
        found.chunk.attrs = vec![page_break(4, 15)];
        let passages = Passages(vec![found]);
        let before = passages.quote(0, Span::new(10, 14)).unwrap();
        assert_eq!(
            (before.content.as_str(), before.page, before.char_start, before.char_end),
            ("0123", Some(3), 8, 12)
        );
        assert_eq!(passages.quote(0, Span::new(15, 17)).unwrap().page, Some(4));
        assert!(passages.quote(0, Span::new(5, 12)).is_none());
        assert!(passages.quote(1, Span::new(10, 12)).is_none());
    }
}
