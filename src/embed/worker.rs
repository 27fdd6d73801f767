//! The embedder's threads: take work, tokenise or run it, hand the vectors over.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{
    EmbedError,
    batch::{Batch, Limits, divide},
    queue::{Lane, Queue, Row, Text, Work},
    session::SharedSession,
    stats::Counters,
    tokens::Tokens,
};

/// What all threads share.
pub struct Worker {
    pub queue: Arc<Queue>,
    pub session: Arc<SharedSession>,
    pub tokens: Arc<Tokens>,
    pub counters: Arc<Counters>,
    pub limits: Limits,
}

impl Worker {
    /// Serves the lanes until the queue is closed.
    pub fn serve(&self, lanes: &[Lane]) {
        while let Some(work) = self.queue.next(lanes) {
            match work {
                Work::Texts(lane, texts) => {
                    let mut batches = divide(self.read(texts), self.limits).into_iter();
                    // One is done here, the others are for whoever is free.
                    let first = batches.next();
                    if batches.len() > 0 {
                        self.queue.push_batches(lane, batches);
                    }
                    if let Some(batch) = first {
                        self.run(batch);
                    }
                }
                Work::Run(batch) => self.run(batch),
            }
        }
    }

    fn read(&self, texts: Vec<Text>) -> Vec<Row> {
        let mut rows = Vec::with_capacity(texts.len());
        for Text { text, ticket } in texts {
            if ticket.is_abandoned() {
                self.counters.abandoned(1);
                continue;
            }
            match guarded(|| self.tokens.ids(&text)) {
                Ok(ids) => rows.push(Row { ids, ticket }),
                Err(error) => {
                    self.counters.failed(1);
                    ticket.settle(Err(error));
                }
            }
        }
        rows
    }

    fn run(&self, mut batch: Batch) {
        let before = batch.rows.len();
        batch.rows.retain(|row| !row.ticket.is_abandoned());
        self.counters.abandoned(before - batch.rows.len());
        if batch.rows.is_empty() {
            return;
        }
        let started = Instant::now();
        let vectors = guarded(|| self.session.run(&batch.to_rows()));
        match vectors {
            Ok(vectors) => {
                self.counters.ran(&batch, started.elapsed());
                let dimension = vectors.len() / batch.rows.len();
                for (row, vector) in batch.rows.into_iter().zip(vectors.chunks_exact(dimension.max(1))) {
                    row.ticket.settle(Ok(vector.to_vec()));
                }
            }
            Err(error) => {
                tracing::error!(%error, rows = batch.rows.len(), length = batch.length, "an embedding batch failed");
                self.counters.failed(batch.rows.len());
                for row in batch.rows {
                    row.ticket.settle(Err(error.clone()));
                }
            }
        }
    }
}

/// A panic in a library fails the texts it was given, and leaves the thread to the next ones.
fn guarded<T>(work: impl FnOnce() -> Result<T, EmbedError>) -> Result<T, EmbedError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(EmbedError::compute("a library panicked")))
}
