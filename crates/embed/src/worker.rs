//! The embedder's threads: take work, tokenise or run it, hand the vectors over.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{
    EmbedError,
    batch::{Batch, Limits, divide},
    engine::Engine,
    queue::{Lane, Queue, Role, Row, Text, Work},
    stats::Counters,
    tokens::Tokens,
};

/// What a thread needs; threads that run the same engine share it.
pub struct Worker {
    pub queue: Arc<Queue>,
    pub engine: Arc<Engine>,
    pub tokens: Arc<Tokens>,
    pub counters: Arc<Counters>,
    pub limits: Limits,
}

impl Worker {
    /// Serves the lanes until the queue is closed.
    pub fn serve(&self, lanes: &[Lane], role: Role) {
        while let Some(work) = self.queue.next(lanes, role) {
            match work {
                Work::Texts(lane, texts) if role == Role::Read => self.queue.push_rows(lane, self.read(texts)),
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
                Work::Pack(rows) => divide(rows, self.limits).into_iter().for_each(|batch| self.run(batch)),
            }
        }
    }

    fn read(&self, texts: Vec<Text>) -> Vec<Row> {
        let started = Instant::now();
        let mut rows = Vec::with_capacity(texts.len());
        for Text { text, ticket } in texts {
            if ticket.is_abandoned() {
                self.counters.abandoned(1);
                continue;
            }
            match guarded(|| self.tokens.read_input(&text)) {
                Ok((ids, second)) => rows.push(Row { ids, second, ticket }),
                Err(error) => {
                    self.counters.failed(1);
                    ticket.settle(Err(error));
                }
            }
        }
        self.counters.read_texts(started.elapsed());
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
        let vectors = guarded(|| self.engine.run(&batch));
        let cells = batch.cells();
        self.settle(batch.rows, cells, started, vectors);
    }

    /// Hands the vectors of a run over; `cells` is its size in tokens, padding included.
    fn settle(&self, rows: Vec<Row>, cells: usize, started: Instant, vectors: Result<Vec<f32>, EmbedError>) {
        match vectors {
            Ok(vectors) => {
                let tokens = rows.iter().map(|row| row.ids.len()).sum();
                self.counters.ran(rows.len(), tokens, cells, started.elapsed());
                let dimension = vectors.len() / rows.len().max(1);
                for (row, vector) in rows.into_iter().zip(vectors.chunks_exact(dimension.max(1))) {
                    row.ticket.settle(Ok(vector.to_vec()));
                }
            }
            Err(error) => {
                tracing::error!(%error, rows = rows.len(), cells, "an embedding batch failed");
                self.counters.failed(rows.len());
                for row in rows {
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
