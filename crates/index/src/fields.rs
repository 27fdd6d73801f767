//! What a point's parts are called, in every index alike, so that a collection looks the same wherever it is kept.

/// Name of the dense vector.
pub(super) const DENSE: &str = "dense";
/// Name of the sparse vector.
pub(super) const SPARSE: &str = "bm25";

pub(super) const DOCUMENT_ID: &str = "document_id";
pub(super) const CHUNK_INDEX: &str = "chunk_index";
pub(super) const SOURCE: &str = "source";
pub(super) const DOCUMENT_TYPE: &str = "document_type";
pub(super) const AUTHORS: &str = "authors";
pub(super) const CREATED: &str = "created";
pub(super) const METADATA: &str = "metadata";

/// The fields of text that filters name, each with an index; [`CREATED`] has one of numbers.
pub(super) const KEYWORDS: [&str; 5] = [DOCUMENT_ID, SOURCE, DOCUMENT_TYPE, AUTHORS, METADATA];

/// Between a metadata key and its value: the unit separator, so that any key is just text to the engine, which would
/// take dots and brackets in a payload's keys for a path.
const SEPARATOR: char = '\u{1f}';

/// An entry of the metadata as it is stored.
pub(super) fn pair(key: &str, value: &str) -> String {
    let mut pair = String::with_capacity(key.len() + 1 + value.len());
    pair.push_str(key);
    pair.push(SEPARATOR);
    pair.push_str(value);
    pair
}

/// The entry that was stored as `pair`.
pub(super) fn unpaired(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once(SEPARATOR)?;
    Some((key.to_owned(), value.to_owned()))
}

/// Edges per node and candidates while building a graph: the engine's own defaults, spelled out because the graph's quality
/// hangs on them.
pub(super) const HNSW_EDGES: usize = 16;
pub(super) const HNSW_BUILD_BEAM: usize = 100;

/// Smallest beam of a search through the graph; never below the number of hits wanted.
pub(super) const HNSW_SEARCH_BEAM: usize = 256;

/// Vectors of less than this many KiB are compared one by one, also when a graph is there: as fast, and exact.
pub(super) const FULL_SCAN_KIB: usize = 10_000;

/// Extra hits to fetch, so that which of several equal ones make the cut is decided by us: equal texts are common
/// (headers, boilerplate), and the engine's order among them depends on how it happens to store them.
pub(super) const TIE_MARGIN: usize = 8;
/// Most extra hits to fetch for that. Beyond, which of a thousand equal hits is returned may vary.
pub(super) const TIE_LIMIT: usize = 1024;
