//! Pipelines without models and plugins.

use super::store::DIMENSION;
use crate::error::PipelineError;
use crate::ingest::uploads::seams::DocumentLocks;
use crate::manage::pipeline_checker::{CheckedPipeline, PipelineChecker};
use crate::spec::{Lock, LockedGenerator, LockedModel, Pipeline};
use ibid_catalog::Collection;
use ibid_protocol::{ApiError, ErrorCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The media type that no extractor of [`FakePipelines`] reads.
pub(crate) const UNREADABLE: &str = "image/png";

/// Pipelines that run, but for those that a test breaks.
#[derive(Default)]
pub(crate) struct FakePipelines {
    broken: Mutex<BTreeSet<String>>,
    forgotten: Mutex<Vec<String>>,
    /// How many calls of `lock_for_upload` find that the collection was re-indexed meanwhile.
    pub moved: AtomicU32,
}

/// Returns the lock of a collection whose vectors have [`DIMENSION`] numbers.
pub(crate) fn lock() -> Value {
    let lock = Lock {
        plugins: BTreeMap::new(),
        model: LockedModel {
            name: "fake".to_owned(),
            sha256: "00".repeat(32),
            dimension: DIMENSION as usize,
        },
        reranker: None,
        generator: LockedGenerator::default(),
        pipeline: Pipeline::default(),
    };
    serde_json::to_value(lock).expect("a lock")
}

impl FakePipelines {
    /// Makes the pipeline of a collection not run.
    pub fn break_collection(&self, name: &str) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// Returns the deleted collections that were forgotten.
    pub fn forgotten(&self) -> Vec<String> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check_name(&self, name: &str) -> Result<(), PipelineError> {
        match self.broken.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
            true => Err(ApiError::validation("pipeline.chunker.plugin", "is not installed").into()),
            false => Ok(()),
        }
    }
}

impl PipelineChecker for FakePipelines {
    fn check(&self, collection: &str, pipeline: Pipeline) -> Result<CheckedPipeline, PipelineError> {
        self.check_name(collection)?;
        Ok(CheckedPipeline {
            pipeline: serde_json::to_value(pipeline).expect("a pipeline"),
            lock: lock(),
        })
    }

    fn check_collection(&self, collection: &Collection) -> Result<(), PipelineError> {
        self.check_name(&collection.name)
    }

    fn default_dimension(&self) -> usize {
        DIMENSION as usize
    }

    fn forget_deleted(&self, collection_id: &str) {
        self.forgotten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(collection_id.to_owned());
    }
}

impl DocumentLocks for FakePipelines {
    fn lock_for_upload(
        &self,
        collection: &Collection,
        content_type: &str,
        chunk_size: Option<u64>,
        chunk_overlap: Option<u64>,
    ) -> Result<Value, PipelineError> {
        if self.moved.load(Ordering::Acquire) > 0 {
            self.moved.fetch_sub(1, Ordering::AcqRel);
            return Err(PipelineError::Moved);
        }
        self.check_name(&collection.name)?;
        if content_type == UNREADABLE {
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "no extractor reads it").into());
        }
        Ok(json!({ "revision": collection.revision, "chunk_size": chunk_size, "chunk_overlap": chunk_overlap }))
    }
}
