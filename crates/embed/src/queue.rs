//! The queue of the embedder's threads: queries before documents, each lane in order of arrival.
//!
//! The permit of every text bounds it; see [`super::embedder`].

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use super::{
    EmbedError,
    batch::{Batch, Encoded},
    tokens::Input,
};

/// A text's position in its request, and its vector.
pub type Outcome = Result<(usize, Vec<f32>), EmbedError>;

/// Where to send one text's vector. Dropping it releases the text's permit.
pub struct Ticket {
    pub position: usize,
    /// Carries one outcome per text, so the request's size bounds it. Closed when the request was dropped.
    pub outcomes: UnboundedSender<Outcome>,
    pub _permit: OwnedSemaphorePermit,
}

impl Ticket {
    /// Returns whether the request was dropped.
    pub fn is_abandoned(&self) -> bool {
        self.outcomes.is_closed()
    }

    /// Sends the outcome; a request that was dropped in the meantime ignores it.
    pub fn settle(self, outcome: Result<Vec<f32>, EmbedError>) {
        let position = self.position;
        let _ = self.outcomes.send(outcome.map(|vector| (position, vector)));
    }
}

/// A text that is not tokenised yet.
pub struct Text {
    pub text: Input,
    pub ticket: Ticket,
}

/// A tokenised text.
pub struct Row {
    pub ids: Vec<u32>,
    /// Where the second text of a pair begins; at the end of a single text.
    pub second: usize,
    pub ticket: Ticket,
}

impl AsRef<[u32]> for Row {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}

impl Encoded for Row {
    fn second(&self) -> usize {
        self.second
    }
}

/// The two lanes of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Queries,
    Documents,
}

/// A thread's next job.
pub enum Job {
    /// Tokenise these texts, and put the result back into the queue.
    Texts(Lane, Vec<Text>),
    /// Run this batch.
    Run(Batch),
    /// Run these rows.
    Pack(Vec<Row>),
}

/// Which jobs a thread takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Tokenises texts and runs batches.
    Both,
    /// Tokenises texts, for others to run.
    Read,
    /// Runs rows that others have tokenised: at most `tokens` tokens at a time, or one row.
    Run { tokens: usize },
}

/// The lanes, and a condition variable that threads wait on.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The most texts that are tokenised at a time, and thus sorted by length together, by lane.
    windows: [usize; 2],
}

#[derive(Default)]
struct State {
    lanes: [Waiting; 2],
    closed: bool,
}

#[derive(Default)]
struct Waiting {
    texts: VecDeque<Text>,
    batches: VecDeque<Batch>,
    rows: VecDeque<Row>,
}

impl Waiting {
    fn next(&mut self, lane: Lane, window: usize, role: Role) -> Option<Job> {
        if let Role::Run { tokens } = role {
            let mut sum = 0;
            let fits = self.rows.iter().take_while(|row| {
                sum += row.ids.len();
                sum <= tokens
            });
            let count = fits.count().max(1).min(self.rows.len());
            return (count > 0).then(|| Job::Pack(self.rows.drain(..count).collect()));
        }
        if role == Role::Both
            && let Some(batch) = self.batches.pop_front()
        {
            return Some(Job::Run(batch));
        }
        let count = self.texts.len().min(window);
        (count > 0).then(|| Job::Texts(lane, self.texts.drain(..count).collect()))
    }
}

impl Queue {
    pub fn new(query_window: usize, document_window: usize) -> Self {
        let windows = [query_window.max(1), document_window.max(1)];
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            windows,
        }
    }

    /// Adds texts to a lane. After [`Self::close`] they are dropped, and their requests fail.
    pub fn push(&self, lane: Lane, texts: impl IntoIterator<Item = Text>) {
        let mut state = self.lock();
        if !state.closed {
            state.lane(lane).texts.extend(texts);
            drop(state);
            // All of them: a single one might serve the other lane only.
            self.changed.notify_all();
        }
    }

    /// Adds tokenised batches to a lane.
    pub fn push_batches(&self, lane: Lane, batches: impl IntoIterator<Item = Batch>) {
        let mut state = self.lock();
        if !state.closed {
            state.lane(lane).batches.extend(batches);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Adds tokenised rows to a lane, for threads that run them in one piece.
    pub fn push_rows(&self, lane: Lane, rows: impl IntoIterator<Item = Row>) {
        let mut state = self.lock();
        if !state.closed {
            state.lane(lane).rows.extend(rows);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits for a job of this role in one of the lanes, the first of them first. `None` when the queue was closed.
    // The array has an entry for each lane.
    #[allow(clippy::indexing_slicing)]
    pub fn next(&self, lanes: &[Lane], role: Role) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            for &lane in lanes {
                let window = self.windows[lane as usize];
                if let Some(job) = state.lane(lane).next(lane, window, role) {
                    return Some(job);
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops everything that waits, and lets the threads end.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        // Dropped permits wake other tasks, which must not happen under the lock.
        let lanes = std::mem::take(&mut state.lanes);
        drop(state);
        drop(lanes);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics under the lock, and a queue is consistent between any two of its changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Queries => &mut self.lanes[0],
            Lane::Documents => &mut self.lanes[1],
        }
    }
}
