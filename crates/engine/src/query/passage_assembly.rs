//! From chunks that were found to passages: weighed by what they hold, other pages brought forward, neighbours joined, texts read.

use super::Queries;
use crate::error::PipelineError;
use crate::query::passages::{FoundChunk, Passages};
use crate::store::leases::text_id;
use ibid_catalog::Chunk;
use ibid_files::FileError;
use ibid_generate::density;
use ibid_types::document::Span;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What a passage is worth when a better one of its page stands before it, and again for each
/// further one. Chunks of one page are close to one another, and crowd out other pages that might
/// answer; anything from .5 to .9 gave about the same ranks (`docs/quality.md`).
const SAME_PAGE: f32 = 0.8;

/// What a chunk must have, as a share of the best one's relevance, to be joined to its neighbour: what is beside the point stays away
/// from what is not.
const NEIGHBOUR: f32 = 0.7;

/// Chunks that are joined at most: of a document that is to the point from end to end the best parts are wanted, and not all of it.
const JOINED: u32 = 5;

/// The share of figures among a passage's words from which on it is full of them.
const FULL_OF_FIGURES: f32 = 0.35;

/// Discounts passages for those of their page that stand before them. `place` says of which document and page one is, `score` is
/// what is discounted.
pub(crate) fn discount_pages<T>(passages: &mut [T], place: impl Fn(&T) -> (&String, Option<u32>), score: impl Fn(&mut T) -> &mut f32) {
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

/// A document, and of its chunks the best one of a passage, whose span is the passage's. A chunker may give one span twice, with
/// different context.
type Place = (String, u32, Span);

impl Located {
    fn place(&self) -> Place {
        (self.document_id.clone(), self.chunk.index, self.chunk.at)
    }

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

impl Queries {
    /// Looks up where the chunks stand and reads the texts of the best `limit`, neighbours joined if `join`; leaves out those whose
    /// documents are not live any more. A chunk that is full of figures gains up to `figures`.
    pub(crate) async fn read_chunks(
        &self,
        generation: u32,
        ranked: Vec<((String, u32), f32)>,
        limit: usize,
        join: bool,
        figures: f32,
    ) -> Result<Passages, PipelineError> {
        let references: Vec<(String, u32)> = ranked.iter().map(|(reference, _)| reference.clone()).collect();
        let located = self.store.catalog.chunks_by_refs(generation, &references).await?;
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
                if let Some((text, _)) = texts.get(&found.place()) {
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
            .store
            .catalog
            .live_documents(&ids)
            .await?
            .into_iter()
            .map(|record| {
                let metadata = Arc::new(crate::manage::documents::all_metadata(&record));
                (record.id, (record.filename, metadata))
            })
            .collect();
        let unread = best.iter().filter(|found| !texts.contains_key(&found.place()));
        let unread = self.read_texts(unread).await?;
        texts.extend(unread);
        let found = best.into_iter().filter_map(|found| {
            let (source, metadata) = documents.get(&found.document_id).cloned()?;
            let (text, header) = texts.remove(&found.place())?;
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
    async fn read_texts(&self, chunks: impl IntoIterator<Item = &Located>) -> Result<HashMap<Place, (Arc<str>, String)>, PipelineError> {
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
            let read = self.store.files.read_spans(&text_id(document_id, generation), &spans).await;
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
                    texts.insert(
                        (document_id.to_owned(), chunk.index, chunk.at),
                        (Arc::from(text), header.join("\n")),
                    );
                }
            }
        }
        Ok(texts)
    }
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
}
