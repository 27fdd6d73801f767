//! `POST /v1/chat/completions`: a query of the collection that is named as the model, its citations kept.

use super::cut::{Reason, Stops};
use super::models::no_model;
use crate::http::body;
use crate::http::broke_off;
use crate::http::call::Call;
use crate::http::endpoint::{Endpoint, Verb};
use crate::http::openapi::Tag;
use crate::http::respond::{About, BodyError, Failure, Reply, json, now};
use crate::http::sse;
use crate::limits::Budget;
use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{HOST, HeaderName};
use ibid_auth::Scope;
use ibid_engine::QueryHandle;
use ibid_engine::{Granted, Read};
use ibid_protocol::{
    Annotation, ApiError, ChatAnswer, ChatChoice, ChatChunk, ChatCompletion, ChatDelta, ChatRequest, ChatUsage, ChunkChoice, Citation,
    Complete, CompletionStatus, ErrorCode, QueryEvent, QueryOptions, RestError, RestErrorBody, Source, UrlCitation,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::VecDeque;
use time::OffsetDateTime;

/// The endpoints of this module.
pub(in crate::http) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Post,
    path: "/v1/chat/completions",
    scope: Some(Scope::Read),
    budget: Some(Budget::Query),
    handler: |call| Box::pin(complete(call)),
    operation: |op| {
        op.about(Tag::OpenAi, "Ask the collection that is named as the model")
            .description("The last message of the user is the question. Citations are the answer's `annotations`, in full in `sources`.")
            .takes::<ChatRequest>()
            .gives::<ChatCompletion>(200, "The answer; with `stream` in pieces, as server-sent events.")
            .streams::<ChatChunk>("")
            .errors(&[404, 502, 504])
    },
}];

/// What need not be escaped in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The last event of every stream.
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// `POST /v1/chat/completions`. A client that leaves cancels the query.
async fn complete(call: &mut Call) -> Result<Reply, Failure> {
    let request: ChatRequest = body::json(call).await?;
    let options = request.options()?;
    let (stops, room) = (request.stops()?, request.token_limit());
    let granted = call.with::<Read>()?;
    granted
        .require_collection(Some(&request.model))
        .map_err(|error| named(error, &request.model))?;
    let prompt_tokens = granted.count_tokens(request.texts()).await?;
    let streams = request.stream == Some(true);
    let options = QueryOptions {
        // The tokens are wanted in both cases: the answer is what they make.
        stream: Some(true),
        ..options
    };
    let handle = granted.query(options).map_err(|error| named(error, &request.model))?;
    let chat = Chat {
        id: format!("chatcmpl-{}", handle.query_id),
        created: OffsetDateTime::now_utc().unix_timestamp(),
        model: request.model,
        base: base(call),
        prompt_tokens,
        answer: String::new(),
        length: 0,
        waiting: VecDeque::new(),
        sources: Vec::new(),
        stops: Stops::new(stops),
        room,
        granted,
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
    /// Code points of the answer.
    length: u64,
    /// Citations whose markers are yet to come.
    waiting: VecDeque<Citation>,
    sources: Vec<Source>,
    stops: Stops,
    /// Tokens that the answer may have still; `None` is as many as it takes.
    room: Option<u64>,
    granted: Granted<Read>,
}

/// What goes out for an event.
#[derive(Default)]
struct Out {
    text: String,
    annotations: Vec<Annotation>,
    end: Option<End>,
}

/// How an answer ended.
enum End {
    /// By itself.
    Whole(Box<Complete>),
    /// By what the client said of its end.
    Cut(Reason),
}

impl Chat {
    /// The whole answer.
    async fn whole(mut self, mut handle: QueryHandle) -> Result<Reply, Failure> {
        let mut annotations = Vec::new();
        while let Some(event) = handle.events.recv().await {
            let out = self.take(event).await?;
            annotations.extend(out.annotations);
            let Some(end) = out.end else { continue };
            // Of an answer that was cut, nothing more is wanted.
            drop(handle);
            let (finish_reason, usage) = self.ended(&end).await?;
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
        Err(broke_off().into())
    }

    /// Takes an event in.
    async fn take(&mut self, event: QueryEvent) -> Result<Out, ApiError> {
        match event {
            QueryEvent::Status(_) => Ok(Out::default()),
            QueryEvent::Token(token) => self.write(token.content).await,
            QueryEvent::Citation(citation) => {
                self.waiting.push_back(citation);
                Ok(self.out(String::new()))
            }
            QueryEvent::Error(error) => Err(named(error.into(), &self.model)),
            QueryEvent::Complete(complete) => {
                let rest = self.stops.rest();
                let mut out = self.out(rest);
                out.end = Some(End::Whole(complete));
                Ok(out)
            }
        }
    }

    /// Writes text, as far as the answer may go.
    async fn write(&mut self, mut text: String) -> Result<Out, ApiError> {
        let mut end = None;
        if let Some(room) = self.room {
            let (bytes, tokens) = self.granted.fit_tokens(text.clone(), room).await?;
            self.room = Some(room.saturating_sub(tokens));
            if bytes < text.len() {
                text.truncate(bytes);
                end = Some(Reason::Length);
            }
        }
        let (mut text, stopped) = self.stops.take(&text);
        if stopped {
            end = Some(Reason::Stop);
        } else if end.is_some() {
            text.push_str(&self.stops.rest());
        }
        let mut out = self.out(text);
        out.end = end.map(End::Cut);
        Ok(out)
    }

    /// Sends text out, and the citations whose markers it completes: those of an answer that is cut before them cite nothing.
    fn out(&mut self, text: String) -> Out {
        self.length += text.chars().count() as u64;
        self.answer.push_str(&text);
        let mut annotations = Vec::new();
        while let Some(citation) = self.waiting.pop_front_if(|citation| citation.marker_end <= self.length) {
            annotations.push(self.cite(citation));
        }
        Out {
            text,
            annotations,
            end: None,
        }
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
    async fn ended(&self, end: &End) -> Result<(String, ChatUsage), ApiError> {
        let complete = match end {
            End::Whole(complete) => complete,
            End::Cut(reason) => {
                let tokens = self.granted.count_tokens(vec![self.answer.clone()]).await?;
                return Ok((reason.name().to_owned(), ChatUsage::of(self.prompt_tokens, tokens)));
            }
        };
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
            None => self.granted.count_tokens(vec![self.answer.clone()]).await?,
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
    async fn last(&mut self, end: &End, usage: bool) -> Result<Vec<Bytes>, ApiError> {
        let (finish_reason, used) = self.ended(end).await?;
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
    loop {
        let event = match streaming.first.take() {
            Some(first) => Some(first),
            None => match tokio::time::timeout(sse::KEEP_ALIVE, streaming.handle.events.recv()).await {
                Ok(event) => event,
                Err(_) => return (sse::still_here(), Some(streaming)),
            },
        };
        let taken = match event {
            Some(event) => streaming.chat.take(event).await,
            None => Err(broke_off()),
        };
        let Out { text, annotations, end } = match taken {
            Ok(out) => out,
            Err(error) => return (failed(error, &streaming.about), None),
        };
        let mut pieces = Vec::new();
        if !text.is_empty() || !annotations.is_empty() {
            pieces.push(data(&streaming.chat.chunk(ChatDelta {
                role: None,
                content: Some(text).filter(|text| !text.is_empty()),
                annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            })));
        }
        let Some(end) = end else {
            if pieces.is_empty() {
                continue;
            }
            return (pieces.concat().into(), Some(streaming));
        };
        match streaming.chat.last(&end, streaming.usage).await {
            Ok(last) => pieces.extend(last),
            Err(error) => pieces.push(failed(error, &streaming.about)),
        }
        return (pieces.concat().into(), None);
    }
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
