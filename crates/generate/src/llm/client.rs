//! The HTTP client of an OpenAI-compatible server: sends a request, reads its answer as a stream of deltas, and converts errors.
//!
//! Everything that it reads is bounded. Dropping a [`Deltas`] closes the connection, which makes such servers stop.

use super::error::{LlmError, LlmReason};
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use ibid_types::secret::Secret;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The longest event of a stream, in bytes.
const MAX_EVENT: usize = 1 << 20;
/// The longest stream, in bytes: some servers send a kilobyte around every token.
const MAX_STREAM: usize = 256 << 20;
/// How much of an error's body is read, in bytes, and logged, in characters.
const MAX_ERROR: usize = 16 << 10;
const LOGGED: usize = 300;
/// The longest time to read the body of an error.
const ERROR_BODY: Duration = Duration::from_secs(5);

/// The client of one server. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    http: Client,
    /// Ends with `/`.
    base: Url,
    key: Option<Secret>,
    /// Fields that this server was found not to accept: see [`Quirk`].
    quirks: Arc<AtomicU8>,
}

/// A difference between servers, which is learned from an error response and remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quirk {
    /// Expects `max_completion_tokens` in place of `max_tokens`.
    CompletionTokens = 1,
    /// Does not know `stream_options`.
    NoStreamOptions = 2,
    /// Accepts no `temperature` but its own.
    NoTemperature = 4,
}

impl Quirk {
    const ALL: [Quirk; 3] = [Self::CompletionTokens, Self::NoStreamOptions, Self::NoTemperature];

    /// Returns the word in an error response that indicates it.
    fn word(self) -> &'static str {
        match self {
            Self::CompletionTokens => "max_completion_tokens",
            Self::NoStreamOptions => "stream_options",
            Self::NoTemperature => "temperature",
        }
    }

    /// Changes a request to the form that such a server accepts. `false` if it has that form already.
    fn apply(self, request: &mut Map<String, Value>) -> bool {
        match self {
            Self::CompletionTokens => match request.remove("max_tokens") {
                Some(most) => request.insert("max_completion_tokens".to_owned(), most).is_none(),
                None => false,
            },
            Self::NoStreamOptions => request.remove("stream_options").is_some(),
            Self::NoTemperature => request.remove("temperature").is_some(),
        }
    }
}

impl Upstream {
    /// Makes a client of the server at `base`, which must end with `/`.
    pub fn new(http: Client, base: Url, key: Option<Secret>) -> Self {
        Self {
            http,
            base,
            key,
            quirks: Arc::default(),
        }
    }

    /// Sends a chat completion, whose answer begins with the first delta. Omits fields that this server is known not to accept. If it
    /// rejects another such field, sends the request again without it.
    pub async fn chat(&self, mut request: Map<String, Value>) -> Result<Deltas, LlmError> {
        let known = self.quirks.load(Ordering::Relaxed);
        for quirk in Quirk::ALL.into_iter().filter(|quirk| known & *quirk as u8 != 0) {
            quirk.apply(&mut request);
        }
        loop {
            let url = self.url("chat/completions")?;
            let sent = self
                .authorized(self.http.post(url))
                .header(ACCEPT, "text/event-stream")
                .json(&request);
            let response = sent.send().await.map_err(|error| self.failed(error))?;
            if response.status().is_success() {
                return Ok(Deltas::of(response));
            }
            let (status, retry_after) = (response.status(), retry_after(&response));
            let body = self.error_body(response).await;
            let found = Quirk::ALL
                .into_iter()
                .find(|quirk| matches!(status.as_u16(), 400 | 422) && body.contains(quirk.word()) && quirk.apply(&mut request));
            match found {
                Some(quirk) => {
                    tracing::info!(server = %self.server(), ?quirk, "the language model's server expects another form of request");
                    self.quirks.fetch_or(quirk as u8, Ordering::Relaxed);
                }
                None => return Err(self.refused(status, retry_after, &body)),
            }
        }
    }

    /// Returns the models that the server lists.
    pub async fn models(&self) -> Result<Vec<String>, LlmError> {
        #[derive(Deserialize)]
        struct Models {
            #[serde(default)]
            data: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            id: String,
        }
        let url = self.url("models")?;
        let response = self
            .authorized(self.http.get(url))
            .send()
            .await
            .map_err(|error| self.failed(error))?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        if !status.is_success() {
            let body = self.error_body(response).await;
            return Err(self.refused(status, retry_after, &body));
        }
        let body = read(response, MAX_EVENT).await.ok_or(LlmReason::Garbled)?;
        let models: Models = serde_json::from_slice(&body).map_err(|_| LlmReason::Garbled)?;
        Ok(models.data.into_iter().map(|model| model.id).collect())
    }

    /// Returns whether requests carry a key.
    #[cfg(test)]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Returns host and port, for the log.
    fn server(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    fn url(&self, path: &str) -> Result<Url, LlmError> {
        self.base.join(path).map_err(|_| LlmReason::NotFound.into())
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            // reqwest marks it as sensitive.
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    fn failed(&self, error: reqwest::Error) -> LlmError {
        let reason = match () {
            () if error.is_connect() => LlmReason::Unreachable,
            () if error.is_timeout() => LlmReason::Timeout,
            () => LlmReason::BrokenOff,
        };
        tracing::warn!(server = %self.server(), reason = reason.name(), error = causes(&error), "language model");
        reason.into()
    }

    fn refused(&self, status: StatusCode, retry_after: Option<Duration>, body: &str) -> LlmError {
        let reason = match status.as_u16() {
            429 => LlmReason::RateLimited,
            401 | 403 => LlmReason::Unauthorized,
            404 => LlmReason::NotFound,
            408 | 500..=599 => LlmReason::ServerError,
            _ => LlmReason::Rejected,
        };
        tracing::warn!(server = %self.server(), status = status.as_u16(), reason = reason.name(), body = self.shown(body), "language model");
        LlmError {
            reason,
            retry_after,
            is_final: body.contains("insufficient_quota"),
        }
    }

    async fn error_body(&self, response: Response) -> String {
        let body = tokio::time::timeout(ERROR_BODY, read(response, MAX_ERROR)).await;
        String::from_utf8_lossy(&body.ok().flatten().unwrap_or_default()).into_owned()
    }

    /// Returns the beginning of a server's message, for the log: on one line, and without the key, which some servers repeat.
    fn shown(&self, body: &str) -> String {
        let body = match self.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty()) {
            Some(key) => body.replace(key, ibid_types::secret::HIDDEN),
            None => body.to_owned(),
        };
        body.chars().filter(|c| !c.is_control()).take(LOGGED).collect()
    }
}

/// Reads a body of at most `most` bytes; `None` if it is longer, or breaks off.
async fn read(response: Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.ok()?;
        if body.len() + chunk.len() > most {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// Parses the header `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = SystemTime::from(OffsetDateTime::parse(value, &Rfc2822).ok()?);
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The content of one event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// Text of the answer.
    pub text: String,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Tokens of prompt and answer.
    pub usage: Option<(u64, u64)>,
}

/// The stream of an answer.
pub struct Deltas {
    events: BoxStream<'static, Result<Event, EventStreamError<StreamError>>>,
    /// Bytes since the last event.
    unread: Arc<AtomicUsize>,
    /// The whole answer of a server that does not stream.
    whole: Option<Response>,
    finished: bool,
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("an event or the stream is too long")]
    TooLong,
    #[error("invalid UTF-8")]
    NotUtf8,
    #[error("{}", causes(.0))]
    Http(#[from] reqwest::Error),
}

impl Deltas {
    fn of(response: Response) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let streams = !content_type.is_some_and(|kind| kind.starts_with("application/json"));
        let unread = Arc::new(AtomicUsize::new(0));
        let (events, whole) = match streams {
            true => (bounded(response, unread.clone()).eventsource().boxed(), None),
            false => (futures_util::stream::empty().boxed(), Some(response)),
        };
        Self {
            events,
            unread,
            whole,
            finished: false,
        }
    }

    /// Returns the next delta; `None` at the end of a complete answer. Has no time limit.
    pub async fn next(&mut self) -> Result<Option<Delta>, LlmError> {
        if let Some(response) = self.whole.take() {
            self.finished = true;
            let body = read(response, MAX_EVENT).await.ok_or(LlmReason::BrokenOff)?;
            let body = std::str::from_utf8(&body).map_err(|_| LlmReason::Garbled)?;
            return self.read(body).map(Some);
        }
        match self.events.next().await {
            Some(Ok(event)) if event.data.trim() == "[DONE]" => Ok(None),
            Some(Ok(event)) => {
                self.unread.store(0, Ordering::Relaxed);
                self.read(&event.data).map(Some)
            }
            Some(Err(error)) => {
                let reason = match &error {
                    EventStreamError::Transport(StreamError::Http(_)) => LlmReason::BrokenOff,
                    _ => LlmReason::Garbled,
                };
                // The parser's own errors quote the text that it could not parse.
                let cause = match error {
                    EventStreamError::Transport(error) => error.to_string(),
                    EventStreamError::Utf8(_) => "invalid UTF-8".to_owned(),
                    EventStreamError::Parser(_) => "no event stream".to_owned(),
                };
                tracing::warn!(reason = reason.name(), cause, "the stream of a language model failed");
                Err(reason.into())
            }
            // Some servers end without `[DONE]`, but not before the finish reason.
            None if self.finished => Ok(None),
            None => Err(LlmReason::BrokenOff.into()),
        }
    }

    fn read(&mut self, data: &str) -> Result<Delta, LlmError> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            tracing::warn!(%error, "a language model's event does not have the API's format");
            LlmReason::Garbled
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let shown: String = error.to_string().chars().take(LOGGED).collect();
            tracing::warn!(error = shown, "a language model failed while it answered");
            return Err(LlmReason::ServerError.into());
        }
        let choice = chunk.choices.into_iter().find(|choice| choice.index == 0).unwrap_or_default();
        let text = choice.delta.or(choice.message).and_then(|delta| delta.content).map(Content::text);
        self.finished |= choice.finish_reason.is_some();
        Ok(Delta {
            text: text.unwrap_or_default(),
            finish_reason: choice.finish_reason,
            usage: chunk.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens)),
        })
    }
}

/// Returns the body, as long as neither an event nor the whole is too long, and it is UTF-8: the parser of events would wait for the rest
/// of an invalid character.
fn bounded(response: Response, unread: Arc<AtomicUsize>) -> impl Stream<Item = Result<Vec<u8>, StreamError>> {
    let mut total = 0;
    // The beginning of a character whose rest is not here yet.
    let mut cut: Vec<u8> = Vec::new();
    response.bytes_stream().map(move |chunk| {
        let chunk = chunk?;
        total += chunk.len();
        let unread = unread.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
        if unread > MAX_EVENT || total > MAX_STREAM {
            return Err(StreamError::TooLong);
        }
        let mut bytes = std::mem::take(&mut cut);
        bytes.extend_from_slice(&chunk);
        match std::str::from_utf8(&bytes) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() => cut = bytes.split_off(error.valid_up_to()),
            Err(_) => return Err(StreamError::NotUtf8),
        }
        Ok(bytes)
    })
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    index: u32,
    delta: Option<Message>,
    /// In place of `delta` where the server does not stream.
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Content>,
}

/// A string, or parts of which some are text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    #[serde(default)]
    text: String,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}
