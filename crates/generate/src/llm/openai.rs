//! The generator for one model of one server: sends the request, retries it, and reads the answer to its end.

use super::super::{GenerateError, Generated, Generator, Note, Request, Sink, extractive, nothing_found};
use super::answer::Answer;
use super::client::Upstream;
use super::error::{LlmError, LlmReason};
use super::prompt::{Messages, Template, render};
use async_trait::async_trait;
use ibid_embed::Model;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The temperature where neither the query nor the pipeline sets one: low, for answers from documents.
const TEMPERATURE: f32 = 0.2;
/// The first pause before a retry, doubled each time, and the longest. A random part of up to half is subtracted, so that requests that
/// failed together are not retried together.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A generator that uses a language model. [`super::Llm::generator`] makes it.
#[derive(Clone)]
pub struct OpenAi {
    pub(super) upstream: Upstream,
    pub(super) embedder: Model,
    pub(super) model: String,
    pub(super) system: Template,
    pub(super) prompt: Template,
    pub(super) temperature: Option<f32>,
    pub(super) max_tokens: u32,
    pub(super) context_chars: usize,
    pub(super) first_token_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) retries: u32,
}

#[async_trait]
impl Generator for OpenAi {
    async fn generate(&self, request: Request, sink: Sink) -> Result<Generated, GenerateError> {
        let messages = render(&self.system, &self.prompt, &request, self.context_chars);
        // Without passages, a model could only invent.
        if messages.shown.is_empty() {
            extractive::write_words(&sink, &nothing_found(&request.collection)).await?;
            return Ok(Generated::default());
        }
        let body = self.body(&messages, request.temperature);
        let deadline = Instant::now() + self.first_token_timeout;
        let mut tries = 0;
        loop {
            let answer = Answer::new(&request, &messages.shown, &sink, self.embedder.clone(), self.max_tokens);
            let error = match self.attempt(&body, answer, deadline, &sink).await {
                Err(GenerateError::Llm(error)) => error,
                done => return done,
            };
            let pause = pause(tries, error.retry_after);
            // An answer that the client has seen in part cannot be started again.
            if sink.has_begun() || !error.is_transient() || tries >= self.retries || Instant::now() + pause >= deadline {
                return Err(error.into());
            }
            tracing::info!(reason = error.reason.name(), ?pause, "the request to the language model is retried");
            sleep(pause).await;
            tries += 1;
        }
    }
}

impl OpenAi {
    /// Returns the model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    fn body(&self, messages: &Messages, temperature: Option<f32>) -> Map<String, Value> {
        let temperature = temperature.or(self.temperature).unwrap_or(TEMPERATURE);
        // In decimal as people write it: .2 as an f32 is .20000000298 as an f64.
        let temperature = (f64::from(temperature) * 1e3).round() / 1e3;
        let body = json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": messages.system },
                { "role": "user", "content": messages.user },
            ],
            "stream": true,
            "stream_options": { "include_usage": true },
            "temperature": temperature,
            "max_tokens": self.max_tokens,
        });
        match body {
            Value::Object(body) => body,
            _ => Map::new(),
        }
    }

    /// Sends one request, and reads its answer to the end.
    async fn attempt(
        &self,
        body: &Map<String, Value>,
        mut answer: Answer<'_>,
        deadline: Instant,
        sink: &Sink,
    ) -> Result<Generated, GenerateError> {
        let late = |_| LlmError::from(LlmReason::Timeout);
        let mut deltas = timeout_at(deadline, self.upstream.chat(body.clone())).await.map_err(late)??;
        let mut made = Generated {
            model: Some(self.model.clone()),
            ..Generated::default()
        };
        // While the client holds the answer nothing is read and the server waits, so its time limit does not run.
        let mut by = deadline;
        let mut left = self.answer_timeout;
        loop {
            let asked = Instant::now();
            let Some(delta) = timeout_at(by.min(asked + left), deltas.next()).await.map_err(late)?? else {
                break;
            };
            left = left.saturating_sub(asked.elapsed());
            if let Some((prompt, completion)) = delta.usage {
                made.prompt_tokens = Some(prompt);
                made.completion_tokens = Some(completion);
            }
            if delta.finish_reason.is_some() {
                made.finish_reason = delta.finish_reason;
            }
            if !answer.push(&delta.text).await? {
                made.finish_reason = Some("length".to_owned());
                break;
            }
            // Deltas without text (a model that thinks) show that the server is at work.
            by = Instant::now() + self.idle_timeout;
        }
        // Closes the connection if the answer was cut.
        drop(deltas);
        answer.finish().await?;
        if !sink.has_begun() {
            let reason = match made.finish_reason.as_deref() {
                Some("content_filter") => LlmReason::Filtered,
                _ => LlmReason::Empty,
            };
            return Err(LlmError::from(reason).into());
        }
        made.notes = self.note(made.finish_reason.as_deref()).into_iter().collect();
        Ok(made)
    }

    fn note(&self, finish_reason: Option<&str>) -> Option<Note> {
        match finish_reason {
            Some("length") => Some(Note {
                reason: "length",
                message: format!("The answer is cut off: its limit is {} tokens.", self.max_tokens),
            }),
            Some("content_filter") => Some(Note {
                reason: "content_filter",
                message: "The answer is cut off: the language model's server withheld the rest because of a content filter.".to_owned(),
            }),
            _ => None,
        }
    }
}

/// Returns the pause before the next try: as the server asks, or exponentially longer, with jitter.
fn pause(tries: u32, retry_after: Option<Duration>) -> Duration {
    let longest = PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    // Without random numbers, the whole pause.
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    let pause = longest.mul_f64(0.5 + share / 2.0);
    retry_after.map_or(pause, |wanted| wanted.max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_jitter_and_do_as_the_server_wants() {
        for tries in 0..12 {
            let longest = PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
            for _ in 0..20 {
                let pause = pause(tries, None);
                assert!(pause >= longest / 2 && pause <= longest, "{tries}: {pause:?}");
            }
        }
        assert_eq!(pause(0, Some(Duration::from_secs(7))), Duration::from_secs(7));
    }
}
