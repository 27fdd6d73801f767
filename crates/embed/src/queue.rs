//! What waits for the embedder's threads: queries before documents, each lane in order of arrival.
//!
//! Bounded by the permits that every text carries; see [`super::embedder`].

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

/// A text's place in its request, and its vector.
pub type Outcome = Result<(usize, Vec<f32>), EmbedError>;

/// Where one text's vector goes, and its place in the queue, which is free again when this is dropped.
pub struct Ticket {
    pub place: usize,
    /// Carries one outcome per text, so the request's size bounds it. Closed when the request was given up.
    pub outcomes: UnboundedSender<Outcome>,
    pub _permit: OwnedSemaphorePermit,
}

impl Ticket {
    /// Whether nobody waits for the vector any more.
    pub fn is_abandoned(&self) -> bool {
        self.outcomes.is_closed()
    }

    /// Hands the outcome over; a request that was given up in the meantime does not want it.
    pub fn settle(self, outcome: Result<Vec<f32>, EmbedError>) {
        let place = self.place;
        let _ = self.outcomes.send(outcome.map(|vector| (place, vector)));
    }
}

/// A text that was not read yet.
pub struct Text {
    pub text: Input,
    pub ticket: Ticket,
}

/// A text's tokens.
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

/// Who waits: a person, or a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Queries,
    Documents,
}

/// What a thread does next.
pub enum Work {
    /// Tokenise these texts, and put what comes of it back.
    Texts(Lane, Vec<Text>),
    /// Run this batch.
    Run(Batch),
    /// Run these rows.
    Pack(Vec<Row>),
}

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads texts and runs batches.
    Both,
    /// Reads texts, for others to run.
    Read,
    /// Runs rows that others have read: as many at a time as have `tokens` tokens, or one.
    Run { tokens: usize },
}

/// The lanes, and what the threads wait on.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The most texts that are tokenised in one go, and thus sorted by length together: by lane.
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
    fn next(&mut self, lane: Lane, window: usize, role: Role) -> Option<Work> {
        if let Role::Run { tokens } = role {
            let mut sum = 0;
            let fits = self.rows.iter().take_while(|row| {
                sum += row.ids.len();
                sum <= tokens
            });
            let count = fits.count().max(1).min(self.rows.len());
            return (count > 0).then(|| Work::Pack(self.rows.drain(..count).collect()));
        }
        if role == Role::Both
            && let Some(batch) = self.batches.pop_front()
        {
            return Some(Work::Run(batch));
        }
        let count = self.texts.len().min(window);
        (count > 0).then(|| Work::Texts(lane, self.texts.drain(..count).collect()))
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

    /// Adds texts to a lane. After [`Self::close`] they are dropped, which their requests notice.
    pub fn push(&self, lane: Lane, texts: impl IntoIterator<Item = Text>) {
        let mut state = self.lock();
        if !state.closed {
            state.lane(lane).texts.extend(texts);
            drop(state);
            // All of them: the one that would be woken may be one that serves the other lane only.
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

    /// Waits for work of this kind in one of the lanes, the first of them first. `None` when the queue was closed.
    // The windows are an array with a place for each lane.
    #[allow(clippy::indexing_slicing)]
    pub fn next(&self, lanes: &[Lane], role: Role) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            for &lane in lanes {
                let window = self.windows[lane as usize];
                if let Some(work) = state.lane(lane).next(lane, window, role) {
                    return Some(work);
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops everything that waits, and lets the threads end.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        // Their permits wake other tasks when dropped: not under the lock.
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
