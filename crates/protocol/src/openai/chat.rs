//! Requests of `POST /v1/chat/completions`.

use crate::{ApiError, Filters, Mode, QueryOptions};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

/// The most messages of one conversation.
pub const MAX_CHAT_MESSAGES: usize = 1_000;

/// Body of `POST /v1/chat/completions`. The last message of the user is the question; the other messages are not searched for.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The collection to ask.
    #[schema(min_length = 1)]
    pub model: String,
    /// The conversation, oldest first: 1 to 1,000 messages, at least one of them of the user.
    #[schema(min_items = 1, max_items = 1000)]
    pub messages: Vec<ChatMessage>,
    /// Whether the answer is streamed, as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Options of a stream.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// 0 to 2, for generators that sample.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// The number of answers: 1.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<u32>,
    /// The most tokens of the answer, as the embedding model counts them; a longer one is cut off with the `finish_reason` `length`.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<u64>,
    /// The older name of `max_completion_tokens`.
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
    /// None, since nothing here calls them. Accepted together with the `tool_choice` `none`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub tools: Option<Vec<Value>>,
    /// `none` or `auto`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tool_choice: Option<Value>,
    /// The former name of `tools`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub functions: Option<Vec<Value>>,
    /// The former name of `tool_choice`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub function_call: Option<Value>,
    /// Only `false`: there are no probabilities.
    #[serde(default)]
    pub logprobs: Option<bool>,
    /// Only `text`.
    #[serde(default)]
    pub modalities: Option<Vec<String>>,
    /// An extension: the mode of the query.
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

/// The most texts that end an answer, as in OpenAI's API.
const MAX_STOPS: usize = 4;
/// The most characters of one of them.
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

/// The format of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct ChatFormat {
    /// `text`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Options of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last piece has the usage.
    pub include_usage: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `user`, `assistant`, `system`, `developer`, `tool` or `function`.
    pub role: ChatRole,
    /// The content.
    #[serde(default)]
    pub content: Option<ChatContent>,
}

/// The role of a message's author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// The user.
    User,
    /// The assistant.
    Assistant,
    /// The application.
    System,
    /// The application, under its newer name.
    Developer,
    /// A tool's result.
    Tool,
    /// A function's result.
    Function,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    /// Text.
    Text(String),
    /// Several parts; only texts are read.
    Parts(Vec<ChatPart>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct ChatPart {
    /// `text`, or another kind, which a question must not have.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a part of the kind `text`.
    #[serde(default)]
    pub text: Option<String>,
}

impl ChatContent {
    /// Returns its texts, joined by line breaks.
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
    /// Returns the options of the query, after checking all values.
    pub fn options(&self) -> Result<QueryOptions, ApiError> {
        if !(1..=MAX_CHAT_MESSAGES).contains(&self.messages.len()) {
            let issue = format!("must be 1 to {MAX_CHAT_MESSAGES}, not {}", self.messages.len());
            return Err(ApiError::validation("messages", issue));
        }
        self.reject_unsupported()?;
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
        // The body of this request has another name for the field.
        options.question().map_err(|error| {
            let issue = error.details.get("issue").and_then(serde_json::Value::as_str).unwrap_or("is wrong");
            ApiError::validation(&field, issue)
        })?;
        Ok(options)
    }

    /// Rejects options that would change the answer's form, since a client would rely on them. Options that only affect its wording
    /// (`seed`, `top_p`, `presence_penalty`, ...) are ignored, as unknown fields are.
    fn reject_unsupported(&self) -> Result<(), ApiError> {
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

    /// Returns the most tokens of the answer.
    pub fn token_limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Returns the texts that end the answer, after checking them.
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

    /// Returns the texts of all messages, for counting.
    pub fn texts(&self) -> Vec<String> {
        let contents = self.messages.iter().filter_map(|message| message.content.as_ref());
        contents.map(ChatContent::text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(value: Value) -> Result<ChatRequest, ApiError> {
        crate::parse(value)
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
    fn invalid_questions_are_rejected_with_their_field() {
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
}
