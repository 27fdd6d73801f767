//! Bodies of `POST /v1/embeddings`.

use crate::ApiError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

/// The most texts in one request for embeddings.
pub const MAX_EMBEDDING_INPUTS: usize = 2_048;

/// Body of `POST /v1/embeddings`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct EmbeddingRequest {
    /// The name of the embedding model, as in `GET /v1/models`.
    pub model: String,
    /// The texts to embed. A text that is longer than the model reads is cut off.
    #[schema(schema_with = embedding_input)]
    pub input: EmbeddingInput,
    /// The encoding of vectors (default `float`).
    #[serde(default)]
    pub encoding_format: Option<EncodingFormat>,
    /// The length of the vectors: only the model's own.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub dimensions: Option<u32>,
    /// An extension: the kind of the texts, for models that distinguish them (default `document`).
    #[serde(default)]
    pub input_type: Option<InputType>,
}

/// The texts to embed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several texts: 1 to 2,048.
    Texts(Vec<String>),
    /// One text as tokens. Rejected, since they are another model's.
    Tokens(Vec<i64>),
    /// Several texts as tokens. Rejected as well.
    TokenLists(Vec<Vec<i64>>),
}

/// Returns the schema of the accepted inputs: texts.
fn embedding_input() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let texts = ArrayBuilder::new()
        .items(text())
        .min_items(Some(1))
        .max_items(Some(MAX_EMBEDDING_INPUTS));
    OneOfBuilder::new().item(text()).item(texts).build().into()
}

/// The encoding of vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// An array of numbers.
    #[default]
    Float,
    /// The numbers as 32-bit floats, little-endian, in Base64.
    Base64,
}

/// The kind of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// Questions.
    Query,
    /// Texts to be found.
    #[default]
    #[serde(alias = "passage")]
    Document,
}

impl EmbeddingRequest {
    /// Returns the texts, checked.
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
    /// The tokens of the texts.
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

/// A vector in the requested encoding.
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
    /// The tokens of the texts.
    pub prompt_tokens: u64,
    /// The same number.
    pub total_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn texts_are_embedded_and_tokens_refused() {
        let texts = |input: Value| {
            let request: EmbeddingRequest = crate::parse(json!({ "model": "m", "input": input }))?;
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
