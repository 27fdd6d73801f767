//! Turns a generator's pieces into the events that a client reads: numbers the citations, has the
//! formatter write their markers, and keeps tokens and answer the same text.

use crate::error::PipelineError;
use crate::query::passages::Passages;
use crate::query::query_pipeline::CitationWriter;
use ibid_generate::{Piece, Quotation};
use ibid_plugin_host::Source;
use ibid_protocol::{Citation, QueryEvent, ResponseFormat, Token, Warning};
use ibid_types::document::Span;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What of an answer is sent.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// Tokens as they come; else the caller takes the whole answer at the end.
    pub stream: bool,
    /// Citations, and their markers.
    pub citations: bool,
    /// Markers in the text.
    pub markers: bool,
}

impl Delivery {
    /// What the client's wishes come to. Markers without citations would point nowhere.
    pub fn new(stream: bool, include_sources: bool, format: ResponseFormat) -> Self {
        let citations = include_sources && format != ResponseFormat::TextOnly;
        Self {
            stream,
            citations,
            markers: citations && format != ResponseFormat::WithSources,
        }
    }
}

/// What was written in the end.
#[derive(Debug, Default)]
pub struct Written {
    /// The whole answer.
    pub response: String,
    /// Pieces that it was made in.
    pub tokens: u64,
    /// Distinct citations.
    pub citations: u32,
    /// What there is to tell of the formatter.
    pub warnings: Vec<Warning>,
    /// When the first piece was ready.
    pub first_token: Option<Instant>,
    /// What the formatter took.
    pub citing: Duration,
}

/// Writes one answer.
pub(crate) struct AnswerWriter<'a> {
    events: &'a mpsc::Sender<QueryEvent>,
    citing: Box<dyn CitationWriter>,
    passages: &'a Passages,
    delivery: Delivery,
    /// Held back until the next one comes, since the last must say that it is the last.
    held: Option<String>,
    cited: Vec<Source>,
    numbers: HashMap<(String, Span), usize>,
    /// Code points of the answer so far, what is held back included.
    length: u64,
    written: Written,
}

impl<'a> AnswerWriter<'a> {
    /// A writer of an answer out of `passages`.
    pub fn new(events: &'a mpsc::Sender<QueryEvent>, citing: Box<dyn CitationWriter>, passages: &'a Passages, delivery: Delivery) -> Self {
        Self {
            events,
            citing,
            passages,
            delivery,
            held: None,
            cited: Vec::new(),
            numbers: HashMap::new(),
            length: 0,
            written: Written::default(),
        }
    }

    /// Writes a piece. Waits while the client is slow or has paused.
    pub async fn write(&mut self, piece: Piece) -> Result<(), PipelineError> {
        match piece {
            Piece::Text(text) => self.token(text).await,
            Piece::Support(quotations) if self.delivery.citations => self.cite(quotations).await,
            Piece::Support(_) => Ok(()),
        }
    }

    /// Ends the answer.
    pub async fn finish(mut self) -> Result<Written, PipelineError> {
        if self.delivery.markers && !self.cited.is_empty() {
            let end = self.citing.finish(&self.cited).await?;
            self.token(end).await?;
        }
        let last = self.held.take().unwrap_or_default();
        self.send(last, true).await?;
        (self.written.warnings, self.written.citing) = self.citing.finished();
        Ok(self.written)
    }

    async fn token(&mut self, text: String) -> Result<(), PipelineError> {
        if text.is_empty() {
            return Ok(());
        }
        self.length += text.chars().count() as u64;
        match self.held.replace(text) {
            Some(previous) => self.send(previous, false).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, content: String, is_complete: bool) -> Result<(), PipelineError> {
        let position = self.written.tokens;
        self.written.tokens += 1;
        self.written.first_token.get_or_insert_with(Instant::now);
        self.written.response.push_str(&content);
        if self.delivery.stream {
            self.emit(QueryEvent::Token(Token {
                content,
                position,
                is_complete,
            }))
            .await?;
        }
        Ok(())
    }

    async fn cite(&mut self, quotations: Vec<Quotation>) -> Result<(), PipelineError> {
        let mut mentioned = Vec::with_capacity(quotations.len());
        let mut new = Vec::new();
        for quotation in quotations {
            // A quotation that is not in its passage would be a defect of the generator: it is not passed on.
            let Some(quoted) = self.passages.quote(quotation.passage, quotation.at) else {
                tracing::error!(passage = quotation.passage, at = ?quotation.at, "a generator quoted what is not in its passage");
                continue;
            };
            let key = (quoted.document_id.clone(), quotation.at);
            let number = match self.numbers.get(&key) {
                Some(number) => *number,
                None => {
                    let number = self.cited.len();
                    let citation_id = number as u32 + 1;
                    let source = Source {
                        citation_id,
                        document_id: quoted.document_id.clone(),
                        name: quoted.source.clone(),
                        at: quotation.at,
                        page: quoted.page,
                        section: quoted.section.clone(),
                        attrs: quoted.attrs,
                    };
                    let formatted = self.citing.entry(&source).await?;
                    self.cited.push(source);
                    self.numbers.insert(key, number);
                    self.written.citations = citation_id;
                    let citation = Citation {
                        citation_id,
                        source: quoted.source,
                        page: quoted.page,
                        confidence: f64::from(quotation.confidence.clamp(0.0, 1.0)),
                        content: quoted.content,
                        char_start: quoted.char_start,
                        char_end: quoted.char_end,
                        document_id: quoted.document_id,
                        chunk_id: quoted.chunk_id,
                        section: quoted.section,
                        formatted,
                        marker_start: self.length,
                        marker_end: self.length,
                    };
                    new.push(citation);
                    number
                }
            };
            mentioned.extend(self.cited.get(number).cloned());
        }
        let marker = match self.delivery.markers && !mentioned.is_empty() {
            true => self.citing.mark(&mentioned).await?,
            false => String::new(),
        };
        let end = self.length + marker.chars().count() as u64;
        for citation in new {
            let citation = Citation {
                marker_end: end,
                ..citation
            };
            self.emit(QueryEvent::Citation(citation)).await?;
        }
        self.token(marker).await
    }

    async fn emit(&self, event: QueryEvent) -> Result<(), PipelineError> {
        self.events.send(event).await.map_err(|_| PipelineError::Abandoned)
    }
}
