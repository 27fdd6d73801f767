//! Messages of `/ws/query`, and the bodies of `POST /query`.

use super::{ApiError, ErrorData};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest question, in Unicode code points after trimming.
pub const MAX_QUERY_CHARS: usize = 8_192;

/// What a query spends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Dense search only.
    #[serde(alias = "fast")]
    Speed,
    /// Analyzer, dense and BM25 search, fused.
    #[default]
    Balanced,
    /// The analyzer's several searches, more candidates, neighbouring chunks.
    #[serde(alias = "thorough")]
    Comprehensive,
}

/// How much an answer carries beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// The text, without markers and sources.
    TextOnly,
    /// The text without markers, and its sources.
    WithSources,
    /// The text with markers, and its citations.
    WithCitations,
    /// As `with_citations`, with the analysis in detail.
    WithAnalysis,
}

/// Restricts a search. Within a field any value may match; all fields must.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Filters {
    /// Document identifiers.
    pub document_ids: Vec<String>,
    /// File names.
    pub sources: Vec<String>,
    /// Media types, or file name extensions without the dot.
    pub document_types: Vec<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// When the document was created.
    pub date_range: Option<DateRange>,
    /// Metadata that must be equal, by key.
    pub metadata: BTreeMap<String, String>,
}

/// A range of RFC 3339 dates or times, both ends included; an absent end is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DateRange {
    /// First date.
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}(T.*)?$")]
    pub start: Option<String>,
    /// Last date.
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}(T.*)?$")]
    pub end: Option<String>,
}

/// `data` of `query` and of `config`, and the body of `POST /query`. A field that is absent takes
/// the connection's default, then the server's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct QueryOptions {
    /// The question: 1 to 8,192 characters after trimming.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = true, nullable = false, min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: Option<String>,
    /// Collection to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_name: Option<String>,
    /// What to spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the answer comes token by token (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Chunks to retrieve: 1 to 100 (default 10).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_results: Option<u32>,
    /// Whether citations are sent (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_sources: Option<bool>,
    /// Default `with_citations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Language of the answer (BCP 47), for generators that can choose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    pub language: Option<String>,
    /// 0 to 2, for generators that sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// Passages less relevant than this, in [0,1], are not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub score_threshold: Option<f32>,
    /// Restricts the search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
}

impl QueryOptions {
    /// These options, with `defaults` where they say nothing.
    pub fn or(self, defaults: &QueryOptions) -> QueryOptions {
        let d = defaults.clone();
        QueryOptions {
            query: self.query.or(d.query),
            collection_name: self.collection_name.or(d.collection_name),
            mode: self.mode.or(d.mode),
            stream: self.stream.or(d.stream),
            max_results: self.max_results.or(d.max_results),
            include_sources: self.include_sources.or(d.include_sources),
            response_format: self.response_format.or(d.response_format),
            language: self.language.or(d.language),
            temperature: self.temperature.or(d.temperature),
            score_threshold: self.score_threshold.or(d.score_threshold),
            filters: self.filters.or(d.filters),
        }
    }

    /// Checks every value that is given. `query` itself is checked by [`QueryOptions::question`].
    pub fn validate(&self) -> Result<(), ApiError> {
        if let Some(n) = self.max_results
            && !(1..=100).contains(&n)
        {
            return Err(ApiError::validation("max_results", format!("must be 1 to 100, not {n}")));
        }
        if let Some(t) = self.temperature
            && !(0.0..=2.0).contains(&t)
        {
            return Err(ApiError::validation("temperature", format!("must be 0 to 2, not {t}")));
        }
        ApiError::check_share("score_threshold", self.score_threshold)?;
        if let Some(language) = &self.language
            && (language.is_empty() || language.len() > 35 || !language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        {
            return Err(ApiError::validation("language", "must be a BCP 47 tag such as `en` or `pt-BR`"));
        }
        if let Some(filters) = &self.filters {
            filters.validate()?;
        }
        Ok(())
    }

    /// The question, trimmed and checked.
    pub fn question(&self) -> Result<&str, ApiError> {
        let query = self
            .query
            .as_deref()
            .ok_or_else(|| ApiError::validation("query", "is missing"))?
            .trim();
        match query.chars().take(MAX_QUERY_CHARS + 1).count() {
            0 => Err(ApiError::validation("query", "must not be empty")),
            n if n > MAX_QUERY_CHARS => Err(ApiError::validation(
                "query",
                format!("must have at most {MAX_QUERY_CHARS} characters"),
            )),
            _ => Ok(query),
        }
    }
}

impl Filters {
    /// Checks the dates.
    pub fn validate(&self) -> Result<(), ApiError> {
        if let Some(range) = &self.date_range {
            for (field, value) in [("filters.date_range.start", &range.start), ("filters.date_range.end", &range.end)] {
                if let Some(value) = value
                    && !is_date(value)
                {
                    return Err(ApiError::validation(field, "must be a date (2024-08-15) or an RFC 3339 time"));
                }
            }
        }
        Ok(())
    }
}

fn is_date(value: &str) -> bool {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(value, &Rfc3339).is_ok() || time::OffsetDateTime::parse(&format!("{value}T00:00:00Z"), &Rfc3339).is_ok()
}

/// A client's message on `/ws/query`, its `type` and `request_id` checked, its `data` not yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientMessage {
    /// `query`, `config`, `control` or something else.
    pub kind: String,
    /// 1 to 128 characters, chosen by the client.
    pub request_id: String,
    /// An object; empty if it was absent.
    pub data: Value,
}

/// A server's message on `/ws/query`.
#[derive(Debug, Clone, Serialize)]
pub struct ServerMessage<'a> {
    /// Of the query that it belongs to; `null` if none could be read.
    pub request_id: Option<&'a str>,
    /// `type` and `data`.
    #[serde(flatten)]
    pub event: &'a QueryEvent,
}

/// What happens in the course of a query: `status* (citation | token)* (complete | error)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum QueryEvent {
    /// A stage began.
    Status(Status),
    /// The next piece of the answer.
    Token(Token),
    /// A source, no later than the token that first carries its marker.
    Citation(Citation),
    /// The end, and a summary.
    Complete(Box<Complete>),
    /// The end, by an error.
    Error(ErrorData),
}

/// Where a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The question is being understood.
    AnalyzingQuery,
    /// Passages are being searched.
    RetrievingDocuments,
    /// The answer is being made.
    GeneratingResponse,
    /// A `config` message was taken.
    Configured,
    /// The query is held.
    Paused,
    /// The query goes on.
    Resumed,
}

/// `data` of `status`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Where the query is.
    pub stage: Stage,
    /// In [0,1], never decreasing.
    pub progress: f64,
    /// For people.
    pub message: String,
}

/// `data` of `token`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Token {
    /// Text; all of them in order are the answer.
    pub content: String,
    /// From 0, without gaps.
    pub position: u64,
    /// True of the last one only.
    pub is_complete: bool,
}

/// `data` of `citation`: an exact quotation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Citation {
    /// From 1, in order of first mention.
    pub citation_id: u32,
    /// File name.
    pub source: String,
    /// From 1; absent where the format has no pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// In [0,1].
    pub confidence: f64,
    /// The document's text from `char_start` to `char_end`.
    pub content: String,
    /// Offset of the first character, in Unicode code points of the document's text.
    pub char_start: u64,
    /// Offset after the last character.
    pub char_end: u64,
    /// The document.
    pub document_id: String,
    /// The chunk that was found.
    pub chunk_id: String,
    /// Headings above the quotation, outermost first.
    pub section: Vec<String>,
    /// The reference as the collection's citation formatter writes it.
    pub formatted: String,
    /// Where its marker first stands: code points of the answer before it.
    pub marker_start: u64,
    /// Code points of the answer before the marker's end; `marker_start` where no markers are written.
    pub marker_end: u64,
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompletionStatus {
    /// The answer is whole.
    Completed,
    /// The client cancelled it.
    Cancelled,
}

/// `data` of `complete`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Complete {
    /// How it ended.
    pub status: CompletionStatus,
    /// The server's name for the query.
    pub query_id: String,
    /// Seconds from receipt to end.
    pub total_time: f64,
    /// Token messages sent (or that would have been).
    pub tokens_generated: u64,
    /// Distinct citations sent.
    pub sources_used: u32,
    /// The mode that was used.
    pub processing_mode: Mode,
    /// What was understood of the question.
    pub query_analysis: QueryAnalysis,
    /// Seconds by stage: `analysis`, `embedding`, `retrieval`, `generation`.
    pub timings: BTreeMap<String, f64>,
    /// The whole answer, with `stream: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// What made the answer: plugins with digests, the model, the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::lock_schema)]
    pub pipeline: Option<Value>,
    /// Who wrote the answer; absent where the query ended before that was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorInfo>,
    /// Parts that failed and what was done instead; absent where none did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Who wrote an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct GeneratorInfo {
    /// `extractive`, or `openai` for a language model.
    pub kind: String,
    /// The language model; absent where none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why the model stopped: `stop`, `length`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, where the model's server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where the model's server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
}

/// A part that failed where its pipeline goes on without it, or an answer that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// The stage's key in the pipeline: `analyzer`, `reranker`, `generator`, `citations`, `chunker` or `extractors`.
    pub stage: String,
    /// `name@version`; of a generator its kind, of a reranker its model.
    pub plugin: String,
    /// `PLUGIN_ERROR`, `LLM_CONNECTION_ERROR`, `ANSWER_CUT`; of a reranker `SERVICE_UNAVAILABLE`, `TIMEOUT_ERROR`, ...
    pub code: String,
    /// `trap`, `deadline`, `memory`, `limit`, `invalid_result`, `failure`, `quarantined`, ...; of a generator `unreachable`,
    /// `timeout`, `rate_limited`, `length`, ...
    pub reason: String,
    /// For people.
    pub message: String,
    /// What was done: `fallback`, `skip`, or `keep` what there is.
    pub policy: String,
}

/// What was understood of a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct QueryAnalysis {
    /// `factual`, `analytical`, `comparative`, `procedural`, `verification` or `exploratory`.
    pub intent: String,
    /// Texts of the entities.
    pub entities: Vec<String>,
    /// More.
    pub detail: AnalysisDetail,
}

/// More of what was understood of a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct AnalysisDetail {
    /// BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Entities with their kinds.
    pub entities: Vec<Entity>,
    /// Searches that were run.
    pub searches: Vec<String>,
    /// What else the analyzer said.
    pub attributes: BTreeMap<String, String>,
}

/// Something named in a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Entity {
    /// As in the question.
    pub text: String,
    /// `organization`, `person`, `date`, `money`, `percentage`, `identifier`, ...
    pub kind: String,
}

/// Answer of `POST /query`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Answer {
    /// The server's name for the query.
    pub query_id: String,
    /// The whole answer.
    pub response: String,
    /// What it cites.
    pub sources: Vec<Source>,
    /// What was understood of the question.
    pub query_analysis: QueryAnalysis,
    /// How it was made.
    pub processing_metadata: ProcessingMetadata,
}

/// A citation in the answer of `POST /query`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Source {
    /// From 1.
    pub citation_id: u32,
    /// The exact quotation.
    pub content: String,
    /// In [0,1].
    pub confidence: f64,
    /// As the citation formatter writes it.
    pub formatted: String,
    /// Where it stands.
    pub metadata: CitationMetadata,
}

/// Where a citation stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CitationMetadata {
    /// The document.
    pub document_id: String,
    /// The chunk that was found.
    pub chunk_id: String,
    /// File name.
    pub source: String,
    /// From 1; absent where the format has no pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Offset of the first character, in Unicode code points.
    pub start_char: u64,
    /// Offset after the last character.
    pub end_char: u64,
    /// Headings above it.
    pub section: Vec<String>,
}

impl From<Citation> for Source {
    fn from(c: Citation) -> Self {
        Self {
            citation_id: c.citation_id,
            content: c.content,
            confidence: c.confidence,
            formatted: c.formatted,
            metadata: CitationMetadata {
                document_id: c.document_id,
                chunk_id: c.chunk_id,
                source: c.source,
                page: c.page,
                start_char: c.char_start,
                end_char: c.char_end,
                section: c.section,
            },
        }
    }
}

/// How an answer of `POST /query` was made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProcessingMetadata {
    /// How it ended.
    pub status: CompletionStatus,
    /// Seconds.
    pub total_time: f64,
    /// Pieces in which the answer was made.
    pub tokens_generated: u64,
    /// Distinct citations.
    pub sources_used: u32,
    /// The mode that was used.
    pub processing_mode: Mode,
    /// Seconds by stage.
    pub timings: BTreeMap<String, f64>,
    /// What made the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::lock_schema)]
    pub pipeline: Option<Value>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorInfo>,
    /// Plugins that failed and what was done instead; absent where none did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}
