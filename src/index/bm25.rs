//! Words to sparse vectors: BM25's term frequency part.
//!
//! The other part, the inverse document frequency, is the index's: it knows how many chunks hold a term.

use super::error::IndexError;
use super::types::SparseVector;
use qdrant_edge::bm25_embed::{EdgeBm25, EdgeBm25Config};
use qdrant_edge::external::ordered_float::NotNan;

/// Terms (words without stop words) of an average chunk. BM25 measures a chunk's length against it; a chunk of 200
/// tokens of English prose has some 150 words, of which stop words are nearly half.
const AVERAGE_TERMS: f64 = 90.0;

/// Longest term in bytes: what is longer is no word, and no one will type it.
const MAX_TERM_LENGTH: usize = 128;

/// ISO 639-1 codes of the languages that the engine stems or knows stop words of, with its names for them.
const LANGUAGES: [(&str, &str); 28] = [
    ("ar", "arabic"),
    ("az", "azerbaijani"),
    ("eu", "basque"),
    ("bn", "bengali"),
    ("ca", "catalan"),
    ("zh", "chinese"),
    ("da", "danish"),
    ("nl", "dutch"),
    ("en", "english"),
    ("fi", "finnish"),
    ("fr", "french"),
    ("de", "german"),
    ("el", "greek"),
    ("he", "hebrew"),
    ("hu", "hungarian"),
    ("id", "indonesian"),
    ("it", "italian"),
    ("ja", "japanese"),
    ("kk", "kazakh"),
    ("ne", "nepali"),
    ("no", "norwegian"),
    ("pt", "portuguese"),
    ("ro", "romanian"),
    ("ru", "russian"),
    ("sl", "slovene"),
    ("es", "spanish"),
    ("sv", "swedish"),
    ("tr", "turkish"),
];

/// Makes the sparse vectors of chunks and of queries, with one language's stop words and stemmer. Cheap to share,
/// makes no system call: 1 KiB of text takes some tens of microseconds.
#[derive(Debug)]
pub struct Bm25 {
    model: EdgeBm25,
}

impl Bm25 {
    /// For a language, by name (`english`) or ISO 639-1 code (`en`, also `en-GB`). Chunks and queries of a collection
    /// must use the same one.
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for a language that the engine does not know.
    pub fn new(language: &str) -> Result<Self, IndexError> {
        let language = language.trim().to_lowercase();
        let code = language.split(['-', '_']).next().unwrap_or_default();
        let name = LANGUAGES
            .iter()
            .find(|(iso, name)| *iso == code || *name == language)
            .map(|(_, name)| (*name).to_owned())
            .ok_or_else(|| IndexError::invalid(format!("no stemmer for the language '{language}'")))?;
        let average = NotNan::new(AVERAGE_TERMS).map_err(|error| IndexError::engine("set up BM25", error))?;
        let config = EdgeBm25Config {
            language: Some(name),
            avg_len: average,
            max_token_len: Some(MAX_TERM_LENGTH),
            ..EdgeBm25Config::default()
        };
        let model = EdgeBm25::new(config).map_err(|error| IndexError::engine("set up BM25", error))?;
        Ok(Self { model })
    }

    /// A chunk's terms, weighted by how often each occurs and by the chunk's length.
    pub fn document(&self, text: &str) -> SparseVector {
        sorted(self.model.embed_document(text))
    }

    /// A query's terms, each once.
    pub fn query(&self, text: &str) -> SparseVector {
        sorted(self.model.embed_query(text))
    }
}

fn sorted(vector: qdrant_edge::SparseVector) -> SparseVector {
    let mut terms: Vec<(u32, f32)> = vector.indices.into_iter().zip(vector.values).collect();
    terms.sort_unstable_by_key(|(index, _)| *index);
    terms.dedup_by_key(|(index, _)| *index);
    let (indices, values) = terms.into_iter().unzip();
    SparseVector { indices, values }
}
