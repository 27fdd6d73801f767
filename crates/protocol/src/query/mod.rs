//! Messages of `/ws/query`, and the bodies of `POST /query`.

mod answer;
mod options;

pub use answer::{Answer, CitationMetadata, ProcessingMetadata, Source};
pub use options::{DateRange, Filters, Mode, QueryOptions, ResponseFormat};

use super::ErrorData;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A client's message on `/ws/query`. Its `type` and `request_id` are checked, its `data` not yet.
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
    /// The identifier of the request; `null` if it could not be read.
    pub request_id: Option<&'a str>,
    /// `type` and `data`.
    #[serde(flatten)]
    pub event: &'a QueryEvent,
}

/// An event of a query, in the order `status* (citation | token)* (complete | error)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum QueryEvent {
    /// A stage began.
    Status(Status),
    /// The next piece of the answer.
    Token(Token),
    /// A source, not later than the token that first has its marker.
    Citation(Citation),
    /// The end, with a summary.
    Complete(Box<Complete>),
    /// The end, because of an error.
    Error(ErrorData),
}

/// The stage of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The question is being analyzed.
    AnalyzingQuery,
    /// Passages are being searched.
    RetrievingDocuments,
    /// The answer is being written.
    GeneratingResponse,
    /// A `config` message was accepted.
    Configured,
    /// The query is paused.
    Paused,
    /// The query continues.
    Resumed,
}

/// `data` of `status`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// The stage of the query.
    pub stage: Stage,
    /// In [0,1], never decreasing.
    pub progress: f64,
    /// For people.
    pub message: String,
}

/// `data` of `token`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Token {
    /// The text; all of them in order are the answer.
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
    /// The position of its first marker: code points of the answer before it.
    pub marker_start: u64,
    /// Code points of the answer before the marker's end; `marker_start` where no markers are written.
    pub marker_end: u64,
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompletionStatus {
    /// The answer is complete.
    Completed,
    /// The client cancelled it.
    Cancelled,
}

/// `data` of `complete`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Complete {
    /// How it ended.
    pub status: CompletionStatus,
    /// The server's identifier of the query.
    pub query_id: String,
    /// Seconds from receipt to end.
    pub total_time: f64,
    /// The number of token messages (that were sent, or would have been).
    pub tokens_generated: u64,
    /// The number of distinct citations.
    pub sources_used: u32,
    /// The mode that was used.
    pub processing_mode: Mode,
    /// The analysis of the question.
    pub query_analysis: QueryAnalysis,
    /// Seconds by stage: `analysis`, `embedding`, `retrieval`, `generation`.
    pub timings: BTreeMap<String, f64>,
    /// The whole answer, with `stream: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// The pipeline of the answer: plugins with digests, the model, the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::lock_schema)]
    pub pipeline: Option<Value>,
    /// The generator; absent if the query ended before it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorInfo>,
    /// Parts that failed, and what was done instead; absent if none failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// The generator of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct GeneratorInfo {
    /// `extractive`, or `openai` for a language model.
    pub kind: String,
    /// The language model; absent without one.
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

/// A part that failed and that the pipeline can do without, or an answer that is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// The stage's key in the pipeline: `analyzer`, `reranker`, `generator`, `citations`, `chunker` or `extractors`.
    pub stage: String,
    /// `name@version` of a plugin, the kind of a generator, or the model of a reranker.
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

/// The analysis of a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct QueryAnalysis {
    /// `factual`, `analytical`, `comparative`, `procedural`, `verification` or `exploratory`.
    pub intent: String,
    /// The texts of the entities.
    pub entities: Vec<String>,
    /// Details of the analysis.
    pub detail: AnalysisDetail,
}

/// Details of a question's analysis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct AnalysisDetail {
    /// The language (BCP 47).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Entities with their kinds.
    pub entities: Vec<Entity>,
    /// The searches that were run.
    pub searches: Vec<String>,
    /// Other attributes from the analyzer.
    pub attributes: BTreeMap<String, String>,
}

/// An entity in a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Entity {
    /// Its text in the question.
    pub text: String,
    /// `organization`, `person`, `date`, `money`, `percentage`, `identifier`, ...
    pub kind: String,
}
