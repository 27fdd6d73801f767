//! The time that each stage of a query may take.

use crate::clock::Clock;
use crate::error::PipelineError;
use crate::tuning::Tuned;
use ibid_protocol::{ApiError, ErrorCode};
use std::sync::Arc;
use std::time::Duration;

/// Ends stages that take longer than a query may.
#[derive(Clone)]
pub(crate) struct StageTimeout {
    pub tuned: Arc<Tuned>,
    pub clock: Arc<dyn Clock>,
}

impl StageTimeout {
    /// Runs a stage.
    ///
    /// # Errors
    /// The stage's own, or `TIMEOUT_ERROR`; both name the stage.
    pub async fn run<T>(&self, stage: &str, work: impl Future<Output = Result<T, PipelineError>>) -> Result<T, ApiError> {
        self.limit(stage, work).await?.map_err(|error| error.to_api_error(stage))
    }

    /// Waits for what a stage gives next.
    ///
    /// # Errors
    /// `TIMEOUT_ERROR`, which names the stage.
    pub async fn limit<T>(&self, stage: &str, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let time = self.tuned.query_timeout();
        self.within(time, work).await.ok_or_else(|| {
            let seconds = time.as_secs();
            ApiError::new(ErrorCode::TimeoutError, format!("the query took longer than {seconds} s")).with("stage", stage)
        })
    }

    /// Returns what `work` gives; `None` if it takes longer than `time`.
    pub async fn within<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = work => Some(result),
            () = self.clock.sleep(time) => None,
        }
    }
}
