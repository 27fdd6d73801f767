//! Finds passages: one batch of dense and BM25 searches, fused, weighed by what the question says of the documents, then
//! read from them.

use super::Queries;
use crate::error::PipelineError;
use crate::query::filters::narrowed;
use crate::query::fusion::{Scored, combine};
use crate::query::passages::Passages;
use crate::query::profile::Aim;
use crate::query::query_pipeline::QueryPipeline;
use crate::query::timings::Timings;
use ibid_generate::asks_for_figure;
use ibid_index::{Filter, Hit, MAX_BATCH_QUERIES, Query, QueryVector, SparseVector, VectorIndex};
use ibid_plugin_host::Search;
use ibid_protocol::{ApiError, ErrorCode, Filters, Mode, SearchType};
use serde_json::Value;
use std::sync::Arc;

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
    /// What becomes of the chunks that are found.
    pub reading: Reading,
}

/// What becomes of chunks that are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Each is a passage. The extractive generator wants them so: it takes its statements from as many places as it can.
    Single,
    /// Those that stand next to each other are one passage.
    Joined,
    /// Each is a passage, and a reranker reads so many of them again.
    Reranked(usize),
}

impl Retrieval {
    /// Passages that are read.
    fn wanted(&self) -> usize {
        match self.reading {
            Reading::Single | Reading::Joined => self.limit,
            Reading::Reranked(read) => self.limit.max(read),
        }
    }

    /// The least relevant that a passage may be before a reranker says for itself what is relevant.
    fn threshold(&self) -> Option<f32> {
        match self.reading {
            Reading::Single | Reading::Joined => self.score_threshold,
            Reading::Reranked(_) => None,
        }
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

/// What a passage full of figures gains where a figure is asked for, beside scores in [0,1]: prose about a subject has more of the
/// question's words than the table that holds the answer. Anything from .05 to .12 is better than nothing (`docs/quality.md`).
const FIGURES: f32 = 0.1;

/// What was found, and what the question says of the documents.
#[derive(Debug, Default)]
pub struct Found {
    /// Most relevant first.
    pub passages: Passages,
    /// Which documents are meant.
    pub aim: Aim,
}

impl Queries {
    /// Finds passages. Documents that are not whole (being ingested, being deleted) are never seen.
    pub(crate) async fn retrieve(
        &self,
        pipeline: &dyn QueryPipeline,
        wanted: &Retrieval,
        timings: &mut Timings,
    ) -> Result<Found, PipelineError> {
        let filter = self.index_filter(pipeline, &wanted.filters)?;
        let weights = &pipeline.settings().retrieval;
        let (dense, sparse) = match wanted.search_type {
            SearchType::Semantic => (1.0, 0.0),
            SearchType::Keyword => (0.0, 1.0),
            SearchType::Hybrid => (weights.dense_weight, weights.sparse_weight),
        };
        // Who asks for one kind of search wants its order.
        let aim = match wanted.search_type {
            SearchType::Hybrid => timings.time("retrieval", self.aim(pipeline, wanted)).await?,
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
            let vectors = timings.time("embedding", pipeline.embed_questions(texts)).await?;
            for (search, vector) in searches.iter().zip(vectors) {
                let query = index_query(QueryVector::Dense(vector), search, wanted, &filter)?;
                batch.add(dense * search.weight, query, preferred.as_ref(), &[]);
            }
        }
        if sparse > 0.0 {
            let said = pipeline.bm25().query(&aim.said.join(" "));
            for search in searches {
                let vector = pipeline.bm25().query(&search.text).without(&said);
                let terms: Vec<SparseVector> = vector.terms(TERMS).collect();
                let query = index_query(QueryVector::Sparse(vector), search, wanted, &filter)?;
                batch.add(sparse * search.weight, query, preferred.as_ref(), &terms);
            }
        }
        let hits = timings
            .time("retrieval", self.store.index.search(pipeline.key(), batch.queries))
            .await?;
        let found = scored(&batch.plan, hits);
        let ranked = combine(&found).into_iter().map(|((document_id, index), score)| {
            let score = aim.add(&document_id, score);
            ((document_id, index), score)
        });
        let threshold = wanted.threshold();
        let mut ranked: Vec<((String, u32), f32)> = ranked.filter(|(_, score)| threshold.is_none_or(|least| *score >= least)).collect();
        // Stable: what is equally relevant stays in its order.
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        ranked.truncate(depth(wanted.mode, wanted.wanted()));
        // What figures add is weighed as what the documents' names add is.
        let figures = match (wanted.search_type, wanted.searches.first()) {
            (SearchType::Hybrid, Some(question)) if asks_for_figure(&question.text) => FIGURES / (1.0 + aim.most()),
            _ => 0.0,
        };
        let join = wanted.reading == Reading::Joined;
        let reading = self.read_chunks(pipeline.generation(), ranked, wanted.wanted(), join, figures);
        let passages = timings.time("reading", reading).await?;
        Ok(Found { passages, aim })
    }

    /// What the question says of the documents.
    async fn aim(&self, pipeline: &dyn QueryPipeline, wanted: &Retrieval) -> Result<Aim, PipelineError> {
        let Some(question) = wanted.searches.first() else {
            return Ok(Aim::default());
        };
        let profiles = self.profiles.profiles(pipeline.collection_id()).await?;
        let names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
        Ok(profiles.aim(&question.text, &names))
    }

    fn index_filter(&self, pipeline: &dyn QueryPipeline, filters: &Filters) -> Result<Arc<Filter>, PipelineError> {
        let hidden = Filter {
            exclude_documents: self.store.visibility.hidden(pipeline.collection_id()),
            ..Filter::default()
        };
        Ok(Arc::new(narrowed(&hidden, filters)?))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
