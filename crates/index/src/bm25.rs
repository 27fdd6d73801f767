//! Turns words into sparse vectors: the term frequency part of BM25.
//!
//! The index adds the other part, the inverse document frequency, since it knows how many chunks contain a term.

use super::error::IndexError;
use super::terms;
use super::types::SparseVector;
use qdrant_edge::bm25_embed::{EdgeBm25, EdgeBm25Config};
use qdrant_edge::external::ordered_float::NotNan;
use std::collections::HashMap;
use std::ops::Range;

/// The number of terms (words without stop words) of an average chunk, against which BM25 measures a chunk's length. A chunk of 200 tokens
/// of English prose has some 150 words, of which nearly half are stop words.
const AVERAGE_TERMS: f64 = 90.0;

/// The longest term in bytes: a longer one is not a word, and nobody will search for it.
const MAX_TERM_LENGTH: usize = 128;

/// ISO 639-1 codes of the languages for which the engine has a stemmer or stop words, with its names for them.
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

/// Languages that write compounds as one word: a query may name a part of a word in the text.
const COMPOUNDING: [&str; 7] = ["danish", "dutch", "finnish", "german", "hungarian", "norwegian", "swedish"];

/// Makes the sparse vectors of chunks and of queries, with one language's stop words and stemmer. Cheap to share. Makes no system call: 1
/// KiB of text takes some tens of microseconds.
#[derive(Debug)]
pub struct Bm25 {
    model: EdgeBm25,
    /// Whether the language writes compounds as one word.
    compounds: bool,
}

impl Bm25 {
    /// Makes one for a language, by name (`english`) or ISO 639-1 code (`en`, also `en-GB`). Chunks and queries of a collection must use
    /// the same one.
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
            language: Some(name.clone()),
            avg_len: average,
            max_token_len: Some(MAX_TERM_LENGTH),
            ..EdgeBm25Config::default()
        };
        let model = EdgeBm25::new(config).map_err(|error| IndexError::engine("set up BM25", error))?;
        Ok(Self {
            model,
            compounds: COMPOUNDING.contains(&name.as_str()),
        })
    }

    /// Returns the byte ranges of the words of `text` that are terms of a query, in order. In scripts without spaces, the pairs of
    /// characters, joined where they touch.
    pub fn matches(&self, text: &str, query: &SparseVector) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut known: HashMap<&str, bool> = HashMap::new();
        for word in terms::words(text) {
            let Some(part) = text.get(word.clone()) else { continue };
            let is_match = *known.entry(part).or_insert_with(|| {
                let terms = sorted(self.model.embed_document(part));
                terms.indices.iter().any(|index| query.indices.binary_search(index).is_ok())
            });
            if !is_match {
                continue;
            }
            match found.last_mut() {
                Some(last) if last.end >= word.start => last.end = word.end,
                _ => found.push(word),
            }
        }
        found
    }

    /// Returns a chunk's terms, weighted by their frequency and by the chunk's length.
    pub fn document(&self, text: &str) -> SparseVector {
        let mut text = terms::spaced(text);
        if self.compounds {
            terms::add_parts(&mut text);
        }
        sorted(self.model.embed_document(&text))
    }

    /// Returns a query's terms, each once.
    pub fn query(&self, text: &str) -> SparseVector {
        sorted(self.model.embed_query(&terms::spaced(text)))
    }
}

fn sorted(vector: qdrant_edge::SparseVector) -> SparseVector {
    let mut terms: Vec<(u32, f32)> = vector.indices.into_iter().zip(vector.values).collect();
    terms.sort_unstable_by_key(|(index, _)| *index);
    terms.dedup_by_key(|(index, _)| *index);
    let (indices, values) = terms.into_iter().unzip();
    SparseVector { indices, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(language: &str, query: &str, text: &str) -> bool {
        let bm25 = Bm25::new(language).unwrap();
        let (query, text) = (bm25.query(query), bm25.document(text));
        query.indices.iter().any(|index| text.indices.binary_search(index).is_ok())
    }

    #[test]
    fn words_of_other_scripts_are_found() {
        for (language, query, text) in [
            ("chinese", "利润", "公司的净利润增长了一倍。"),
            ("japanese", "売上高", "当期の売上高は増加した。"),
            ("english", "東京", "彼は東京都に住んでいます。"),
            ("russian", "прибылью", "Прибыль выросла вдвое."),
            ("arabic", "الأرباح", "ارتفعت الأرباح في عام 2022."),
            (
                "german",
                "Steuer",
                "Die Umsatzsteuervoranmeldung ist abzugeben, wie jede Umsatzsteuer.",
            ),
            ("german", "Umsatzsteuer", "Die Umsatzsteuervoranmeldung ist abzugeben."),
            ("german", "Häuser", "Das Krankenhaus und sein Haus."),
        ] {
            assert!(finds(language, query, text), "{query} in {text}");
        }
        assert!(!finds("chinese", "亏损", "公司的净利润增长了一倍。"));
        assert!(!finds("german", "Vertrag", "Die Umsatzsteuervoranmeldung ist abzugeben."));
    }

    #[test]
    fn matches_are_whole_words_where_they_stand() {
        let bm25 = Bm25::new("english").unwrap();
        let texts = |query: &str, text: &'static str| -> Vec<&str> {
            bm25.matches(text, &bm25.query(query))
                .into_iter()
                .map(|range| &text[range])
                .collect()
        };
        assert_eq!(
            texts("what are the notice periods", "The notice period (see \"Notices\") is 3 months."),
            ["notice", "period", "Notices"]
        );
        assert_eq!(texts("売上高", "当期の売上高は増加した。"), ["売上高"]);
        assert!(texts("the", "the").is_empty());
    }
}
