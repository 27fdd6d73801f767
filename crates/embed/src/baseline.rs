//! Runs a model in ONNX Runtime without the embedder's queue and tokenizer, as the baseline of benchmarks.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    EmbedError, EmbedderSettings, ModelInfo, Placement, Runtime,
    batch::{Batch, Limits, divide},
    device::{self, Engines},
    embedder::GPU_IN_FLIGHT,
    engine::Engine,
    model::{TOKENIZER_FILE, verify},
    session::Processor,
    tokens::Tokens,
};

/// A model that runs batches that were prepared before, in a loop that does nothing else.
pub struct Baseline {
    info: ModelInfo,
    placement: Placement,
    tokens: Tokens,
    engines: Vec<Engine>,
    limits: Limits,
}

/// A batch that is ready to run.
pub struct Prepared(Batch<Vec<u32>>);

impl Baseline {
    /// Opens a model as [`super::Embedder::open`] does. Blocks.
    ///
    /// # Errors
    /// As [`super::Embedder::open`].
    pub fn open(runtime: &Runtime, model_dir: &Path, settings: &EmbedderSettings) -> Result<Self, EmbedError> {
        let info = ModelInfo::read(model_dir)?;
        let tokenizer = model_dir.join(TOKENIZER_FILE);
        verify(&tokenizer, &info.tokenizer_sha256)?;
        let tokens = Tokens::read(&tokenizer, &info)?;
        let Engines { engines, placement } = device::open(runtime, model_dir, &info, settings.device, settings.precision, device::onnx)?;
        let limits = engines.first().map(|engine| settings.limits(engine, info.max_tokens));
        let limits = limits.ok_or_else(|| EmbedError::compute("there is nothing to compute with"))?;
        Ok(Self {
            info,
            placement,
            tokens,
            engines,
            limits,
        })
    }

    /// Returns the device and the precision that the model runs with.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Returns how many tokens of a text the model reads, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.info.max_tokens
    }

    /// Counts tokens as [`super::Embedder::count_tokens`] does.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.tokens.count(text)
    }

    /// Tokenises texts, and divides them into the batches that the embedder would make.
    ///
    /// # Errors
    /// [`EmbedError::Compute`] for a text that the tokenizer cannot read.
    pub fn prepare(&self, texts: &[String]) -> Result<Vec<Prepared>, EmbedError> {
        let ids = texts.iter().map(|text| self.tokens.ids(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(divide(ids, self.limits).into_iter().map(Prepared).collect())
    }

    /// Runs batches: on the CPU one after the other on this thread, on GPUs as many at a time as the embedder runs.
    ///
    /// # Errors
    /// [`EmbedError::Compute`].
    pub fn run(&self, batches: &[Prepared]) -> Result<(), EmbedError> {
        let run = |engine: &Engine, batch: &Prepared| engine.run(&batch.0).map(drop);
        if let [engine] = self.engines.as_slice()
            && engine.processor() == Processor::Cpu
        {
            return batches.iter().try_for_each(|batch| run(engine, batch));
        }
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let lanes = self.engines.iter().flat_map(|engine| [engine; GPU_IN_FLIGHT]);
            let handles: Vec<_> = lanes
                .map(|engine| {
                    scope.spawn(|| {
                        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                            run(engine, batch)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            handles.into_iter().try_for_each(|handle| {
                let panicked = |_| Err(EmbedError::compute("a library panicked"));
                handle.join().unwrap_or_else(panicked)
            })
        })
    }
}
