//! Bodies of `/v1`: as OpenAI's API has them, as far as they mean something here. Fields that do not are ignored, as unknown
//! fields are everywhere; what Ibid adds is marked as an extension.

use super::{ApiError, Filters, Mode, QueryOptions, Source};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

/// Texts in one request for embeddings.
pub const MAX_EMBEDDING_INPUTS: usize = 2_048;

/// Messages of one conversation.
pub const MAX_CHAT_MESSAGES: usize = 1_000;

/// Body of `POST /v1/embeddings`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct EmbeddingRequest {
    /// Name of the embedding model, as `GET /v1/models` lists it.
    pub model: String,
    /// What to embed. Of a text that is longer than the model reads, its beginning counts.
    #[schema(schema_with = embedding_input)]
    pub input: EmbeddingInput,
    /// How vectors are written (default `float`).
    #[serde(default)]
    pub encoding_format: Option<EncodingFormat>,
    /// Length of the vectors: only the model's own.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub dimensions: Option<u32>,
    /// An extension: what the texts are, for models that tell them apart (default `document`).
    #[serde(default)]
    pub input_type: Option<InputType>,
}

/// What to embed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several: 1 to 2,048.
    Texts(Vec<String>),
    /// One text as tokens. Refused: they would be another model's.
    Tokens(Vec<i64>),
    /// Several texts as tokens. Refused likewise.
    TokenLists(Vec<Vec<i64>>),
}

/// What is taken of it: texts.
fn embedding_input() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let texts = ArrayBuilder::new()
        .items(text())
        .min_items(Some(1))
        .max_items(Some(MAX_EMBEDDING_INPUTS));
    OneOfBuilder::new().item(text()).item(texts).build().into()
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// An array of numbers.
    #[default]
    Float,
    /// The numbers as 32-bit floats, little-endian, in Base64.
    Base64,
}

/// What texts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// Questions.
    Query,
    /// What is to be found.
    #[default]
    #[serde(alias = "passage")]
    Document,
}

impl EmbeddingRequest {
    /// The texts, checked.
    pub fn texts(self) -> Result<Vec<String>, ApiError> {
        let texts = match self.input {
            EmbeddingInput::Text(text) => vec![text],
            EmbeddingInput::Texts(texts) => texts,
            EmbeddingInput::Tokens(tokens) if tokens.is_empty() => Vec::new(),
            EmbeddingInput::Tokens(_) | EmbeddingInput::TokenLists(_) => {
                let issue =
                    "must be text: tokens of another model mean nothing to this one (in LangChain: `check_embedding_ctx_length=False`)";
                return Err(ApiError::validation("input", issue));
            }
        };
        if !(1..=MAX_EMBEDDING_INPUTS).contains(&texts.len()) {
            return Err(ApiError::validation(
                "input",
                format!("must be 1 to {MAX_EMBEDDING_INPUTS} texts, not {}", texts.len()),
            ));
        }
        match texts.iter().position(String::is_empty) {
            Some(empty) => Err(ApiError::validation(
                "input",
                format!("must not be empty (text {empty}, counted from 0)"),
            )),
            None => Ok(texts),
        }
    }
}

/// Answer of `POST /v1/embeddings`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EmbeddingResponse {
    /// `list`.
    pub object: &'static str,
    /// One for each text, in their order.
    pub data: Vec<Embedding>,
    /// The model.
    pub model: String,
    /// Tokens that were read.
    pub usage: EmbeddingUsage,
}

/// A vector.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Embedding {
    /// `embedding`.
    pub object: &'static str,
    /// Position of its text, from 0.
    pub index: usize,
    /// The vector, of length 1.
    pub embedding: EmbeddingVector,
}

/// A vector, written as it was asked for.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingVector {
    /// Numbers.
    Float(Vec<f32>),
    /// 32-bit floats, little-endian, in Base64.
    Base64(String),
}

/// Tokens of a request for embeddings.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Of the texts.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}

/// Body of `POST /v1/chat/completions`. The last message of the user is the question; what the others said is not searched for.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The collection to ask.
    #[schema(min_length = 1)]
    pub model: String,
    /// The conversation, oldest first: 1 to 1,000 messages, one at least of the user.
    #[schema(min_items = 1, max_items = 1000)]
    pub messages: Vec<ChatMessage>,
    /// Whether the answer comes in pieces, as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// More of a stream.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// 0 to 2, for generators that sample.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// Answers wanted: 1.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<u32>,
    /// Where to end the answer at the latest, in tokens as the embedding model counts them: its `finish_reason` is `length` then.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<u64>,
    /// The same by its older name.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_tokens: Option<u64>,
    /// A text, or up to 4, of 1 to 256 characters: the answer ends before the first of them.
    #[serde(default)]
    #[schema(schema_with = stop_texts)]
    pub stop: Option<StopTexts>,
    /// Only `text`: an answer is text with citations.
    #[serde(default)]
    pub response_format: Option<ChatFormat>,
    /// None: nothing here calls them. Some are taken with a `tool_choice` of `none`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub tools: Option<Vec<Value>>,
    /// `none` or `auto`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tool_choice: Option<Value>,
    /// What tools were called before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub functions: Option<Vec<Value>>,
    /// What `tool_choice` was called before.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub function_call: Option<Value>,
    /// Only `false`: no probabilities are known.
    #[serde(default)]
    pub logprobs: Option<bool>,
    /// Only `text`.
    #[serde(default)]
    pub modalities: Option<Vec<String>>,
    /// An extension: what to spend.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// An extension: passages to retrieve, 1 to 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub max_results: Option<u32>,
    /// An extension: language of the answer (BCP 47), for generators that can choose it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    pub language: Option<String>,
    /// An extension: restricts the search.
    #[serde(default)]
    pub filters: Option<Filters>,
}

/// Most texts that end an answer, as OpenAI's API has it.
const MAX_STOPS: usize = 4;
/// Characters of one of them.
const MAX_STOP_CHARS: usize = 256;

/// Texts that end an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum StopTexts {
    /// One.
    One(String),
    /// Up to 4.
    Several(Vec<String>),
}

fn stop_texts() -> Schema {
    let text = || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_STOP_CHARS))
    };
    let texts = ArrayBuilder::new().items(text()).max_items(Some(MAX_STOPS));
    let none = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(text()).item(texts).item(none).build().into()
}

/// How an answer is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct ChatFormat {
    /// `text`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// More of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last piece tells the usage.
    pub include_usage: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `user`, `assistant`, `system`, `developer`, `tool` or `function`.
    pub role: ChatRole,
    /// What was said.
    #[serde(default)]
    pub content: Option<ChatContent>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// The person who asks.
    User,
    /// Whoever answers.
    Assistant,
    /// The application.
    System,
    /// The application.
    Developer,
    /// A tool's result.
    Tool,
    /// A tool's result.
    Function,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    /// Text.
    Text(String),
    /// Several parts, of which the texts are read.
    Parts(Vec<ChatPart>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct ChatPart {
    /// `text`, or another kind, which a question cannot have.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of a text.
    #[serde(default)]
    pub text: Option<String>,
}

impl ChatContent {
    /// Its texts, joined by line breaks.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
                texts.join("\n")
            }
        }
    }
}

impl ChatRequest {
    /// The query that it means, all of its values checked.
    pub fn options(&self) -> Result<QueryOptions, ApiError> {
        if !(1..=MAX_CHAT_MESSAGES).contains(&self.messages.len()) {
            let issue = format!("must be 1 to {MAX_CHAT_MESSAGES}, not {}", self.messages.len());
            return Err(ApiError::validation("messages", issue));
        }
        self.refuse_what_there_is_not()?;
        let asked = self.messages.iter().rposition(|message| message.role == ChatRole::User);
        let Some((position, message)) = asked.and_then(|position| Some((position, self.messages.get(position)?))) else {
            return Err(ApiError::validation(
                "messages",
                "must have a message of the role `user`: the question",
            ));
        };
        let field = format!("messages[{position}].content");
        if let Some(ChatContent::Parts(parts)) = &message.content
            && let Some(part) = parts.iter().find(|part| part.kind != "text")
        {
            let kind: String = part.kind.chars().take(64).collect();
            return Err(ApiError::validation(
                &field,
                format!("must be text: a question cannot have a part of type `{kind}`"),
            ));
        }
        let options = QueryOptions {
            query: Some(message.content.as_ref().map(ChatContent::text).unwrap_or_default()),
            collection_name: Some(self.model.clone()),
            mode: self.mode,
            max_results: self.max_results,
            language: self.language.clone(),
            temperature: self.temperature,
            filters: self.filters.clone(),
            ..QueryOptions::default()
        };
        options.validate()?;
        // The body of this request calls it otherwise.
        options.question().map_err(|error| {
            let issue = error.details.get("issue").and_then(serde_json::Value::as_str).unwrap_or("is wrong");
            ApiError::validation(&field, issue)
        })?;
        Ok(options)
    }

    /// Refuses what would change the answer's form, which a client would rely on. What only shapes its words (`seed`, `top_p`,
    /// `presence_penalty`, ...) is ignored, as unknown fields are.
    fn refuse_what_there_is_not(&self) -> Result<(), ApiError> {
        let unless_none = |tools: &Option<Vec<Value>>, choice: &Option<Value>| {
            let wanted = choice.as_ref().is_some_and(|choice| *choice != "none" && *choice != "auto");
            wanted || (tools.as_ref().is_some_and(|tools| !tools.is_empty()) && choice.as_ref().is_none_or(|choice| *choice != "none"))
        };
        let no_tools = "are not called here: leave them out, or set `tool_choice` to `none`";
        let refused = [
            (self.n.is_some_and(|n| n != 1), "n", "must be 1: there is one answer"),
            (unless_none(&self.tools, &self.tool_choice), "tools", no_tools),
            (
                unless_none(&self.functions, &self.function_call),
                "functions",
                "are not called here: leave them out, or set `function_call` to `none`",
            ),
            (
                self.response_format.as_ref().is_some_and(|format| format.kind != "text"),
                "response_format",
                "must be of the type `text`: an answer is text with citations, and follows no schema",
            ),
            (
                self.logprobs == Some(true),
                "logprobs",
                "must be `false`: no probabilities are known",
            ),
            (
                self.modalities.iter().flatten().any(|kind| kind != "text"),
                "modalities",
                "must be `text` alone",
            ),
            (self.max_completion_tokens == Some(0), "max_completion_tokens", "must be at least 1"),
            (self.max_tokens == Some(0), "max_tokens", "must be at least 1"),
        ];
        match refused.into_iter().find(|(refused, ..)| *refused) {
            Some((_, field, issue)) => Err(ApiError::validation(field, issue)),
            None => Ok(()),
        }
    }

    /// Where to end the answer at the latest, in tokens.
    pub fn token_limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// The texts that end the answer, checked.
    pub fn stops(&self) -> Result<Vec<String>, ApiError> {
        let stops = match &self.stop {
            None => Vec::new(),
            Some(StopTexts::One(text)) => vec![text.clone()],
            Some(StopTexts::Several(texts)) => texts.clone(),
        };
        if stops.len() > MAX_STOPS {
            return Err(ApiError::validation(
                "stop",
                format!("must be at most {MAX_STOPS} texts, not {}", stops.len()),
            ));
        }
        match stops.iter().all(|text| (1..=MAX_STOP_CHARS).contains(&text.chars().count())) {
            true => Ok(stops),
            false => Err(ApiError::validation("stop", format!("must have 1 to {MAX_STOP_CHARS} characters"))),
        }
    }

    /// Everything that was said, for counting.
    pub fn texts(&self) -> Vec<String> {
        let contents = self.messages.iter().filter_map(|message| message.content.as_ref());
        contents.map(ChatContent::text).collect()
    }
}

/// Answer of `POST /v1/chat/completions`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-` and the server's name for the query.
    pub id: String,
    /// `chat.completion`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: i64,
    /// The collection.
    pub model: String,
    /// One.
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
    /// Where each citation's marker stands, and what it points to.
    pub annotations: Vec<Annotation>,
}

/// A mark on a part of the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Annotation {
    /// `url_citation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The citation.
    pub url_citation: UrlCitation,
}

/// A citation, as OpenAI's API has it.
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
    /// Both, and their sum.
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
    /// One; none in the piece that tells the usage.
    pub choices: Vec<ChunkChoice>,
    /// With `stream_options.include_usage`: in the last piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ChatUsage>,
    /// An extension, in the piece with the `finish_reason`: the citations, in the order of the annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Source>>,
}

/// What a piece adds to the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkChoice {
    /// 0.
    pub index: u32,
    /// What is added.
    pub delta: ChatDelta,
    /// `null`.
    #[schema(value_type = Option<Object>)]
    pub logprobs: Option<()>,
    /// In the last piece: `stop`, or `length` where a language model's answer was cut.
    pub finish_reason: Option<String>,
}

/// What is added to a message.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ChatDelta {
    /// In the first piece: `assistant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Citations whose markers stand in the text so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<Annotation>>,
}

/// Answer of `GET /v1/models`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: &'static str,
    /// The collections that may be asked, by name, then the embedding model.
    pub data: Vec<ModelInfo>,
}

/// What may be named as `model`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelInfo {
    /// Name of a collection, or of an installed model.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: i64,
    /// `ibid`.
    pub owned_by: &'static str,
    /// An extension: `collection` (for chat), `embedding`, or `reranker` (for pipelines).
    pub kind: &'static str,
    /// An extension, of embedding models: components of their vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// An extension, of installed models: SHA-256 of the graph. Equal hashes mean equal vectors, or scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// An extension, of installed models: the precisions that it is loaded in; it is loaded when it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<Vec<&'static str>>,
    /// An extension, of embedding models: whether pipelines that name none take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(value: Value) -> Result<ChatRequest, ApiError> {
        super::super::parse(value)
    }

    #[test]
    fn the_last_message_of_the_user_is_the_question() {
        let chat = request(json!({ "model": "documents", "temperature": 0.5, "messages": [
            { "role": "system", "content": "Be short." },
            { "role": "user", "content": "first" },
            { "role": "assistant", "content": null },
            { "role": "user", "content": [{ "type": "text", "text": "second" }, { "type": "text", "text": "half" }] },
            { "role": "assistant", "content": "..." },
        ] }));
        let options = chat.and_then(|chat| chat.options()).expect("a query");
        assert_eq!(options.query.as_deref(), Some("second\nhalf"));
        assert_eq!(
            (options.collection_name.as_deref(), options.temperature),
            (Some("documents"), Some(0.5))
        );
    }

    #[test]
    fn what_is_no_question_is_told_by_its_field() {
        for (messages, field) in [
            (json!([]), "messages"),
            (json!([{ "role": "system", "content": "x" }]), "messages"),
            (json!([{ "role": "user", "content": "  " }]), "messages[0].content"),
            (json!([{ "role": "user" }]), "messages[0].content"),
            (
                json!([{ "role": "user", "content": [{ "type": "image_url" }] }]),
                "messages[0].content",
            ),
        ] {
            let chat = request(json!({ "model": "documents", "messages": messages })).expect("well-formed");
            let error = chat.options().expect_err("no question");
            assert_eq!(error.details["field"], field, "{error}");
        }
        assert!(request(json!({ "model": "documents", "messages": [{ "role": "pope", "content": "x" }] })).is_err());
    }

    #[test]
    fn texts_are_embedded_and_tokens_refused() {
        let texts = |input: Value| {
            let request: EmbeddingRequest = super::super::parse(json!({ "model": "m", "input": input }))?;
            request.texts()
        };
        assert_eq!(texts(json!("a")).expect("a text"), ["a"]);
        assert_eq!(texts(json!(["a", "b"])).expect("texts"), ["a", "b"]);
        for wrong in [
            json!(""),
            json!([]),
            json!(["a", ""]),
            json!([1, 2]),
            json!([[1], [2]]),
            json!(7),
            json!(vec!["x"; 2_049]),
        ] {
            assert_eq!(texts(wrong.clone()).expect_err("refused").details["field"], "input", "{wrong}");
        }
    }
}
