//! `POST /v1/embeddings`: the embedder.

use crate::protocol::{
    ApiError, Embedding, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EmbeddingVector, EncodingFormat, ErrorCode, InputType,
};
use crate::server::http::body;
use crate::server::http::call::Call;
use crate::server::http::respond::{Failure, Reply, json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;

/// `POST /v1/embeddings`. A client that leaves gives up what was not computed yet.
pub(in crate::server::http) async fn embed(call: &mut Call) -> Result<Reply, Failure> {
    let request: EmbeddingRequest = body::json(call).await?;
    let engine = &call.shared.engine;
    let model = engine.embedding_model();
    if request.model != model.name {
        let message = format!("There is no embedding model `{}`; this server has `{}`.", request.model, model.name);
        return Err(ApiError::new(ErrorCode::ResourceNotFound, message).with("field", "model").into());
    }
    if let Some(dimensions) = request.dimensions.filter(|dimensions| *dimensions as usize != model.dimension) {
        let issue = format!("must be {}, which is what the model makes, not {dimensions}", model.dimension);
        return Err(ApiError::validation("dimensions", issue).into());
    }
    let format = request.encoding_format.unwrap_or_default();
    let queries = request.input_type.unwrap_or_default() == InputType::Query;
    let texts = request.texts()?;
    let tokens = engine.count_tokens(texts.clone()).await?;
    let vectors = engine.embed(texts, queries).await?;
    let data = vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        object: "embedding",
        index,
        embedding: written(vector, format),
    });
    let response = EmbeddingResponse {
        object: "list",
        data: data.collect(),
        model: model.name.clone(),
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
