//! The answer of `POST /query`.

use super::{Citation, CompletionStatus, GeneratorInfo, Mode, QueryAnalysis, Warning};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Answer of `POST /query`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Answer {
    /// The server's identifier of the query.
    pub query_id: String,
    /// The whole answer.
    pub response: String,
    /// The citations.
    pub sources: Vec<Source>,
    /// The analysis of the question.
    pub query_analysis: QueryAnalysis,
    /// How the answer was made.
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
    /// The reference as the citation formatter writes it.
    pub formatted: String,
    /// The position in the document.
    pub metadata: CitationMetadata,
}

/// The position of a citation.
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
    /// The number of pieces of the answer.
    pub tokens_generated: u64,
    /// Distinct citations.
    pub sources_used: u32,
    /// The mode that was used.
    pub processing_mode: Mode,
    /// Seconds by stage.
    pub timings: BTreeMap<String, f64>,
    /// The pipeline of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::lock_schema)]
    pub pipeline: Option<Value>,
    /// The generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorInfo>,
    /// Plugins that failed, and what was done instead; absent if none failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}
