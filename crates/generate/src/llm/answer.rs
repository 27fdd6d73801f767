//! Processes one answer while a model writes it: removes thoughts, parses citation markers, turns citations into quotations, and limits the
//! length.

use super::super::{GenerateError, Piece, Quotation, Request, Sink};
use super::markers::{Found, Markers};
use super::prompt::Shown;
use super::quote::{Quoter, statement};
use super::thinking::Thinking;
use ibid_embed::Model;

/// The most bytes of an answer for each token that it may have: four times the average of a token, for servers that do not count.
const BYTES_PER_TOKEN: usize = 16;
/// How many bytes of the text are kept, to find the statement that a citation belongs to.
const KEPT: usize = 2_000;

/// Turns a model's text into pieces.
pub struct Answer<'a> {
    request: &'a Request,
    shown: &'a [Shown],
    sink: &'a Sink,
    quoter: Quoter,
    thinking: Thinking,
    markers: Markers,
    /// The text since the last citation.
    uncited: String,
    /// The statement of the last citation.
    before: String,
    /// The bytes that may still come.
    left: usize,
}

impl<'a> Answer<'a> {
    /// Starts an answer of at most `max_tokens` tokens from the passages that are `shown`.
    pub fn new(request: &'a Request, shown: &'a [Shown], sink: &'a Sink, embedder: Model, max_tokens: u32) -> Self {
        Self {
            request,
            shown,
            sink,
            quoter: Quoter::new(embedder),
            thinking: Thinking::default(),
            markers: Markers::default(),
            uncited: String::new(),
            before: String::new(),
            left: (max_tokens as usize).saturating_mul(BYTES_PER_TOKEN),
        }
    }

    /// Processes the next text. `false` once the answer has its full length.
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
            // Shows that the model is at work, although there is no text yet.
            self.sink.write(Piece::Text(String::new())).await?;
        }
        self.write(found).await?;
        Ok(fits)
    }

    /// Writes the text that was held back.
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
                    // Numbers without a passage cite nothing: their marker is removed.
                    if !quotations.is_empty() {
                        self.sink.write(Piece::Support(quotations)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, text: &str) {
        self.uncited.push_str(text);
        let mut cut = self.uncited.len().saturating_sub(KEPT);
        while !self.uncited.is_char_boundary(cut) {
            cut += 1;
        }
        self.uncited.drain(..cut);
    }

    async fn quotations(&mut self, numbers: &[u32]) -> Vec<Quotation> {
        let mut statement = statement(&self.uncited, &self.before);
        if statement.is_empty() {
            // A citation before any statement: compare with the question instead.
            statement.clone_from(&self.request.question);
        }
        let mut quotations: Vec<Quotation> = Vec::new();
        for number in numbers {
            let shown = usize::try_from(*number)
                .ok()
                .and_then(|number| self.shown.get(number.checked_sub(1)?));
            let Some((shown, passage)) = shown.and_then(|shown| Some((shown, self.request.passages.get(shown.passage)?))) else {
                tracing::debug!(number, "a language model cites a passage that does not exist");
                continue;
            };
            if let Some(quotation) = self.quoter.quote(&statement, shown, passage).await {
                quotations.push(quotation);
            }
        }
        self.uncited.clear();
        self.before = statement;
        quotations
    }
}
