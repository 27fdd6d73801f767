//! `POST /v1/chat/completions`: a query of the collection that is named as the model, its citations kept.

use super::models::no_model;
use crate::auth::Scope;
use crate::pipeline::{Engine, QueryHandle};
use crate::protocol::{
    Annotation, ApiError, ChatAnswer, ChatChoice, ChatChunk, ChatCompletion, ChatDelta, ChatRequest, ChatUsage, ChunkChoice, Citation,
    Complete, CompletionStatus, ErrorCode, QueryEvent, QueryOptions, RestError, RestErrorBody, Source, UrlCitation,
};
use crate::server::http::body;
use crate::server::http::broke_off;
use crate::server::http::call::Call;
use crate::server::http::respond::{About, BodyError, Failure, Reply, json, now};
use crate::server::http::sse;
use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{HOST, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use time::OffsetDateTime;

/// What need not be escaped in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The last event of every stream.
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// `POST /v1/chat/completions`. A client that leaves cancels the query.
pub(in crate::server::http) async fn complete(call: &mut Call) -> Result<Reply, Failure> {
    let request: ChatRequest = body::json(call).await?;
    let options = request.options()?;
    call.subject
        .require_in(Scope::Read, &request.model)
        .map_err(|error| named(error, &request.model))?;
    let engine = call.shared.engine.clone();
    let prompt_tokens = engine.count_tokens(request.texts()).await?;
    let streams = request.stream == Some(true);
    let options = QueryOptions {
        // The tokens are wanted in both cases: the answer is what they make.
        stream: Some(true),
        ..options
    };
    let handle = engine.query(options, &call.subject).map_err(|error| named(error, &request.model))?;
    let chat = Chat {
        id: format!("chatcmpl-{}", handle.query_id),
        created: OffsetDateTime::now_utc().unix_timestamp(),
        model: request.model,
        base: base(call),
        prompt_tokens,
        answer: String::new(),
        sources: Vec::new(),
        engine,
    };
    if streams {
        let usage = request.stream_options.unwrap_or_default().include_usage;
        stream_answer(chat, handle, usage, call.about.clone()).await
    } else {
        chat.whole(handle).await
    }
}

/// One answer in the making.
struct Chat {
    id: String,
    created: i64,
    model: String,
    /// Where clients reach this server.
    base: String,
    prompt_tokens: u64,
    answer: String,
    sources: Vec<Source>,
    engine: Arc<Engine>,
}

impl Chat {
    /// The whole answer.
    async fn whole(mut self, mut handle: QueryHandle) -> Result<Reply, Failure> {
        let mut annotations = Vec::new();
        while let Some(event) = handle.events.recv().await {
            match event {
                QueryEvent::Status(_) => {}
                QueryEvent::Token(token) => self.answer.push_str(&token.content),
                QueryEvent::Citation(citation) => annotations.push(self.cite(citation)),
                QueryEvent::Error(error) => return Err(named(error.into(), &self.model).into()),
                QueryEvent::Complete(complete) => {
                    let (finish_reason, usage) = self.ended(&complete).await?;
                    let message = ChatAnswer {
                        role: "assistant",
                        content: self.answer,
                        refusal: None,
                        annotations,
                    };
                    let completion = ChatCompletion {
                        id: self.id,
                        object: "chat.completion",
                        created: self.created,
                        model: self.model,
                        choices: vec![ChatChoice {
                            index: 0,
                            message,
                            logprobs: None,
                            finish_reason,
                        }],
                        usage,
                        sources: self.sources,
                    };
                    return Ok(json(StatusCode::OK, &completion));
                }
            }
        }
        Err(broke_off().into())
    }

    /// Notes a citation; how the answer is annotated with it.
    fn cite(&mut self, citation: Citation) -> Annotation {
        let page = citation.page.map(|page| format!("#page={page}")).unwrap_or_default();
        let id = utf8_percent_encode(&citation.document_id, SEGMENT);
        let annotation = Annotation {
            kind: "url_citation",
            url_citation: UrlCitation {
                start_index: citation.marker_start,
                end_index: citation.marker_end,
                title: match citation.page {
                    Some(page) => format!("{}, page {page}", citation.source),
                    None => citation.source.clone(),
                },
                url: format!("{}/documents/{id}/file{page}", self.base),
            },
        };
        self.sources.push(citation.into());
        annotation
    }

    /// Why the answer ended, and what it took.
    async fn ended(&self, complete: &Complete) -> Result<(String, ChatUsage), ApiError> {
        if complete.status == CompletionStatus::Cancelled {
            // Nobody but the server itself cancels a query whose client is there.
            return Err(ApiError::new(
                ErrorCode::ServiceUnavailable,
                "The server is shutting down: send the request again.",
            ));
        }
        // A language model's server knows best what it read and wrote.
        let generator = complete.generator.clone().unwrap_or_default();
        let completion_tokens = match generator.completion_tokens {
            Some(tokens) => tokens,
            None => self.engine.count_tokens(vec![self.answer.clone()]).await?,
        };
        let finish_reason = match generator.finish_reason.as_deref() {
            Some("length") => "length",
            _ => "stop",
        };
        let prompt_tokens = generator.prompt_tokens.unwrap_or(self.prompt_tokens);
        Ok((finish_reason.to_owned(), ChatUsage::of(prompt_tokens, completion_tokens)))
    }

    /// A piece of the stream.
    fn chunk(&self, delta: ChatDelta) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices: vec![ChunkChoice {
                index: 0,
                delta,
                logprobs: None,
                finish_reason: None,
            }],
            usage: None,
            sources: None,
        }
    }

    /// The last pieces.
    async fn last(&mut self, complete: &Complete, usage: bool) -> Result<Vec<Bytes>, ApiError> {
        let (finish_reason, used) = self.ended(complete).await?;
        let mut last = self.chunk(ChatDelta::default());
        last.sources = Some(std::mem::take(&mut self.sources));
        if let Some(choice) = last.choices.first_mut() {
            choice.finish_reason = Some(finish_reason);
        }
        let mut pieces = vec![data(&last)];
        if usage {
            let mut tells = self.chunk(ChatDelta::default());
            tells.choices.clear();
            tells.usage = Some(used);
            pieces.push(data(&tells));
        }
        pieces.push(DONE);
        Ok(pieces)
    }
}

/// A stream that goes on.
struct Streaming {
    chat: Chat,
    handle: QueryHandle,
    /// What was waited for before the answer's head was sent.
    first: Option<QueryEvent>,
    begun: bool,
    usage: bool,
    about: About,
}

/// The answer in pieces. Its head waits for the first of them, so that what goes wrong before has its own status.
async fn stream_answer(chat: Chat, mut handle: QueryHandle, usage: bool, about: About) -> Result<Reply, Failure> {
    let first = loop {
        match handle.events.recv().await {
            Some(QueryEvent::Status(_)) => {}
            Some(QueryEvent::Error(error)) => return Err(named(error.into(), &chat.model).into()),
            Some(event) => break event,
            None => return Err(broke_off().into()),
        }
    };
    let streaming = Streaming {
        chat,
        handle,
        first: Some(first),
        begun: false,
        usage,
        about,
    };
    let frames = stream::unfold(Some(streaming), |streaming| async {
        let (bytes, rest) = next(streaming?).await;
        Some((Ok::<_, BodyError>(Frame::data(bytes)), rest))
    });
    Ok(sse::reply(frames))
}

/// The next bytes of the stream, and the rest of it if it goes on.
async fn next(mut streaming: Streaming) -> (Bytes, Option<Streaming>) {
    if !std::mem::replace(&mut streaming.begun, true) {
        let begin = streaming.chat.chunk(ChatDelta {
            role: Some("assistant"),
            content: Some(String::new()),
            annotations: None,
        });
        return (data(&begin), Some(streaming));
    }
    let event = match streaming.first.take() {
        Some(first) => Some(first),
        None => match tokio::time::timeout(sse::KEEP_ALIVE, streaming.handle.events.recv()).await {
            Ok(event) => event,
            Err(_) => return (sse::still_here(), Some(streaming)),
        },
    };
    let chat = &mut streaming.chat;
    let delta = match event {
        // Only the last piece's text may be empty: it says nothing.
        Some(QueryEvent::Token(token)) => {
            chat.answer.push_str(&token.content);
            ChatDelta {
                content: Some(token.content),
                ..ChatDelta::default()
            }
        }
        Some(QueryEvent::Citation(citation)) => ChatDelta {
            annotations: Some(vec![chat.cite(citation)]),
            ..ChatDelta::default()
        },
        Some(QueryEvent::Status(_)) => ChatDelta::default(),
        Some(QueryEvent::Error(error)) => return (failed(error.into(), &streaming.about), None),
        Some(QueryEvent::Complete(complete)) => {
            let pieces = match chat.last(&complete, streaming.usage).await {
                Ok(pieces) => pieces.concat().into(),
                Err(error) => failed(error, &streaming.about),
            };
            return (pieces, None);
        }
        None => return (failed(broke_off(), &streaming.about), None),
    };
    (data(&chat.chunk(delta)), Some(streaming))
}

/// An event with a piece as its data.
fn data(value: &impl serde::Serialize) -> Bytes {
    match serde_json::to_string(value) {
        Ok(text) => format!("data: {text}\n\n").into(),
        Err(error) => {
            tracing::error!(%error, "a piece of an answer could not be written as JSON");
            Bytes::new()
        }
    }
}

/// The end of a stream that failed: clients take an event with an `error` for one.
fn failed(error: ApiError, about: &About) -> Bytes {
    data(&RestErrorBody {
        error: RestError::of(error, about, now()),
    })
}

/// An error that calls the collection what the request calls it.
fn named(error: ApiError, model: &str) -> ApiError {
    if error.code == ErrorCode::CollectionNotFound {
        no_model(model)
    } else {
        error
    }
}

/// Where the client reaches this server, as it says itself; a proxy that ends TLS says so.
fn base(call: &Call) -> String {
    let headers = call.request.headers();
    let field = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = field(HOST) else { return String::new() };
    let ended_by_proxy = call.proxied && field(HeaderName::from_static("x-forwarded-proto")) == Some("https");
    let scheme = if call.shared.tls.is_some() || ended_by_proxy {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{host}")
}
