//! The sessions of uploads whose bytes are still coming.
//!
//! A session has one owner at a time: the connection that claimed it last. A task that works with the bytes takes them out of the session
//! and puts them back, so that no lock is held while the disk works. A later connection becomes the owner at once, and waits until the
//! bytes are back. So a connection that was lost unnoticed never keeps a client from its upload.

use crate::ingest::reporter::{Pace, Reporter};
use ibid_catalog as catalog;
use ibid_files::Staging;
use ibid_protocol::{ApiError, ErrorCode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// How long a claim waits for the task that has the bytes: a write to a busy disk.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);

/// The client's options for an upload, which the catalog keeps for when it is resumed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct UploadOptions {
    /// Whether the bytes stay when the connection is lost.
    pub resumable: bool,
    /// The client's metadata of the document.
    pub metadata: BTreeMap<String, String>,
    /// Size of the document's chunks, where it differs from the collection's.
    pub chunk_size: Option<u64>,
    /// Overlap of the document's chunks, likewise.
    pub chunk_overlap: Option<u64>,
    /// tus's `Upload-Metadata`, returned as the client sent it.
    pub tus_metadata: Option<String>,
}

impl UploadOptions {
    /// Reads the options of an upload; the defaults where they cannot be read.
    pub fn of(record: &catalog::Upload) -> Self {
        Self::deserialize(&record.options).unwrap_or_default()
    }
}

/// Uploads whose bytes are still coming, by identifier.
#[derive(Default)]
pub(crate) struct UploadSessions(Mutex<HashMap<String, Arc<UploadSession>>>);

impl UploadSessions {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<UploadSession>>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<UploadSession>> {
        self.lock().get(id).cloned()
    }

    pub(super) fn resumable(&self) -> usize {
        self.lock().values().filter(|session| session.resumable).count()
    }
}

/// An upload whose bytes are still coming, whether or not a connection is open.
pub(super) struct UploadSession {
    pub reporter: Reporter,
    pub resumable: bool,
    /// The file's size in bytes, where the client sent it.
    pub size: Option<u64>,
    /// Bytes that have been received.
    pub received: AtomicU64,
    pub announced: AtomicBool,
    announced_size: AtomicU64,
    ownership: Mutex<Ownership>,
    /// Notified when bytes are put back.
    back: Notify,
}

/// Who may write to an upload, and where its bytes are.
pub(super) struct Ownership {
    /// Rises with every claim; only the newest owner may write.
    owner: u64,
    pub state: UploadState,
    /// When the upload was last claimed, written to or suspended.
    pub touched: Instant,
}

/// Where an upload's bytes are.
pub(super) enum UploadState {
    /// In the session: the owner may take them.
    Open(Box<Receiving>),
    /// Taken by a task that works with them and puts them back.
    Taken,
    /// On disk, until a client resumes the upload.
    Suspended,
    /// The upload has become a document, or nothing.
    Ended,
}

/// The staged bytes of an upload, and what the document is made from.
pub(super) struct Receiving {
    pub staging: Box<dyn Staging>,
    pub record: catalog::Upload,
    pub metadata: BTreeMap<String, String>,
    pub permit: OwnedSemaphorePermit,
    /// Bytes that are recorded as durable.
    pub durable: u64,
}

impl UploadSession {
    pub(super) fn new(reporter: Reporter, resumable: bool, size: Option<u64>, received: u64, state: UploadState) -> Arc<Self> {
        Arc::new(Self {
            reporter,
            resumable,
            size,
            received: AtomicU64::new(received),
            announced: AtomicBool::new(false),
            announced_size: AtomicU64::new(0),
            ownership: Mutex::new(Ownership {
                owner: 0,
                state,
                touched: Instant::now(),
            }),
            back: Notify::new(),
        })
    }

    pub(super) fn ownership(&self) -> MutexGuard<'_, Ownership> {
        self.ownership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Takes the bytes out of the session, if `owner` still owns it.
    ///
    /// # Errors
    /// `CONFLICT` if another connection owns it by now, or it has ended.
    pub(super) fn take(self: &Arc<Self>, owner: u64) -> Result<TakenBytes, ApiError> {
        let mut owned = self.ownership();
        if owned.owner != owner {
            return Err(taken_over());
        }
        match std::mem::replace(&mut owned.state, UploadState::Taken) {
            UploadState::Open(receiving) => Ok(TakenBytes {
                session: self.clone(),
                receiving: Some(receiving),
                ended: false,
            }),
            other => {
                owned.state = other;
                Err(ended())
            }
        }
    }

    /// Makes the caller the owner, waits until no task has the bytes, and takes them. A suspended upload has none open.
    ///
    /// # Errors
    /// `CONFLICT` if it has ended, or was claimed again meanwhile; `SERVICE_UNAVAILABLE` if the bytes are not put back in time.
    pub(super) async fn claim(self: &Arc<Self>) -> Result<(u64, TakenBytes), ApiError> {
        let owner = {
            let mut owned = self.ownership();
            owned.owner += 1;
            owned.owner
        };
        let claimed = async {
            loop {
                let back = self.back.notified();
                tokio::pin!(back);
                back.as_mut().enable();
                {
                    let mut owned = self.ownership();
                    if owned.owner != owner {
                        return Err(taken_over());
                    }
                    let receiving = match std::mem::replace(&mut owned.state, UploadState::Taken) {
                        UploadState::Open(receiving) => Some(Some(receiving)),
                        UploadState::Suspended => Some(None),
                        UploadState::Taken => None,
                        UploadState::Ended => {
                            owned.state = UploadState::Ended;
                            return Err(ended());
                        }
                    };
                    if let Some(receiving) = receiving {
                        let taken = TakenBytes {
                            session: self.clone(),
                            receiving,
                            ended: false,
                        };
                        return Ok((owner, taken));
                    }
                }
                back.await;
            }
        };
        tokio::time::timeout(CLAIM_TIMEOUT, claimed)
            .await
            .map_err(|_| ApiError::new(ErrorCode::ServiceUnavailable, "the upload is being written to: try again"))?
    }

    /// Makes the caller the owner of an upload that has been suspended for `expiry`; returns `None` for any other.
    pub(super) fn claim_expired(self: &Arc<Self>, expiry: Duration) -> Option<TakenBytes> {
        let mut owned = self.ownership();
        if !matches!(owned.state, UploadState::Suspended) || owned.touched.elapsed() < expiry {
            return None;
        }
        owned.owner += 1;
        owned.state = UploadState::Taken;
        Some(TakenBytes {
            session: self.clone(),
            receiving: None,
            ended: false,
        })
    }

    /// Publishes that the upload began, once.
    pub(super) fn announce(&self, pace: &Pace, size: u64, exact: bool) {
        if !self.announced.swap(true, Ordering::AcqRel) {
            self.announced_size.store(size, Ordering::Release);
            self.reporter.begun(size, exact, pace);
        }
    }

    /// Returns the file's size as far as it is known: never less than what has been received.
    pub(super) fn total(&self) -> u64 {
        let known = self.size.unwrap_or_else(|| self.announced_size.load(Ordering::Acquire));
        known.max(self.received())
    }
}

/// An upload's bytes, taken out of their session. Dropping this puts them back.
pub(super) struct TakenBytes {
    pub session: Arc<UploadSession>,
    /// `None` where the upload is suspended, or its bytes are used up.
    pub receiving: Option<Box<Receiving>>,
    /// Whether the upload has ended: then nothing is put back.
    pub ended: bool,
}

impl Drop for TakenBytes {
    fn drop(&mut self) {
        let state = match self.receiving.take() {
            _ if self.ended => UploadState::Ended,
            Some(receiving) => UploadState::Open(receiving),
            None => UploadState::Suspended,
        };
        let mut owned = self.session.ownership();
        owned.state = state;
        owned.touched = Instant::now();
        drop(owned);
        self.session.back.notify_waiters();
    }
}

/// The error of an upload that has ended.
pub(super) fn ended() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "the upload has ended")
}

fn taken_over() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "the upload was cancelled, or goes on over another connection")
}
