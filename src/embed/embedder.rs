//! The embedder's public handle: admits texts to the queue and collects their vectors.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{
    Semaphore,
    mpsc::{self, UnboundedSender},
};

use super::{
    EmbedError, EmbedderStats, ModelInfo, Runtime,
    batch::Limits,
    model::{MODEL_FILE, TOKENIZER_FILE, verify},
    queue::{Lane, Outcome, Queue, Text, Ticket},
    session::SharedSession,
    stats::Counters,
    tokens::Tokens,
    worker::Worker,
};

/// Texts that are sorted by length together, per lane. For documents, 256 leaves next to no padding; queries
/// are few, and should not wait for one another's tokens.
const QUERY_WINDOW: usize = 64;
const DOCUMENT_WINDOW: usize = 256;

/// How the embedder uses the machine.
#[derive(Clone, Debug)]
pub struct EmbedderSettings {
    /// Threads that compute, each on one core; at least 1. Default: the cores this process may use. One more
    /// thread serves queries alone, so that a query does not wait for documents' batches to end.
    pub threads: usize,
    /// Texts that may wait or be computed, in each of the two lanes; at least 1.
    pub queue: usize,
    /// How long a query waits for a place in a full queue.
    pub query_wait: Duration,
    /// How long a document's next texts wait for a place in a full queue.
    pub document_wait: Duration,
    /// Tokens in a batch, padding included; a single longer text is a batch of its own.
    pub max_batch_tokens: usize,
    /// Texts in a batch; at least 1.
    pub max_batch_rows: usize,
}

impl Default for EmbedderSettings {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            queue: 1024,
            query_wait: Duration::from_secs(10),
            // A large upload ahead of this one is no reason to fail it.
            document_wait: Duration::from_secs(600),
            // From 200 to 1,600 tokens a batch costs the same per token (more costs up to a sixth more); a small one
            // lets a query in sooner, and stops sooner when it is given up.
            max_batch_tokens: 512,
            max_batch_rows: 32,
        }
    }
}

/// Embeds texts with one model. A cheap handle: clones share the model, its queue and its threads, which end
/// when the last one is dropped.
///
/// A text's vector depends on the text and the model alone, to the last bit, not on what else is being
/// embedded. (Another kind of processor, or another ONNX Runtime, may round differently.)
#[derive(Clone)]
pub struct Embedder {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModelInfo,
    tokens: Arc<Tokens>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    queries: Admission,
    documents: Admission,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

/// The places of one lane.
struct Admission {
    lane: Lane,
    places: Arc<Semaphore>,
    capacity: usize,
    window: usize,
    wait: Duration,
}

impl Embedder {
    /// Opens the model directory that [`super::convert::convert`] wrote, checks its files' hashes, and starts the
    /// threads. Blocks for up to a few seconds.
    ///
    /// # Errors
    /// [`EmbedError::FileMissing`], [`EmbedError::Io`] or [`EmbedError::ModelInvalid`].
    pub fn open(runtime: &Runtime, model_dir: &Path, settings: EmbedderSettings) -> Result<Self, EmbedError> {
        let info = ModelInfo::read(model_dir)?;
        let tokenizer = model_dir.join(TOKENIZER_FILE);
        verify(&tokenizer, &info.tokenizer_sha256)?;
        let tokens = Arc::new(Tokens::read(&tokenizer, &info)?);
        let model = model_dir.join(MODEL_FILE);
        verify(&model, &info.model_sha256)?;
        let session = Arc::new(SharedSession::open(runtime, &model, info.dimension)?);

        let queue = Arc::new(Queue::new(QUERY_WINDOW, DOCUMENT_WINDOW));
        let counters = Arc::new(Counters::default());
        let limits = Limits {
            tokens: settings.max_batch_tokens,
            rows: settings.max_batch_rows.max(1),
            length: info.max_tokens,
        };
        let admission = |lane, window: usize, wait| {
            // Semaphores have a limit of their own, far beyond any sensible queue.
            let capacity = settings.queue.clamp(1, Semaphore::MAX_PERMITS.min(1 << 20));
            Admission {
                lane,
                places: Arc::new(Semaphore::new(capacity)),
                capacity,
                window: window.min(capacity),
                wait,
            }
        };
        let embedder = Self {
            inner: Arc::new(Inner {
                info,
                tokens: Arc::clone(&tokens),
                queue: Arc::clone(&queue),
                counters: Arc::clone(&counters),
                queries: admission(Lane::Queries, QUERY_WINDOW, settings.query_wait),
                documents: admission(Lane::Documents, DOCUMENT_WINDOW, settings.document_wait),
                threads: Mutex::default(),
            }),
        };
        let worker = Arc::new(Worker {
            queue,
            session,
            tokens,
            counters,
            limits,
        });
        embedder.start(&worker, settings.threads.max(1)).map_err(EmbedError::compute)?;
        Ok(embedder)
    }

    fn start(&self, worker: &Arc<Worker>, threads: usize) -> std::io::Result<()> {
        let mut handles = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0..=threads {
            let (name, lanes): (_, &'static [Lane]) = if index == threads {
                ("embed-query".to_owned(), &[Lane::Queries])
            } else {
                (format!("embed-{index}"), &[Lane::Queries, Lane::Documents])
            };
            let worker = Arc::clone(worker);
            handles.push(thread::Builder::new().name(name).spawn(move || worker.serve(lanes))?);
        }
        Ok(())
    }

    /// What the model is.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// The vector of a query. Queries that wait at the same time are computed together, and before documents.
    /// Dropping the future gives the query up.
    ///
    /// # Errors
    /// [`EmbedError::Busy`] when the queue stays full, [`EmbedError::Compute`], [`EmbedError::Closed`].
    pub async fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let vectors = self.inner.embed(&self.inner.queries, vec![text.to_owned()], |_| {}).await?;
        vectors.into_iter().next().ok_or(EmbedError::Closed)
    }

    /// The vectors of texts that a query waits for, such as candidate sentences of an answer; in their order.
    /// Dropping the future gives up those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_queries(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.inner.embed(&self.inner.queries, texts, |_| {}).await
    }

    /// The vectors of a document's texts, in their order. Waits while the queue is full, and computes after
    /// queries. `progress` is called with the number of texts done, now and then and at the end.
    /// Dropping the future gives up those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_texts(&self, texts: Vec<String>, progress: impl Fn(usize) + Send + 'static) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.inner.embed(&self.inner.documents, texts, progress).await
    }

    /// How many tokens a text has, without special tokens and without the model's limit. Takes about a
    /// microsecond per token on the calling thread; any number of threads may count at once.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.inner.tokens.count(text)
    }

    /// Totals so far, and what waits now.
    #[must_use]
    pub fn stats(&self) -> EmbedderStats {
        self.inner.counters.read(self.inner.queries.taken(), self.inner.documents.taken())
    }

    /// Gives up what waits, and returns when the threads have ended their last batch, in well under a second. Call
    /// it before the process exits: the runtime must not be unloaded under a running model.
    pub async fn close(&self) {
        self.inner.queue.close();
        let handles = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(|| handles.into_iter().for_each(|handle| drop(handle.join())));
        // Workers catch panics, so there is nothing to learn from how they ended.
        drop(joined.await);
    }
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder")
            .field("model", &self.inner.info.name)
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn embed(&self, admission: &Admission, texts: Vec<String>, progress: impl Fn(usize)) -> Result<Vec<Vec<f32>>, EmbedError> {
        let total = texts.len();
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        let mut collected = Collected {
            vectors: vec![None; total],
            done: 0,
        };
        {
            let admit = admission.admit(&self.queue, texts, sender);
            tokio::pin!(admit);
            // Vectors arrive while later texts still wait for a place.
            let mut buffer = Vec::new();
            let mut admitting = true;
            while collected.done < total {
                tokio::select! {
                    admitted = &mut admit, if admitting => {
                        admitted?;
                        admitting = false;
                    }
                    received = outcomes.recv_many(&mut buffer, DOCUMENT_WINDOW) => {
                        if received == 0 {
                            return Err(EmbedError::Closed);
                        }
                        for outcome in buffer.drain(..) {
                            collected.take(outcome?);
                        }
                        progress(collected.done);
                    }
                }
            }
        }
        // Each text settles once, so all of them are there.
        collected.vectors.into_iter().collect::<Option<Vec<_>>>().ok_or(EmbedError::Closed)
    }
}

/// The vectors that have arrived.
struct Collected {
    vectors: Vec<Option<Vec<f32>>>,
    done: usize,
}

impl Collected {
    fn take(&mut self, (place, vector): (usize, Vec<f32>)) {
        if let Some(slot) = self.vectors.get_mut(place)
            && slot.replace(vector).is_none()
        {
            self.done += 1;
        }
    }
}

impl Admission {
    /// Puts the texts into the queue window by window, as places become free.
    async fn admit(&self, queue: &Queue, texts: Vec<String>, sender: UnboundedSender<Outcome>) -> Result<(), EmbedError> {
        let mut texts = texts.into_iter().enumerate();
        loop {
            let window = texts.len().min(self.window);
            // The window is bounded by the queue's capacity, 2^20 at most.
            let Ok(places @ 1..) = u32::try_from(window) else {
                return Ok(());
            };
            let acquired = tokio::time::timeout(self.wait, Arc::clone(&self.places).acquire_many_owned(places)).await;
            let mut permits = match acquired {
                Ok(Ok(permits)) => permits,
                Ok(Err(_)) => return Err(EmbedError::Closed),
                Err(_) => return Err(EmbedError::Busy { waited: self.wait }),
            };
            let admitted: Vec<Text> = texts
                .by_ref()
                .take(window)
                .filter_map(|(place, text)| {
                    let permit = permits.split(1)?;
                    Some(Text {
                        text,
                        ticket: Ticket {
                            place,
                            outcomes: sender.clone(),
                            _permit: permit,
                        },
                    })
                })
                .collect();
            queue.push(self.lane, admitted);
        }
    }

    fn taken(&self) -> usize {
        self.capacity.saturating_sub(self.places.available_permits())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_that_stays_full_turns_texts_away() {
        // Nobody serves this queue.
        let queue = Queue::new(8, 8);
        let places = Arc::new(Semaphore::new(2));
        let wait = Duration::from_millis(1);
        let admission = Admission {
            lane: Lane::Queries,
            places,
            capacity: 2,
            window: 2,
            wait,
        };
        let (sender, outcomes) = mpsc::unbounded_channel();
        let texts = vec!["one".to_owned(), "two".to_owned(), "three".to_owned()];
        let error = admission
            .admit(&queue, texts, sender)
            .await
            .expect_err("there are two places for three texts");
        assert_eq!((error.code(), error.recoverable()), ("SERVICE_UNAVAILABLE", true));
        assert_eq!(admission.taken(), 2);
        queue.close();
        assert_eq!(admission.taken(), 0, "what was dropped gives its places back");
        assert!(outcomes.is_closed() || outcomes.is_empty());
    }
}
