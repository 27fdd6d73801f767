//! The embedder's public handle: adds texts to the queue and collects their vectors.

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
    session::Processor,
    stats::Counters,
    tokens::{Input, Tokens},
    worker::Worker,
};

/// How many texts of a lane are sorted by length together. For documents, 256 leaves next to no padding. Queries are few, and must not wait
/// for one another's tokens.
const QUERY_WINDOW: usize = 64;
const DOCUMENT_WINDOW: usize = 256;
const GPU_DOCUMENT_WINDOW: usize = 32;

/// Concurrent runs on each GPU: while one computes, the next one's tokens and the last one's vectors are copied.
pub(super) const GPU_IN_FLIGHT: usize = 2;

/// The settings of the embedder.
#[derive(Clone, Debug)]
pub struct EmbedderSettings {
    /// On the CPU, the texts that are computed at a time; beside GPUs, the threads that tokenise texts. Each takes one core; at least 1.
    /// Default: the cores that this process may use. On a CPU, this many threads compute documents and as many others compute queries.
    /// Threads for documents have a lower priority, so a query does not wait for documents' batches to end.
    pub threads: usize,
    /// The processor that runs the model.
    pub device: Device,
    /// The number format that it computes in.
    pub precision: Precision,
    /// The most texts that wait or are being computed, in each of the two lanes; at least 1.
    pub queue: usize,
    /// The longest time that a query waits for a full queue.
    pub query_wait: Duration,
    /// The longest time that a document's next texts wait for a full queue.
    pub document_wait: Duration,
    /// The most tokens in a batch on the CPU, padding included; a single longer text is a batch of its own.
    pub max_batch_tokens: usize,
    /// The most texts in a batch on the CPU; at least 1.
    pub max_batch_rows: usize,
    /// The most tokens in a batch on a GPU; a single longer text is a batch of its own.
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
            // From 200 to 1,600 tokens, a batch costs the same per token (more costs up to a sixth more). A small batch lets a query start
            // sooner, and stops sooner when its request is dropped.
            max_batch_tokens: 512,
            max_batch_rows: 32,
            // Enough to fill a large GPU, and some 10 ms of a small model's work.
            gpu_batch_tokens: 16_384,
        }
    }
}

impl EmbedderSettings {
    /// Returns the limits of an engine's batches; `longest` is the model's `max_tokens`.
    pub(super) fn limits(&self, engine: &Engine, longest: usize) -> Limits {
        let (step, tokens, rows) = match engine.processor() {
            Processor::Cpu => (batch::STEP, self.max_batch_tokens, self.max_batch_rows.max(1)),
            Processor::Cuda(_) => (batch::GPU_STEP, self.gpu_batch_tokens, usize::MAX),
        };
        Limits {
            padding: engine.pads().then_some(Padding { step, longest }),
            tokens,
            rows,
        }
    }
}

/// Embeds texts with one model. A cheap handle: clones share the model, its queue and its threads, which end when the last clone is
/// dropped.
///
/// On a CPU, a text's vector depends on the text and the model alone, to the last bit, not on what else is being embedded. (Another kind of
/// processor, or another ONNX Runtime, may round differently.) On a GPU the last bits depend on the batch, since libraries choose their
/// kernels by its size.
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

/// The permits of one lane.
struct Admission {
    lane: Lane,
    permits: Arc<Semaphore>,
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

    /// As [`Self::open`], with counters that several embedders share.
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
        let on_gpus = engines.iter().any(|engine| engine.processor() != Processor::Cpu);
        let longest = info.max_tokens;

        // A thread that tokenises for a GPU takes few texts at a time, so that the GPU gets work soon.
        let document_window = if on_gpus { GPU_DOCUMENT_WINDOW } else { DOCUMENT_WINDOW };
        let queue = Arc::new(Queue::new(QUERY_WINDOW, document_window));
        let admission = |lane, window: usize, wait| {
            // Semaphores have a limit of their own, far beyond any sensible queue.
            let capacity = settings.queue.clamp(1, Semaphore::MAX_PERMITS.min(1 << 20));
            Admission {
                lane,
                permits: Arc::new(Semaphore::new(capacity)),
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
                    priority::lower_priority();
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
                // As many for queries as for documents: when there are only queries, they use all cores. The system's scheduler divides the
                // cores among the threads of all models.
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

    /// Returns the device and the precision that the model runs with.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.inner.placement
    }

    /// Returns the model directory.
    pub(super) fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Returns whether this is the only handle.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// Returns whether both are handles of one embedder.
    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Returns the model's description.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// Returns the vector of a query. Queries that wait at the same time are computed together, and before documents. Dropping the future
    /// cancels the query.
    ///
    /// # Errors
    /// [`EmbedError::Busy`] when the queue stays full, [`EmbedError::Compute`], [`EmbedError::Closed`].
    pub async fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let vectors = self.embed_queries(vec![text.to_owned()]).await?;
        vectors.into_iter().next().ok_or(EmbedError::Closed)
    }

    /// Returns the vectors of several queries, in their order. Dropping the future cancels those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_queries(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = prefixed(texts, &self.inner.info.query_prefix);
        self.inner.embed(&self.inner.queries, texts, |_| {}).await
    }

    /// Returns the vectors of passages that a query waits for, such as candidate sentences of an answer, in their order. Dropping the
    /// future cancels those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_passages(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = prefixed(texts, &self.inner.info.document_prefix);
        self.inner.embed(&self.inner.queries, texts, |_| {}).await
    }

    /// Returns the vectors of a document's texts, in their order. Waits while the queue is full, and runs after queries. Calls `progress`
    /// with the number of texts done, from time to time and at the end. Dropping the future cancels those that were not computed yet.
    ///
    /// # Errors
    /// As [`Self::embed_query`]; the first failure fails all.
    pub async fn embed_texts(&self, texts: Vec<String>, progress: impl Fn(usize) + Send + 'static) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = prefixed(texts, &self.inner.info.document_prefix);
        self.inner.embed(&self.inner.documents, texts, progress).await
    }

    /// Returns a reranker's raw scores of passages for a question, in their order; a higher score means a better answer. Dropping the
    /// future cancels those that were not computed yet.
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

    /// Counts the tokens of a text, without special tokens and without the model's limit. Takes about a microsecond per token on the
    /// calling thread; any number of threads may count at once.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.inner.tokens.count(text)
    }

    /// Returns the totals so far, and the current length of the queue.
    #[must_use]
    pub fn stats(&self) -> EmbedderStats {
        self.inner.counters.read(self.inner.queries.taken(), self.inner.documents.taken())
    }

    /// Drops what waits, and returns when the threads have finished their last batch, in well under a second. Call it before the process
    /// exits: the runtime must not be unloaded under a running model.
    pub async fn close(&self) {
        self.inner.queue.close();
        let handles = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(|| handles.into_iter().for_each(|handle| drop(handle.join())));
        // Workers catch panics, so their result holds nothing.
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

/// Puts the prefix that the model was trained with before each text.
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
            // Vectors arrive while later texts still wait for a permit.
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
        // Each text is settled exactly once, so all vectors are there.
        collected.vectors.into_iter().collect::<Option<Vec<_>>>().ok_or(EmbedError::Closed)
    }
}

/// The vectors that have arrived.
struct Collected {
    vectors: Vec<Option<Vec<f32>>>,
    done: usize,
}

impl Collected {
    fn take(&mut self, (position, vector): (usize, Vec<f32>)) {
        if let Some(slot) = self.vectors.get_mut(position)
            && slot.replace(vector).is_none()
        {
            self.done += 1;
        }
    }
}

impl Admission {
    /// Adds the texts to the queue window by window, as permits become free.
    async fn admit(&self, queue: &Queue, texts: Vec<Input>, sender: UnboundedSender<Outcome>) -> Result<(), EmbedError> {
        let mut texts = texts.into_iter().enumerate();
        loop {
            let window = texts.len().min(self.window);
            // The window is bounded by the queue's capacity, 2^20 at most.
            let Ok(permits @ 1..) = u32::try_from(window) else {
                return Ok(());
            };
            let acquired = tokio::time::timeout(self.wait, Arc::clone(&self.permits).acquire_many_owned(permits)).await;
            let mut permits = match acquired {
                Ok(Ok(permits)) => permits,
                Ok(Err(_)) => return Err(EmbedError::Closed),
                Err(_) => return Err(EmbedError::Busy { waited: self.wait }),
            };
            let admitted: Vec<Text> = texts
                .by_ref()
                .take(window)
                .filter_map(|(position, text)| {
                    let permit = permits.split(1)?;
                    Some(Text {
                        text,
                        ticket: Ticket {
                            position,
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
        self.capacity.saturating_sub(self.permits.available_permits())
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
        // No thread serves this queue.
        let queue = Queue::new(8, 8);
        let permits = Arc::new(Semaphore::new(2));
        let wait = Duration::from_millis(1);
        let admission = Admission {
            lane: Lane::Queries,
            permits,
            capacity: 2,
            window: 2,
            wait,
        };
        let (sender, outcomes) = mpsc::unbounded_channel();
        let texts = ["one", "two", "three"].map(|text| text.to_owned().into()).to_vec();
        let error = admission
            .admit(&queue, texts, sender)
            .await
            .expect_err("there are two permits for three texts");
        assert_eq!((error.code(), error.recoverable()), (ErrorCode::ServiceUnavailable, true));
        assert_eq!(admission.taken(), 2);
        queue.close();
        assert_eq!(admission.taken(), 0, "what was dropped gives its permits back");
        assert!(outcomes.is_closed() || outcomes.is_empty());
    }
}
