//! One answer as it comes from a model: thoughts left out, markers read, citations turned into quotations, the length
//! bounded.

use super::super::{GenerateError, Piece, Quotation, Request, Sink};
use super::markers::{Found, Markers};
use super::prompt::Shown;
use super::quote::{Quoter, statement};
use super::thinking::Thinking;
use ibid_embed::Model;

/// Bytes of an answer for each token that it may have: four times what tokens have on average, for servers that do not
/// count.
const BYTES_PER_TOKEN: usize = 16;
/// How much of what was said is kept, in bytes, to find the statement that a citation stands behind.
const KEPT: usize = 2_000;

/// Turns text into pieces.
pub struct Answer<'a> {
    request: &'a Request,
    shown: &'a [Shown],
    sink: &'a Sink,
    quoter: Quoter,
    thinking: Thinking,
    markers: Markers,
    /// Since the last citation.
    said: String,
    /// The statement of the last citation.
    before: String,
    /// Bytes that may still come.
    left: usize,
}

impl<'a> Answer<'a> {
    /// An answer of at most `max_tokens` tokens from the passages that are `shown`.
    pub fn new(request: &'a Request, shown: &'a [Shown], sink: &'a Sink, embedder: Model, max_tokens: u32) -> Self {
        Self {
            request,
            shown,
            sink,
            quoter: Quoter::new(embedder),
            thinking: Thinking::default(),
            markers: Markers::default(),
            said: String::new(),
            before: String::new(),
            left: (max_tokens as usize).saturating_mul(BYTES_PER_TOKEN),
        }
    }

    /// Takes what came next. `false` once the answer is as long as it may be.
    pub async fn push(&mut self, text: &str) -> Result<bool, GenerateError> {
        let mut text = self.thinking.push(text);
        let fits = text.len() <= self.left;
        if !fits {
            let mut end = self.left;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        self.left -= text.len();
        let found = self.markers.push(&text);
        if found.is_empty() {
            // At work, though there is nothing to show.
            self.sink.write(Piece::Text(String::new())).await?;
        }
        self.write(found).await?;
        Ok(fits)
    }

    /// Writes what was held back.
    pub async fn finish(mut self) -> Result<(), GenerateError> {
        let rest = self.thinking.finish();
        let mut found = self.markers.push(&rest);
        found.extend(self.markers.finish());
        self.write(found).await
    }

    async fn write(&mut self, found: Vec<Found>) -> Result<(), GenerateError> {
        for found in found {
            match found {
                Found::Text(text) => {
                    self.remember(&text);
                    self.sink.write(Piece::Text(text)).await?;
                }
                Found::Cited(numbers) => {
                    let quotations = self.quotations(&numbers).await;
                    // Numbers of no passage point nowhere: their marker is gone with them.
                    if !quotations.is_empty() {
                        self.sink.write(Piece::Support(quotations)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, text: &str) {
        self.said.push_str(text);
        let mut cut = self.said.len().saturating_sub(KEPT);
        while !self.said.is_char_boundary(cut) {
            cut += 1;
        }
        self.said.drain(..cut);
    }

    async fn quotations(&mut self, numbers: &[u32]) -> Vec<Quotation> {
        let mut statement = statement(&self.said, &self.before);
        if statement.is_empty() {
            // A citation before any statement: what was asked is the best that is known.
            statement.clone_from(&self.request.question);
        }
        let mut quotations: Vec<Quotation> = Vec::new();
        for number in numbers {
            let shown = usize::try_from(*number)
                .ok()
                .and_then(|number| self.shown.get(number.checked_sub(1)?));
            let Some((shown, passage)) = shown.and_then(|shown| Some((shown, self.request.passages.get(shown.passage)?))) else {
                tracing::debug!(number, "a language model cites a passage that there is not");
                continue;
            };
            if let Some(quotation) = self.quoter.quote(&statement, shown, passage).await {
                quotations.push(quotation);
            }
        }
        self.said.clear();
        self.before = statement;
        quotations
    }
}
