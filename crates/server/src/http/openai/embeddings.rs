//! `POST /v1/embeddings`: the embedders.

use crate::http::body;
use crate::http::call::Call;
use crate::http::endpoint::{Endpoint, Verb};
use crate::http::openapi::Tag;
use crate::http::respond::{Failure, Reply, json};
use crate::limits::Budget;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use ibid_auth::Scope;
use ibid_engine::Read;
use ibid_protocol::{ApiError, Embedding, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EmbeddingVector, EncodingFormat, InputType};

/// The endpoints of this module.
pub(in crate::http) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Post,
    path: "/v1/embeddings",
    scope: Some(Scope::Read),
    budget: Some(Budget::Query),
    handler: |call| Box::pin(embed(call)),
    operation: |op| {
        op.about(Tag::OpenAi, "Embed texts")
            .takes::<EmbeddingRequest>()
            .gives::<EmbeddingResponse>(200, "A vector for each text.")
            .errors(&[404, 504])
    },
}];

/// `POST /v1/embeddings`. A client that leaves gives up what was not computed yet.
async fn embed(call: &mut Call) -> Result<Reply, Failure> {
    let request: EmbeddingRequest = body::json(call).await?;
    let granted = call.with::<Read>()?;
    // The empty name would be the default's in a pipeline; here it is none.
    if request.model.is_empty() {
        return Err(ApiError::validation("model", "must not be empty").into());
    }
    let model = granted.embedding_model(&request.model)?;
    let dimension = model.info().dimension;
    if let Some(dimensions) = request.dimensions.filter(|dimensions| *dimensions as usize != dimension) {
        let issue = format!("must be {dimension}, which is what the model makes, not {dimensions}");
        return Err(ApiError::validation("dimensions", issue).into());
    }
    let format = request.encoding_format.unwrap_or_default();
    let queries = request.input_type.unwrap_or_default() == InputType::Query;
    let texts = request.texts()?;
    let (vectors, tokens) = granted.embed(&model, texts, queries).await?;
    let data = vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        object: "embedding",
        index,
        embedding: written(vector, format),
    });
    let response = EmbeddingResponse {
        object: "list",
        data: data.collect(),
        model: model.info().name.clone(),
        usage: EmbeddingUsage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    };
    Ok(json(StatusCode::OK, &response))
}

fn written(vector: Vec<f32>, format: EncodingFormat) -> EmbeddingVector {
    match format {
        EncodingFormat::Float => EmbeddingVector::Float(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
            EmbeddingVector::Base64(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_holds_the_same_numbers() {
        let EmbeddingVector::Base64(text) = written(vec![1.0, -0.5], EncodingFormat::Base64) else {
            panic!("not Base64");
        };
        // 0x3f800000 and 0xbf000000, lowest byte first.
        assert_eq!(STANDARD.decode(text).expect("Base64"), [0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf]);
    }
}
