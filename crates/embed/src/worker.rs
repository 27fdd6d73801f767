//! The embedder's threads: take a job, tokenise or run it, and send the vectors.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{
    EmbedError,
    batch::{Batch, Limits, divide},
    engine::Engine,
    queue::{Job, Lane, Queue, Role, Row, Text},
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
    /// Works on the lanes until the queue is closed.
    pub fn serve(&self, lanes: &[Lane], role: Role) {
        while let Some(job) = self.queue.next(lanes, role) {
            match job {
                Job::Texts(lane, texts) if role == Role::Read => self.queue.push_rows(lane, self.read(texts)),
                Job::Texts(lane, texts) => {
                    let mut batches = divide(self.read(texts), self.limits).into_iter();
                    // This thread runs one batch, the others are for any thread that is free.
                    let first = batches.next();
                    if batches.len() > 0 {
                        self.queue.push_batches(lane, batches);
                    }
                    if let Some(batch) = first {
                        self.run(batch);
                    }
                }
                Job::Run(batch) => self.run(batch),
                Job::Pack(rows) => divide(rows, self.limits).into_iter().for_each(|batch| self.run(batch)),
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

    /// Sends the vectors of a run; `cells` is its size in tokens, padding included.
    fn settle(&self, rows: Vec<Row>, cells: usize, started: Instant, vectors: Result<Vec<f32>, EmbedError>) {
        match vectors {
            Ok(vectors) => {
                let tokens = rows.iter().map(|row| row.ids.len()).sum();
                self.counters.record_run(rows.len(), tokens, cells, started.elapsed());
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

/// Turns a panic in a library into an error of the texts of this job, so that the thread goes on.
fn guarded<T>(job: impl FnOnce() -> Result<T, EmbedError>) -> Result<T, EmbedError> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| Err(EmbedError::compute("a library panicked")))
}
