//! The embedder's public handle: admits texts to the queue and collects their vectors.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{
    Semaphore,
    mpsc::{self, UnboundedSender},
};

use super::{
    Device, EmbedError, EmbedderStats, ModelInfo, Placement, Precision, Runtime,
    batch::{self, Limits, Padding},
    device::{self, Engines},
    engine::Engine,
    model::{TOKENIZER_FILE, verify},
    priority,
    queue::{Lane, Outcome, Queue, Role, Text, Ticket},
    session::Place,
    stats::Counters,
    tokens::{Input, Tokens},
    worker::Worker,
};

/// Texts that are sorted by length together, per lane. For documents, 256 leaves next to no padding; queries
/// are few, and should not wait for one another's tokens.
const QUERY_WINDOW: usize = 64;
const DOCUMENT_WINDOW: usize = 256;
const GPU_DOCUMENT_WINDOW: usize = 32;

/// Runs at a time on each GPU: while one computes, the next one's tokens are copied there, and the last one's vectors
/// back.
pub(super) const GPU_IN_FLIGHT: usize = 2;

/// How the embedder uses the machine.
#[derive(Clone, Debug)]
pub struct EmbedderSettings {
    /// Texts that are computed at a time, or beside GPUs threads that read texts, each on one core; at least 1. Default: the cores
    /// this process may use. On a CPU so many threads compute documents and as many others queries, to which the first give
    /// way: a query does not wait for documents' batches to end.
    pub threads: usize,
    /// The processor that runs the model.
    pub device: Device,
    /// The numbers that it computes in.
    pub precision: Precision,
    /// Texts that may wait or be computed, in each of the two lanes; at least 1.
    pub queue: usize,
    /// How long a query waits for a place in a full queue.
    pub query_wait: Duration,
    /// How long a document's next texts wait for a place in a full queue.
    pub document_wait: Duration,
    /// Tokens in a batch on the CPU, padding included; a single longer text is a batch of its own.
    pub max_batch_tokens: usize,
    /// Texts in a batch on the CPU; at least 1.
    pub max_batch_rows: usize,
    /// Tokens in a batch on a GPU; a single longer text is a batch of its own.
    pub gpu_batch_tokens: usize,
}

impl Default for EmbedderSettings {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            device: Device::default(),
            precision: Precision::default(),
            queue: 1024,
            query_wait: Duration::from_secs(10),
            // A large upload ahead of this one is no reason to fail it.
            document_wait: Duration::from_secs(600),
            // From 200 to 1,600 tokens a batch costs the same per token (more costs up to a sixth more); a small one
            // lets a query in sooner, and stops sooner when it is given up.
            max_batch_tokens: 512,
            max_batch_rows: 32,
            // Enough for a large GPU to fill, and some 10 ms of a small model's work.
            gpu_batch_tokens: 16_384,
        }
    }
}

impl EmbedderSettings {
    /// The bounds of an engine's batches; `longest` is the model's `max_tokens`.
    pub(super) fn limits(&self, engine: &Engine, longest: usize) -> Limits {
        let (step, tokens, rows) = match engine.place() {
            Place::Cpu => (batch::STEP, self.max_batch_tokens, self.max_batch_rows.max(1)),
            Place::Cuda(_) => (batch::GPU_STEP, self.gpu_batch_tokens, usize::MAX),
        };
        Limits {
            padding: engine.pads().then_some(Padding { step, longest }),
            tokens,
            rows,
        }
    }
}

/// Embeds texts with one model. A cheap handle: clones share the model, its queue and its threads, which end
/// when the last one is dropped.
///
/// On a CPU, a text's vector depends on the text and the model alone, to the last bit, not on what else is being
/// embedded. (Another kind of processor, or another ONNX Runtime, may round differently.) On a GPU the last bits depend
/// on the batch: libraries choose their kernels by its size.
#[derive(Clone)]
pub struct Embedder {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModelInfo,
    directory: PathBuf,
    placement: Placement,
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
        Self::open_counted(runtime, model_dir, settings, Arc::default())
    }

    /// The same, of which others count into the same totals.
    pub(super) fn open_counted(
        runtime: &Runtime,
        model_dir: &Path,
        settings: EmbedderSettings,
        counters: Arc<Counters>,
    ) -> Result<Self, EmbedError> {
        let info = ModelInfo::read(model_dir)?;
        let tokenizer = model_dir.join(TOKENIZER_FILE);
        verify(&tokenizer, &info.tokenizer_sha256)?;
        let tokens = Arc::new(Tokens::read(&tokenizer, &info)?);
        let Engines { engines, placement } = device::open(runtime, model_dir, &info, settings.device, settings.precision, device::fastest)?;
        let on_gpus = engines.iter().any(|engine| engine.place() != Place::Cpu);
        let longest = info.max_tokens;

        // A thread that reads for a GPU takes few texts at a time, so that the GPU gets some soon.
        let document_window = if on_gpus { GPU_DOCUMENT_WINDOW } else { DOCUMENT_WINDOW };
        let queue = Arc::new(Queue::new(QUERY_WINDOW, document_window));
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
                directory: model_dir.to_owned(),
                placement,
                tokens: Arc::clone(&tokens),
                queue: Arc::clone(&queue),
                counters: Arc::clone(&counters),
                queries: admission(Lane::Queries, QUERY_WINDOW, settings.query_wait),
                documents: admission(Lane::Documents, DOCUMENT_WINDOW, settings.document_wait),
                threads: Mutex::default(),
            }),
        };
        let workers: Vec<Arc<Worker>> = engines
            .into_iter()
            .map(|engine| {
                Arc::new(Worker {
                    queue: Arc::clone(&queue),
                    limits: settings.limits(&engine, longest),
                    engine: Arc::new(engine),
                    tokens: Arc::clone(&tokens),
                    counters: Arc::clone(&counters),
                })
            })
            .collect();
        embedder
            .start(&workers, settings.threads.max(1), on_gpus)
            .map_err(EmbedError::compute)?;
        Ok(embedder)
    }

    fn start(&self, workers: &[Arc<Worker>], threads: usize, on_gpus: bool) -> std::io::Result<()> {
        let mut handles = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = |name: String, worker: &Arc<Worker>, lanes: &'static [Lane], role: Role| {
            let worker = Arc::clone(worker);
            let serve = move || {
                if lanes == DOCUMENTS {
                    priority::give_way();
                }
                worker.serve(lanes, role);
            };
            handles.push(thread::Builder::new().name(name).spawn(serve)?);
            Ok::<_, std::io::Error>(())
        };
        const QUERIES: &[Lane] = &[Lane::Queries];
        const DOCUMENTS: &[Lane] = &[Lane::Documents];
        const BOTH: &[Lane] = &[Lane::Queries, Lane::Documents];
        for (index, worker) in (0..threads).zip(workers.iter().cycle()) {
            if on_gpus {
                start(format!("embed-read-{index}"), worker, BOTH, Role::Read)?;
            } else {
                // As many for queries as for documents: while there are queries alone, they have all cores. Whose turn it is, the
                // system decides, over the threads of all models.
                start(format!("embed-query-{index}"), worker, QUERIES, Role::Both)?;
                start(format!("embed-doc-{index}"), worker, DOCUMENTS, Role::Both)?;
            }
        }
        for (gpu, worker) in workers.iter().enumerate().filter(|_| on_gpus) {
            let tokens = worker.limits.tokens;
            for flight in 0..GPU_IN_FLIGHT {
                start(format!("embed-gpu{gpu}-{flight}"), worker, BOTH, Role::Run { tokens })?;
            }
        }
        Ok(())
    }

    /// Where and in which numbers the model runs.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.inner.placement
    }

    /// The model directory.
    pub(super) fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Whether this is the only handle.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// Whether both are handles of one embedder.
    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
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
        let vectors = self.embed_queries(vec![text.to_owned()]).await?;
        vectors.into_iter().next().ok_or(EmbedError::Closed)
    }

    /// The vectors of several queries, in their order. Dropping the future gives up those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_queries(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = prefixed(texts, &self.inner.info.query_prefix);
        self.inner.embed(&self.inner.queries, texts, |_| {}).await
    }

    /// The vectors of passages that a query waits for, such as candidate sentences of an answer; in their order.
    /// Dropping the future gives up those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_passages(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = prefixed(texts, &self.inner.info.document_prefix);
        self.inner.embed(&self.inner.queries, texts, |_| {}).await
    }

    /// The vectors of a document's texts, in their order. Waits while the queue is full, and computes after
    /// queries. `progress` is called with the number of texts done, now and then and at the end.
    /// Dropping the future gives up those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_texts(&self, texts: Vec<String>, progress: impl Fn(usize) + Send + 'static) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = prefixed(texts, &self.inner.info.document_prefix);
        self.inner.embed(&self.inner.documents, texts, progress).await
    }

    /// What a reranker makes of passages for a question: a number for each, higher where it answers better, in their order. Dropping
    /// the future gives up those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub(super) async fn score(&self, question: &str, passages: Vec<String>) -> Result<Vec<f32>, EmbedError> {
        let question: Arc<str> = question.into();
        let pair = |passage| Input::Pair {
            question: Arc::clone(&question),
            passage,
        };
        let pairs = passages.into_iter().map(pair).collect();
        let scores = self.inner.embed(&self.inner.queries, pairs, |_| {}).await?;
        Ok(scores.into_iter().flatten().collect())
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

/// What the model was trained to see before a text, put there.
fn prefixed(mut texts: Vec<String>, prefix: &str) -> Vec<Input> {
    if !prefix.is_empty() {
        texts.iter_mut().for_each(|text| text.insert_str(0, prefix));
    }
    texts.into_iter().map(Input::from).collect()
}

impl Inner {
    async fn embed(&self, admission: &Admission, texts: Vec<Input>, progress: impl Fn(usize)) -> Result<Vec<Vec<f32>>, EmbedError> {
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
    async fn admit(&self, queue: &Queue, texts: Vec<Input>, sender: UnboundedSender<Outcome>) -> Result<(), EmbedError> {
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
    use ibid_types::ErrorCode;

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
        let texts = ["one", "two", "three"].map(|text| text.to_owned().into()).to_vec();
        let error = admission
            .admit(&queue, texts, sender)
            .await
            .expect_err("there are two places for three texts");
        assert_eq!((error.code(), error.recoverable()), (ErrorCode::ServiceUnavailable, true));
        assert_eq!(admission.taken(), 2);
        queue.close();
        assert_eq!(admission.taken(), 0, "what was dropped gives its places back");
        assert!(outcomes.is_closed() || outcomes.is_empty());
    }
}
