//! Finds passages: one batch of dense and BM25 searches, fused, weighed by what the question says of the documents, then
//! read from them.
//!
//! May depend on `index`, `embed`, `catalog`, `files`, `generate` (its passages), `telemetry` and `protocol`.

use super::engine::Engine;
use super::error::PipelineError;
use super::fusion::{Scored, combine};
use super::generation::text_id;
use super::profile::Aim;
use super::resolve::Resolved;
use crate::catalog::Chunk;
use crate::document::{Attrs, Span};
use crate::files::FileError;
use crate::generate::{Passage, asks_for_figure, density};
use crate::index::{DateRange, Filter, Hit, MAX_BATCH_QUERIES, Query, QueryVector, SparseVector, VectorIndex};
use crate::plugin::Search;
use crate::protocol::{ApiError, ErrorCode, Filters, Mode, SearchHitMetadata, SearchType};
use crate::telemetry;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
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
    /// Names in the question, as the analyzer found them.
    pub names: Vec<String>,
    /// Passages that a reranker is to read, at least `limit` of them where it may; `None` if none is to.
    pub reread: Option<usize>,
    /// Whether chunks that stand next to each other become one passage, where no reranker reads them. The extractive generator wants
    /// them single: it takes its statements from as many places as it can.
    pub join: bool,
}

impl Retrieval {
    /// Passages that are read.
    fn wanted(&self) -> usize {
        self.limit.max(self.reread.unwrap_or(0))
    }
}

/// Candidates that each search takes, for `limit` results, and that are weighed against one another: a passage that both
/// searches find at rank 30 beats one that a single search finds at rank 20, and other pages are to come forward.
fn depth(mode: Mode, limit: usize) -> usize {
    match mode {
        Mode::Speed => (limit * 2).max(40),
        Mode::Balanced => (limit * 4).max(100),
        Mode::Comprehensive => (limit * 8).max(200),
    }
}

/// Terms of a question whose best score is asked for: those of a long one beyond that are taken to be as the others.
const TERMS: usize = 24;

/// Searches that are run: each is up to four queries, and one for each term.
const SEARCHES: usize = MAX_BATCH_QUERIES / (TERMS + 4);

/// What a passage is worth when a better one of its page stands before it, and again for each
/// further one. Chunks of one page are close to one another, and crowd out other pages that might
/// answer; anything from .5 to .9 gave about the same ranks (`docs/quality.md`).
const SAME_PAGE: f32 = 0.8;

/// What a passage full of figures gains where a figure is asked for, beside scores in [0,1]: prose about a subject has more of the
/// question's words than the table that holds the answer. Anything from .05 to .12 is better than nothing (`docs/quality.md`).
const FIGURES: f32 = 0.1;

/// What a chunk must have, as a share of the best one's relevance, to be joined to its neighbour: what is beside the point stays away
/// from what is not.
const NEIGHBOUR: f32 = 0.7;

/// Chunks that are joined at most: of a document that is to the point from end to end the best parts are wanted, and not all of it.
const JOINED: u32 = 5;

/// The share of figures among a passage's words from which on it is full of them.
const FULL_OF_FIGURES: f32 = 0.35;

/// Discounts passages for those of their page that stand before them. `place` says of which document and page one is, `score` is
/// what is discounted.
pub(super) fn discount_pages<T>(passages: &mut [T], place: impl Fn(&T) -> (&String, Option<u32>), score: impl Fn(&mut T) -> &mut f32) {
    let mut seen: HashMap<(String, u32), i32> = HashMap::new();
    for passage in passages {
        if let (document, Some(page)) = place(passage) {
            let before = seen.entry((document.clone(), page)).or_default();
            *score(passage) *= SAME_PAGE.powi(*before);
            *before += 1;
        }
    }
}

/// The passages, those of the same page discounted. Documents without pages keep their order.
fn spread(mut found: Vec<Located>) -> Vec<Located> {
    discount_pages(
        &mut found,
        |passage| (&passage.document_id, passage.chunk.page),
        |passage| &mut passage.relevance,
    );
    // Stable: what is equally relevant stays in its order.
    found.sort_by(|a, b| b.relevance.total_cmp(&a.relevance));
    found
}

/// What was found, most relevant first; chunks that stand next to each other as one passage, in the place of the better one.
fn joined(found: Vec<Located>) -> Vec<Located> {
    let least = found.first().map_or(0.0, |best| best.relevance * NEIGHBOUR);
    let mut passages: Vec<Located> = Vec::with_capacity(found.len());
    for chunk in found {
        let related = chunk.relevance >= least;
        match passages.iter().position(|passage| related && passage.adjoins(&chunk)) {
            None => passages.push(chunk),
            Some(at) => {
                let mut passage = passages.remove(at);
                passage.take(chunk);
                // It may have been all that stood between two passages.
                if let Some(other) = passages.iter().position(|other| passage.adjoins(other)) {
                    let other = passages.remove(other);
                    passage.take(other);
                }
                let at = passages.partition_point(|other| other.relevance >= passage.relevance);
                passages.insert(at, passage);
            }
        }
    }
    passages
}

/// What was found, not yet read: a chunk, or some that stand next to each other.
#[derive(Debug, Clone)]
struct Located {
    document_id: String,
    /// The generation of the text that it is a part of.
    text_generation: u32,
    /// The best of them, its span that of all.
    chunk: Chunk,
    /// Which they are.
    indices: RangeInclusive<u32>,
    relevance: f32,
}

impl Located {
    /// Whether `other` stands right before or after, a citation of either says the same of where it stands, and both are not too long.
    fn adjoins(&self, other: &Self) -> bool {
        let after = |a: &Self, b: &Self| a.indices.end().checked_add(1) == Some(*b.indices.start());
        let chunks = |a: &Self| a.indices.end() - a.indices.start() + 1;
        (after(self, other) || after(other, self))
            && chunks(self) + chunks(other) <= JOINED
            && self.text_generation == other.text_generation
            && self.document_id == other.document_id
            && self.chunk.page == other.chunk.page
            && self.chunk.section == other.chunk.section
            && self.chunk.context == other.chunk.context
    }

    /// Takes in `other`, which adjoins it.
    fn take(&mut self, other: Self) {
        if other.relevance > self.relevance {
            self.chunk.index = other.chunk.index;
            self.relevance = other.relevance;
        }
        let (mine, theirs) = (&mut self.chunk, other.chunk);
        mine.at = Span::new(mine.at.start.min(theirs.at.start), mine.at.end.max(theirs.at.end));
        mine.char_start = mine.char_start.min(theirs.char_start);
        mine.char_end = mine.char_end.max(theirs.char_end);
        mine.attrs.extend(theirs.attrs);
        self.indices = *self.indices.start().min(other.indices.start())..=*self.indices.end().max(other.indices.end());
    }
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
    /// The document's text that its context spans mark: headings, its table's header.
    pub header: String,
    /// In [0,1].
    pub relevance: f32,
    /// What a reranker gave it, in [0,1], with what the question says of its document; `None` if none ordered the passages.
    pub reranked: Option<f32>,
    /// The document's metadata.
    pub metadata: Arc<BTreeMap<String, String>>,
}

impl FoundChunk {
    /// The chunk's name in the API.
    pub fn chunk_id(&self) -> String {
        chunk_id(&self.document_id, self.chunk.index)
    }

    /// How relevant clients are told that it is: by what ordered the passages.
    pub fn told(&self) -> f32 {
        self.reranked.unwrap_or(self.relevance)
    }
}

/// What was found, and what the question says of the documents.
#[derive(Debug, Default)]
pub struct Found {
    /// Most relevant first.
    pub passages: Passages,
    /// Which documents are meant.
    pub aim: Aim,
}

impl From<FoundChunk> for SearchHitMetadata {
    fn from(found: FoundChunk) -> Self {
        Self {
            chunk_id: found.chunk_id(),
            chunk_index: found.chunk.index,
            page: found.chunk.page,
            start_char: found.chunk.char_start,
            end_char: found.chunk.char_end,
            section: found.chunk.section,
            document: (*found.metadata).clone(),
            document_id: found.document_id,
            source: found.source,
        }
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
                page: found.chunk.page,
                header: found.header.clone(),
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
    pub(super) async fn retrieve(&self, resolved: &Resolved, wanted: &Retrieval, timings: &mut Timings) -> Result<Found, PipelineError> {
        let filter = self.index_filter(resolved, &wanted.filters)?;
        let weights = &resolved.pipeline.retrieval;
        let (dense, sparse) = match wanted.search_type {
            SearchType::Semantic => (1.0, 0.0),
            SearchType::Keyword => (0.0, 1.0),
            SearchType::Hybrid => (weights.dense_weight, weights.sparse_weight),
        };
        // Who asks for one kind of search wants its order.
        let aim = match wanted.search_type {
            SearchType::Hybrid => timings.time("retrieval", self.aim(resolved, wanted)).await?,
            SearchType::Semantic | SearchType::Keyword => Aim::default(),
        };
        let preferred = match aim.preferred.is_empty() {
            true => None,
            false => Some(Arc::new(narrowed(
                &filter,
                &Filters {
                    document_ids: aim.preferred.clone(),
                    ..Filters::default()
                },
            )?)),
        };
        let searches: Vec<&Search> = wanted.searches.iter().take(SEARCHES).collect();
        let mut batch = Batch::default();
        if dense > 0.0 {
            let texts = searches.iter().map(|search| search.text.clone()).collect();
            let vectors = timings.time("embedding", resolved.embedder.embed_queries(texts)).await?;
            for (search, vector) in searches.iter().zip(vectors) {
                let query = index_query(QueryVector::Dense(vector), search, wanted, &filter)?;
                batch.add(dense * search.weight, query, preferred.as_ref(), &[]);
            }
        }
        if sparse > 0.0 {
            let said = resolved.bm25.query(&aim.said.join(" "));
            for search in searches {
                let vector = resolved.bm25.query(&search.text).without(&said);
                let terms: Vec<SparseVector> = vector.terms(TERMS).collect();
                let query = index_query(QueryVector::Sparse(vector), search, wanted, &filter)?;
                batch.add(sparse * search.weight, query, preferred.as_ref(), &terms);
            }
        }
        let hits = timings.time("retrieval", self.index.search(&resolved.key, batch.queries)).await?;
        let found = scored(&batch.plan, hits);
        let ranked = combine(&found).into_iter().map(|((document_id, index), score)| {
            let score = aim.add(&document_id, score);
            ((document_id, index), score)
        });
        // What is relevant, a reranker says for itself.
        let threshold = wanted.score_threshold.filter(|_| wanted.reread.is_none());
        let mut ranked: Vec<((String, u32), f32)> = ranked.filter(|(_, score)| threshold.is_none_or(|least| *score >= least)).collect();
        // Stable: what is equally relevant stays in its order.
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        ranked.truncate(depth(wanted.mode, wanted.wanted()));
        // What figures add is weighed as what the documents' names add is.
        let figures = match (wanted.search_type, wanted.searches.first()) {
            (SearchType::Hybrid, Some(question)) if asks_for_figure(&question.text) => FIGURES / (1.0 + aim.most()),
            _ => 0.0,
        };
        let join = wanted.join && wanted.reread.is_none();
        let reading = self.read_chunks(resolved.generation, ranked, wanted.wanted(), join, figures);
        let passages = timings.time("reading", reading).await?;
        Ok(Found { passages, aim })
    }

    /// What the question says of the documents.
    async fn aim(&self, resolved: &Resolved, wanted: &Retrieval) -> Result<Aim, PipelineError> {
        let Some(question) = wanted.searches.first() else {
            return Ok(Aim::default());
        };
        let profiles = self.profiles(resolved).await?;
        let names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
        Ok(profiles.aim(&question.text, &names))
    }

    fn index_filter(&self, resolved: &Resolved, filters: &Filters) -> Result<Arc<Filter>, PipelineError> {
        let hidden = Filter {
            exclude_documents: self.visibility.hidden(&resolved.collection_id),
            ..Filter::default()
        };
        Ok(Arc::new(narrowed(&hidden, filters)?))
    }

    /// Looks up where the chunks stand and reads the texts of the best `limit`, neighbours joined if `join`; leaves out those whose
    /// documents are not live any more. A chunk that is full of figures gains up to `figures`.
    pub(super) async fn read_chunks(
        &self,
        generation: u32,
        ranked: Vec<((String, u32), f32)>,
        limit: usize,
        join: bool,
        figures: f32,
    ) -> Result<Passages, PipelineError> {
        let references: Vec<(String, u32)> = ranked.iter().map(|(reference, _)| reference.clone()).collect();
        let located = self.catalog.chunks_by_refs(generation, &references).await?;
        let mut chunks: HashMap<(String, u32), (Chunk, u32)> = located
            .into_iter()
            .map(|located| ((located.document_id, located.chunk.index), (located.chunk, located.text_generation)))
            .collect();
        let located = ranked.into_iter().filter_map(|(reference, relevance)| {
            let (chunk, text_generation) = chunks.remove(&reference)?;
            let (document_id, _) = reference;
            Some(Located {
                document_id,
                text_generation,
                indices: chunk.index..=chunk.index,
                chunk,
                relevance,
            })
        });
        let mut located: Vec<Located> = located.collect();
        let mut texts = HashMap::new();
        if figures > 0.0 {
            texts = self.read_texts(&located).await?;
            for found in &mut located {
                if let Some((text, _)) = texts.get(&(found.document_id.clone(), found.chunk.index)) {
                    let share = (density(text) / FULL_OF_FIGURES).min(1.0);
                    found.relevance = (found.relevance + figures * share).min(1.0);
                }
            }
        }
        let mut best = spread(located);
        if join {
            best = joined(best);
        }
        best.truncate(limit);

        let mut ids: Vec<String> = best.iter().map(|found| found.document_id.clone()).collect();
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
        let unread = best.iter().filter(|found| {
            let read = texts.get(&(found.document_id.clone(), found.chunk.index));
            read.is_none_or(|(text, _)| text.len() != found.chunk.at.len() as usize)
        });
        let unread = self.read_texts(unread).await?;
        texts.extend(unread);
        let found = best.into_iter().filter_map(|found| {
            let (source, metadata) = documents.get(&found.document_id).cloned()?;
            let (text, header) = texts.remove(&(found.document_id.clone(), found.chunk.index))?;
            Some(FoundChunk {
                document_id: found.document_id,
                source,
                chunk: found.chunk,
                text,
                header,
                relevance: found.relevance,
                reranked: None,
                metadata,
            })
        });
        Ok(Passages(found.collect()))
    }

    /// The chunks' texts, each with that of its context: one read for each document. A document that was deleted since
    /// it was found has none.
    async fn read_texts(
        &self,
        chunks: impl IntoIterator<Item = &Located>,
    ) -> Result<HashMap<(String, u32), (Arc<str>, String)>, PipelineError> {
        let mut wanted: BTreeMap<(&str, u32), Vec<&Chunk>> = BTreeMap::new();
        for found in chunks {
            let text = (found.document_id.as_str(), found.text_generation);
            wanted.entry(text).or_default().push(&found.chunk);
        }
        // Side by side: where the files are elsewhere, each read waits for a network.
        let reads = wanted.into_iter().map(async |((document_id, generation), chunks)| {
            let spans: Vec<Span> = chunks
                .iter()
                .flat_map(|chunk| chunk.context.iter().copied().chain([chunk.at]))
                .collect();
            let read = self.files.read_spans(&text_id(document_id, generation), &spans).await;
            (document_id, chunks, read)
        });
        let mut texts = HashMap::new();
        for (document_id, chunks, read) in futures_util::future::join_all(reads).await {
            let mut read = match read {
                Ok(read) => read.into_iter(),
                Err(FileError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            for chunk in chunks {
                let header: Vec<String> = read.by_ref().take(chunk.context.len()).collect();
                if let Some(text) = read.next() {
                    texts.insert((document_id.to_owned(), chunk.index), (Arc::from(text), header.join("\n")));
                }
            }
        }
        Ok(texts)
    }
}

fn index_query(vector: QueryVector, search: &Search, wanted: &Retrieval, filter: &Arc<Filter>) -> Result<Query, PipelineError> {
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
        .map_or(depth(wanted.mode, wanted.wanted()), |limit| limit as usize)
        .clamp(1, 1_000);
    Ok(Query {
        vector,
        filter,
        limit,
        score_threshold: None,
    })
}

/// The queries of a retrieval, and what each search gets of their answers, in order.
#[derive(Default)]
struct Batch {
    queries: Vec<Query>,
    plan: Vec<Planned>,
}

/// A search in a batch.
struct Planned {
    weight: f32,
    sparse: bool,
    /// Lists of hits: of the whole collection, perhaps of the preferred documents.
    lists: usize,
    /// Single terms that were asked for, of so many.
    terms: (usize, usize),
}

impl Batch {
    /// Adds a search: over the collection, over the preferred documents by itself (in a large collection the best of
    /// others would crowd them out), and for the best that each of its terms can have.
    fn add(&mut self, weight: f32, query: Query, preferred: Option<&Arc<Filter>>, terms: &[SparseVector]) {
        let sparse = match &query.vector {
            QueryVector::Sparse(vector) => Some(vector.indices.len()),
            QueryVector::Dense(_) => None,
        };
        // A search with a filter of the analyzer's own says itself where to look.
        let preferred = preferred.filter(|_| query.filter.document_ids.is_empty());
        self.plan.push(Planned {
            weight,
            sparse: sparse.is_some(),
            lists: 1 + usize::from(preferred.is_some()),
            terms: (terms.len(), sparse.unwrap_or(0)),
        });
        let within = preferred.map(|filter| Query {
            filter: filter.clone(),
            ..query.clone()
        });
        let filter = query.filter.clone();
        self.queries.push(query);
        self.queries.extend(within);
        self.queries.extend(terms.iter().map(|term| Query {
            vector: QueryVector::Sparse(term.clone()),
            filter: filter.clone(),
            limit: 1,
            score_threshold: None,
        }));
    }
}

/// The BM25 score of a chunk that is the best for each of a question's `all` terms, of which `asked` were asked for and
/// `found` are somewhere. A term that is nowhere is rarer than all others, and tells as much as the most telling one.
fn attainable(found: &[f32], asked: usize, all: usize) -> f32 {
    let most = found.iter().copied().fold(0.0, f32::max);
    let sum = found.iter().sum::<f32>() + most * asked.saturating_sub(found.len()) as f32;
    sum * all as f32 / asked.max(1) as f32
}

/// What each search found. A cosine is measured against the best one that was found. A BM25 score is measured against
/// what a chunk would have that is the best for each term: so a question most of whose words no chunk has together is
/// told by its meaning.
fn scored(plan: &[Planned], hits: Vec<Vec<Hit>>) -> Vec<Scored<(String, u32)>> {
    let mut hits = hits.into_iter();
    let mut found = Vec::with_capacity(plan.len());
    for search in plan {
        let lists: Vec<Vec<Hit>> = hits.by_ref().take(search.lists).collect();
        let (asked, all) = search.terms;
        let terms: Vec<f32> = hits.by_ref().take(asked).flatten().map(|hit| hit.score).collect();
        let best = lists.iter().flatten().map(|hit| hit.score).fold(0.0, f32::max);
        let last = lists.first().and_then(|list| list.last()).map_or(0.0, |hit| hit.score);
        found.push(Scored {
            weight: search.weight,
            scale: match search.sparse {
                true => attainable(&terms, asked, all).max(best),
                false => best,
            },
            // What BM25 does not find has few of the words. What a dense search does not find is about as near as the last that it
            // does.
            floor: if search.sparse { 0.0 } else { last.max(0.0) },
            hits: lists
                .into_iter()
                .flatten()
                .map(|hit| ((hit.document_id, hit.chunk_index), hit.score))
                .collect(),
        });
    }
    found
}

/// `filter`, narrowed by the client's or the analyzer's filters.
pub(super) fn narrowed(filter: &Filter, filters: &Filters) -> Result<Filter, PipelineError> {
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
    /// Runs `work` and adds its time to `stage`, as clients read it; the trace has it too.
    pub async fn time<T>(&mut self, stage: &str, work: impl Future<Output = T>) -> T {
        let start = std::time::Instant::now();
        let result = match measured(stage) {
            Some(stage) => telemetry::traced(stage, work).await,
            None => work.await,
        };
        *self.0.entry(stage.to_owned()).or_default() += start.elapsed().as_secs_f64();
        result
    }

    /// Tells the metrics of each stage, once for a query: a stage may be several pieces of work.
    pub fn measure(&self) {
        for (timing, seconds) in &self.0 {
            if let Some(stage) = measured(timing) {
                stage.took(telemetry::Pipeline::Query, std::time::Duration::from_secs_f64(*seconds));
            }
        }
    }
}

/// The stage of metrics and traces that one of an answer's `timings` is.
fn measured(timing: &str) -> Option<telemetry::Stage> {
    use telemetry::Stage;
    Some(match timing {
        "analysis" => Stage::Analyze,
        "embedding" => Stage::Embed,
        "retrieval" => Stage::Retrieve,
        "reading" => Stage::Read,
        "reranking" => Stage::Rerank,
        "generation" => Stage::Generate,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(document: &str, page: Option<u32>, relevance: f32) -> Located {
        chunk(document, 0, page, relevance)
    }

    /// The ten bytes of a chunk at its place, after two characters that take two each.
    fn chunk(document: &str, index: u32, page: Option<u32>, relevance: f32) -> Located {
        let chunk = Chunk {
            index,
            at: Span::new(index * 10 + 10, index * 10 + 20),
            char_start: u64::from(index) * 10 + 8,
            char_end: u64::from(index) * 10 + 18,
            page,
            section: Vec::new(),
            context: Vec::new(),
            attrs: Vec::new(),
        };
        Located {
            document_id: document.to_owned(),
            text_generation: 0,
            indices: index..=index,
            chunk,
            relevance,
        }
    }

    fn spans(found: Vec<Located>) -> Vec<(String, u32, Span)> {
        let spans = found.into_iter();
        spans.map(|found| (found.document_id, found.chunk.index, found.chunk.at)).collect()
    }

    #[test]
    fn neighbours_are_one_passage_in_the_place_of_the_better_one() {
        let found = vec![
            chunk("a", 1, None, 1.0),
            chunk("b", 5, None, 0.95),
            chunk("b", 3, None, 0.94),
            chunk("a", 2, None, 0.9),
            chunk("b", 4, None, 0.8),
            chunk("c", 0, None, 0.75),
        ];
        let found = joined(found);
        assert_eq!((found[0].chunk.char_start, found[0].chunk.char_end), (18, 38));
        assert_eq!(
            spans(found),
            [
                ("a".to_owned(), 1, Span::new(20, 40)),
                ("b".to_owned(), 5, Span::new(40, 70)),
                ("c".to_owned(), 0, Span::new(10, 20)),
            ]
        );
    }

    #[test]
    fn a_document_that_is_to_the_point_throughout_stays_in_parts() {
        let found = (0..12).map(|index| chunk("a", index, None, 1.0)).collect();
        let lengths: Vec<u32> = spans(joined(found)).into_iter().map(|(_, _, at)| at.len() / 10).collect();
        assert_eq!(lengths, [5, 5, 2]);
    }

    #[test]
    fn what_is_beside_the_point_or_elsewhere_is_not_joined() {
        let mut other_section = chunk("a", 3, None, 0.9);
        other_section.chunk.section = vec!["Another".to_owned()];
        let found = vec![
            chunk("a", 2, None, 1.0),
            chunk("b", 1, None, 0.95),
            other_section,
            chunk("c", 1, Some(1), 0.85),
            chunk("c", 2, Some(2), 0.8),
            chunk("a", 1, None, 0.6),
        ];
        let order: Vec<(String, u32)> = spans(joined(found)).into_iter().map(|(id, index, _)| (id, index)).collect();
        let expected = [("a", 2), ("b", 1), ("a", 3), ("c", 1), ("c", 2), ("a", 1)];
        assert_eq!(order, expected.map(|(id, index)| (id.to_owned(), index)));
    }

    #[test]
    fn other_pages_come_before_more_of_the_same_page() {
        let found = vec![
            located("a", Some(1), 1.0),
            located("a", Some(1), 0.9),
            located("a", Some(2), 0.8),
            located("b", Some(1), 0.75),
        ];
        let order: Vec<(String, Option<u32>)> = spread(found).into_iter().take(3).map(|p| (p.document_id, p.chunk.page)).collect();
        assert_eq!(
            order,
            [("a".to_owned(), Some(1)), ("a".to_owned(), Some(2)), ("b".to_owned(), Some(1))]
        );
    }

    #[test]
    fn documents_without_pages_keep_their_order() {
        let found = vec![located("a", None, 1.0), located("a", None, 0.9), located("b", None, 0.8)];
        let kept: Vec<f32> = spread(found).into_iter().map(|p| p.relevance).collect();
        assert_eq!(kept, [1.0, 0.9, 0.8]);
    }

    #[test]
    fn bm25_is_measured_against_the_best_of_each_term_and_meaning_against_the_best_found() {
        let hit = |index, score| Hit {
            document_id: "a".to_owned(),
            chunk_index: index,
            score,
        };
        let planned = |sparse, lists, terms| Planned {
            weight: 1.0,
            sparse,
            lists,
            terms,
        };
        let plan = [planned(false, 2, (0, 0)), planned(true, 1, (3, 6))];
        let hits = [
            vec![hit(0, 0.6), hit(1, 0.4)],
            vec![hit(2, 0.3)],
            vec![hit(0, 5.0)],
            vec![hit(0, 3.0)],
            vec![hit(3, 2.0)],
            Vec::new(),
        ];
        let found = scored(&plan, hits.to_vec());
        assert_eq!((found[0].scale, found[0].floor, found[0].hits.len()), (0.6, 0.4, 3));
        // One of three terms is nowhere: it tells as much as the best. The three that were not asked for are as these.
        assert_eq!((found[1].scale, found[1].floor, found[1].hits.len()), (16.0, 0.0, 1));
    }

    #[test]
    fn a_quotation_knows_its_page_inside_a_chunk_that_crosses_pages() {
        let Located { mut chunk, .. } = located("a", Some(3), 1.0);
        chunk.attrs = vec![page_break(4, 15)];
        let passages = Passages(vec![FoundChunk {
            document_id: "a".to_owned(),
            source: "a.pdf".to_owned(),
            chunk,
            text: "0123456789".into(),
            header: String::new(),
            relevance: 1.0,
            reranked: None,
            metadata: Arc::default(),
        }]);
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
