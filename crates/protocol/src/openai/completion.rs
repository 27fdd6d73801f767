//! Answers of `POST /v1/chat/completions`, whole and streamed.

use crate::Source;
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `POST /v1/chat/completions`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-` and the identifier of the query.
    pub id: String,
    /// `chat.completion`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: i64,
    /// The collection.
    pub model: String,
    /// The answer.
    pub choices: Vec<ChatChoice>,
    /// Tokens.
    pub usage: ChatUsage,
    /// An extension: the citations, as `POST /query` has them, in the order of the annotations.
    pub sources: Vec<Source>,
}

/// An answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChoice {
    /// 0.
    pub index: u32,
    /// The answer.
    pub message: ChatAnswer,
    /// `null`.
    #[schema(value_type = Option<Object>)]
    pub logprobs: Option<()>,
    /// `stop`, or `length` where a language model's answer was cut.
    pub finish_reason: String,
}

/// The message that answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatAnswer {
    /// `assistant`.
    pub role: &'static str,
    /// The answer, with its citations' markers.
    pub content: String,
    /// `null`.
    #[schema(value_type = Option<String>)]
    pub refusal: Option<()>,
    /// The position of each citation's marker, and its source.
    pub annotations: Vec<Annotation>,
}

/// An annotation of a part of the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Annotation {
    /// `url_citation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The citation.
    pub url_citation: UrlCitation,
}

/// A citation in OpenAI's format.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UrlCitation {
    /// Where the marker begins in the answer, in Unicode code points.
    pub start_index: u64,
    /// Where it ends.
    pub end_index: u64,
    /// File name, and page where the format has pages.
    pub title: String,
    /// The file, at the page.
    pub url: String,
}

/// Tokens of a conversation.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct ChatUsage {
    /// Of the messages; of the whole prompt where a language model's server counts them.
    pub prompt_tokens: u64,
    /// Of the answer.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

impl ChatUsage {
    /// Makes it of both numbers, and their sum.
    pub fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        }
    }
}

/// A piece of a streamed answer: the data of a server-sent event. The last event's data is `[DONE]`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChunk {
    /// The same in all pieces.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: &'static str,
    /// Seconds since 1970; the same in all pieces.
    pub created: i64,
    /// The collection.
    pub model: String,
    /// One choice; none in the piece with the usage.
    pub choices: Vec<ChunkChoice>,
    /// With `stream_options.include_usage`: in the last piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ChatUsage>,
    /// An extension, in the piece with the `finish_reason`: the citations, in the order of the annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Source>>,
}

/// The text that a piece adds to the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkChoice {
    /// 0.
    pub index: u32,
    /// The addition.
    pub delta: ChatDelta,
    /// `null`.
    #[schema(value_type = Option<Object>)]
    pub logprobs: Option<()>,
    /// In the last piece: `stop`, or `length` where a language model's answer was cut.
    pub finish_reason: Option<String>,
}

/// An addition to a message.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ChatDelta {
    /// In the first piece: `assistant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Citations whose markers are in the text so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<Annotation>>,
}
