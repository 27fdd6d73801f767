//! The model alone, without queue and tokenizer: what the embedder's own cost is measured against.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    EmbedError, EmbedderSettings, ModelInfo, Placement, Runtime,
    batch::{Limits, divide},
    device::{self, Sessions},
    embedder::GPU_IN_FLIGHT,
    model::{TOKENIZER_FILE, verify},
    session::{Place, Rows, SharedSession},
    tokens::Tokens,
};

/// A model whose batches are made beforehand, and run in a loop that does nothing else.
pub struct Bare {
    info: ModelInfo,
    placement: Placement,
    tokens: Tokens,
    sessions: Vec<SharedSession>,
    limits: Limits,
}

/// A batch that is ready to be run.
pub struct Prepared {
    length: usize,
    texts: Vec<Vec<u32>>,
}

impl Bare {
    /// Opens a model as [`super::Embedder::open`] does. Blocks.
    ///
    /// # Errors
    /// As [`super::Embedder::open`].
    pub fn open(runtime: &Runtime, model_dir: &Path, settings: &EmbedderSettings) -> Result<Self, EmbedError> {
        let info = ModelInfo::read(model_dir)?;
        let tokenizer = model_dir.join(TOKENIZER_FILE);
        verify(&tokenizer, &info.tokenizer_sha256)?;
        let tokens = Tokens::read(&tokenizer, &info)?;
        let Sessions { sessions, placement } = device::open(runtime, model_dir, &info, settings.device, settings.precision)?;
        let on_gpus = sessions.iter().any(|session| session.place() != Place::Cpu);
        let limits = settings.limits(on_gpus, info.max_tokens);
        Ok(Self {
            info,
            placement,
            tokens,
            sessions,
            limits,
        })
    }

    /// Where and in which numbers the model runs.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Tokens that are read of a text, special ones included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.info.max_tokens
    }

    /// As [`super::Embedder::count_tokens`].
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.tokens.count(text)
    }

    /// Tokenises texts, and divides them into the batches that the embedder would make of them.
    ///
    /// # Errors
    /// [`EmbedError::Compute`] for a text that the tokenizer cannot read.
    pub fn prepare(&self, texts: &[String]) -> Result<Vec<Prepared>, EmbedError> {
        let ids = texts.iter().map(|text| self.tokens.ids(text)).collect::<Result<Vec<_>, _>>()?;
        if !self.sessions.iter().all(SharedSession::is_packed) {
            let prepared = divide(ids, self.limits).into_iter().map(|batch| Prepared {
                length: batch.length,
                texts: batch.rows,
            });
            return Ok(prepared.collect());
        }
        let mut batches: Vec<Prepared> = Vec::new();
        let mut tokens = 0;
        for ids in ids {
            tokens += ids.len();
            match batches.last_mut() {
                Some(batch) if tokens <= self.limits.tokens => batch.texts.push(ids),
                _ => {
                    tokens = ids.len();
                    batches.push(Prepared {
                        length: 0,
                        texts: vec![ids],
                    });
                }
            }
        }
        Ok(batches)
    }

    /// Runs batches: on the CPU one after the other on this thread, on GPUs as many at a time as the embedder does.
    ///
    /// # Errors
    /// [`EmbedError::Compute`].
    pub fn run(&self, batches: &[Prepared]) -> Result<(), EmbedError> {
        let run = |session: &SharedSession, batch: &Prepared| {
            if session.is_packed() {
                let texts: Vec<&[u32]> = batch.texts.iter().map(Vec::as_slice).collect();
                return session.run_packed(&texts).map(drop);
            }
            session.run(padded(batch)).map(drop)
        };
        if let [session] = self.sessions.as_slice()
            && session.place() == Place::Cpu
        {
            return batches.iter().try_for_each(|batch| run(session, batch));
        }
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let lanes = self.sessions.iter().flat_map(|session| [session; GPU_IN_FLIGHT]);
            let handles: Vec<_> = lanes
                .map(|session| {
                    scope.spawn(|| {
                        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                            run(session, batch)?;
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

fn padded(batch: &Prepared) -> Rows {
    let rows = super::batch::Batch {
        length: batch.length,
        rows: batch.texts.iter().map(Vec::as_slice).collect::<Vec<&[u32]>>(),
    };
    rows.to_rows()
}
