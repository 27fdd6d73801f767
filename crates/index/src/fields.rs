//! The names of a point's fields, the same in every index, so that a collection looks the same wherever it is stored.

/// The name of the dense vector.
pub(super) const DENSE: &str = "dense";
/// The name of the sparse vector.
pub(super) const SPARSE: &str = "bm25";

pub(super) const DOCUMENT_ID: &str = "document_id";
pub(super) const CHUNK_INDEX: &str = "chunk_index";
pub(super) const SOURCE: &str = "source";
pub(super) const DOCUMENT_TYPE: &str = "document_type";
pub(super) const AUTHORS: &str = "authors";
pub(super) const CREATED: &str = "created";
pub(super) const METADATA: &str = "metadata";

/// The text fields that filters use, each with an index; [`CREATED`] has a numeric one.
pub(super) const KEYWORDS: [&str; 5] = [DOCUMENT_ID, SOURCE, DOCUMENT_TYPE, AUTHORS, METADATA];

/// Separates a metadata key from its value: the unit separator, so that a key may have any characters. In the key of a payload, the engine
/// would interpret dots and brackets as a path.
const SEPARATOR: char = '\u{1f}';

/// Returns a metadata entry in its stored form.
pub(super) fn pair(key: &str, value: &str) -> String {
    let mut pair = String::with_capacity(key.len() + 1 + value.len());
    pair.push_str(key);
    pair.push(SEPARATOR);
    pair.push_str(value);
    pair
}

/// Parses an entry that [`pair`] made.
pub(super) fn unpaired(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once(SEPARATOR)?;
    Some((key.to_owned(), value.to_owned()))
}

/// Edges per node, and candidates while building a graph: the engine's own defaults, written out because the graph's quality depends on
/// them.
pub(super) const HNSW_EDGES: usize = 16;
pub(super) const HNSW_BUILD_BEAM: usize = 100;

/// The smallest beam of a search through the graph; never below the requested number of hits.
pub(super) const HNSW_SEARCH_BEAM: usize = 256;

/// With less than this many KiB, vectors are compared one by one, even if there is a graph: that is as fast, and exact.
pub(super) const FULL_SCAN_KIB: usize = 10_000;

/// Extra hits to fetch, so that we decide which of several equal ones are returned: equal texts are common (headers, boilerplate), and the
/// engine's order among them depends on how they happen to be stored.
pub(super) const TIE_MARGIN: usize = 8;
/// The most extra hits to fetch for that. Beyond, it may vary which of a thousand equal hits is returned.
pub(super) const TIE_LIMIT: usize = 1024;
