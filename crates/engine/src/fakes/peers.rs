//! Other servers that record what is asked of them.

use super::faults::Faults;
use crate::error::PipelineError;
use crate::peers::{Peers, Stop};
use async_trait::async_trait;
use ibid_catalog::Upload;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The other servers of a test: none, or some that share the catalog.
#[derive(Default)]
pub(crate) struct FakePeers {
    shared: bool,
    stops: Mutex<Vec<Stop>>,
    uploads: Mutex<HashMap<String, Upload>>,
    /// The calls, the failures planned for them, and the gates that hold them.
    pub faults: Faults,
}

impl FakePeers {
    /// Servers that share the catalog.
    pub fn sharing() -> Self {
        Self {
            shared: true,
            ..Self::default()
        }
    }

    /// Returns what the other servers were asked to stop, in order.
    pub fn stops(&self) -> Vec<Stop> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes another server have an upload, until it is taken.
    pub fn hold_upload(&self, upload: Upload) {
        self.uploads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(upload.id.clone(), upload);
    }
}

#[async_trait]
impl Peers for FakePeers {
    fn is_shared(&self) -> bool {
        self.shared
    }

    async fn stop(&self, stop: Stop) -> Result<(), PipelineError> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).push(stop);
        match self.faults.call("stop", "").await {
            None => Ok(()),
            Some(_) => Err(PipelineError::Abandoned),
        }
    }

    async fn wait_for_queries(&self, _longest: Duration) {}

    async fn take_upload(&self, id: &str) -> Result<Option<Upload>, PipelineError> {
        let upload = self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if upload.is_some() {
            self.stop(Stop::Upload(id.to_owned())).await?;
        }
        Ok(upload)
    }

    async fn share_plugin(&self, _added: Option<(&str, &[u8])>, _removed: Option<&str>) -> Result<(), PipelineError> {
        Ok(())
    }

    async fn leave(&self) {}
}
