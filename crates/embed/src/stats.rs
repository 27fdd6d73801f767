//! Counters of the embedder.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Totals since the embedder was opened, and the current length of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct EmbedderStats {
    /// Query texts that wait or are being computed.
    pub queued_queries: usize,
    /// Document texts that wait or are being computed.
    pub queued_documents: usize,
    /// Texts embedded.
    pub texts: u64,
    /// Tokens in them, special tokens included.
    pub tokens: u64,
    /// Padding that was computed with them, in tokens.
    pub padding: u64,
    /// Runs of the model.
    pub batches: u64,
    /// Texts dropped before they were computed, because their request was dropped.
    pub abandoned: u64,
    /// Texts that failed.
    pub failed: u64,
    /// Time in runs of the model, summed over threads, in milliseconds.
    pub busy_ms: u64,
    /// Time in the tokenizer, summed over threads, in milliseconds.
    pub reading_ms: u64,
}

/// The running totals. Each is exact by itself; two of them may be read at different moments.
#[derive(Default)]
pub struct Counters {
    texts: AtomicU64,
    tokens: AtomicU64,
    padding: AtomicU64,
    batches: AtomicU64,
    abandoned: AtomicU64,
    failed: AtomicU64,
    busy_us: AtomicU64,
    reading_us: AtomicU64,
}

impl Counters {
    /// Counts a run of this many texts and tokens, in `cells` tokens with padding.
    pub fn record_run(&self, texts: usize, tokens: usize, cells: usize, time: Duration) {
        self.texts.fetch_add(texts as u64, Relaxed);
        self.tokens.fetch_add(tokens as u64, Relaxed);
        self.padding.fetch_add(cells.saturating_sub(tokens) as u64, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.busy_us.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn read_texts(&self, time: Duration) {
        self.reading_us
            .fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn abandoned(&self, texts: usize) {
        self.abandoned.fetch_add(texts as u64, Relaxed);
    }

    pub fn failed(&self, texts: usize) {
        self.failed.fetch_add(texts as u64, Relaxed);
    }

    pub fn read(&self, queued_queries: usize, queued_documents: usize) -> EmbedderStats {
        EmbedderStats {
            queued_queries,
            queued_documents,
            texts: self.texts.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            padding: self.padding.load(Relaxed),
            batches: self.batches.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            failed: self.failed.load(Relaxed),
            busy_ms: self.busy_us.load(Relaxed) / 1000,
            reading_ms: self.reading_us.load(Relaxed) / 1000,
        }
    }
}
