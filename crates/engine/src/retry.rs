//! Trying again what failed for a reason that may pass: one policy for documents, re-indexes and moves.

use crate::clock::Clock;
use crate::error::PipelineError;
use crate::store::disk::Disk;
use std::sync::Arc;
use std::time::Duration;

/// The pause after the first failure.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause of work that waits for a server or a disk.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Tries of a step that failed for a reason that may pass.
pub(crate) const MAX_TRIES: u32 = 6;

/// Why something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A server is away. It is waited for, however long that takes: that is nothing the work did.
    Outage,
    /// The disk is full or read-only. It is waited for likewise.
    Disk,
    /// A failure that may pass; one of few tries.
    Transient,
}

/// Decides after each failure of one piece of work whether it is tried again, and waits until then.
#[derive(Debug)]
pub(crate) struct Retry {
    backoff: Backoff,
    tries: u32,
}

impl Retry {
    /// The policy for one piece of work, at its first try.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            backoff: Backoff::new(clock, FIRST_PAUSE, LONGEST_PAUSE),
            tries: 1,
        }
    }

    /// Waits and returns why the work is to be tried again, or returns an error that is final.
    ///
    /// # Errors
    /// `error` itself: for a failure that does not pass, or that has come too often.
    pub async fn after(&mut self, error: PipelineError, disk: &Disk) -> Result<Reason, PipelineError> {
        match self.after_outage(error, disk).await {
            Ok(reason) => Ok(reason),
            Err(error) => self.after_transient(error).await,
        }
    }

    /// As [`after`](Self::after), for outages and the disk alone.
    ///
    /// # Errors
    /// Any other failure.
    pub async fn after_outage(&mut self, error: PipelineError, disk: &Disk) -> Result<Reason, PipelineError> {
        if error.is_outage() {
            tracing::warn!(%error, pause = ?self.backoff.next(), "a server is away: trying again");
            self.backoff.wait().await;
            return Ok(Reason::Outage);
        }
        if disk.explains(&error).await.is_some() {
            tracing::warn!(%error, "the disk cannot be written: waiting for it");
            // The disk may look writable and the same error come again.
            self.backoff.wait().await;
            disk.wait_until_writable().await;
            return Ok(Reason::Disk);
        }
        Err(error)
    }

    /// As [`after`](Self::after), for failures that may pass alone.
    ///
    /// # Errors
    /// A failure that does not pass, or the last of [`MAX_TRIES`].
    pub async fn after_transient(&mut self, error: PipelineError) -> Result<Reason, PipelineError> {
        if !error.is_transient() || self.tries >= MAX_TRIES {
            return Err(error);
        }
        self.tries += 1;
        tracing::warn!(%error, pause = ?self.backoff.next(), "trying again");
        self.backoff.wait().await;
        Ok(Reason::Transient)
    }
}

/// Exponential backoff: each pause is twice as long as the one before, up to a longest.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    clock: Arc<dyn Clock>,
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses of `first`, twice that, and so on, none longer than `longest`.
    pub fn new(clock: Arc<dyn Clock>, first: Duration, longest: Duration) -> Self {
        Self {
            clock,
            first,
            next: first.min(longest),
            longest,
        }
    }

    /// Returns the length of the next pause without waiting for it.
    pub fn next(&self) -> Duration {
        self.next
    }

    /// Waits for the next pause; the one after it is longer.
    pub async fn wait(&mut self) {
        let pause = self.next;
        self.next = self.next.saturating_mul(2).min(self.longest);
        self.clock.sleep(pause).await;
    }

    /// Begins again with the first pause, after a success.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::clock::FakeClock;
    use ibid_protocol::{ApiError, ErrorCode};
    use ibid_system::disk::DiskGuard;

    fn backoff(first: u64, longest: u64) -> (Arc<FakeClock>, Backoff) {
        let clock = Arc::new(FakeClock::skipping());
        let backoff = Backoff::new(clock.clone(), Duration::from_millis(first), Duration::from_millis(longest));
        (clock, backoff)
    }

    #[tokio::test]
    async fn pauses_double_up_to_the_longest_and_begin_again_after_a_reset() {
        let (clock, mut backoff) = backoff(500, 3_000);
        for _ in 0..5 {
            backoff.wait().await;
        }
        backoff.reset();
        backoff.wait().await;
        assert_eq!(clock.slept(), [500, 1_000, 2_000, 3_000, 3_000, 500].map(Duration::from_millis));
    }

    #[test]
    fn a_first_pause_is_never_longer_than_the_longest() {
        assert_eq!(backoff(9_000, 1_000).1.next(), Duration::from_secs(1));
    }

    fn disk() -> (tempfile::TempDir, Disk) {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::new(DiskGuard::new(directory.path(), 0));
        (directory, disk)
    }

    #[tokio::test]
    async fn a_failure_that_does_not_pass_is_final_at_once() {
        let (clock, (_directory, disk)) = (Arc::new(FakeClock::skipping()), disk());
        let error = ApiError::new(ErrorCode::ProcessingError, "it holds no text");
        let outcome = Retry::new(clock.clone()).after(error.into(), &disk).await;
        assert!(outcome.is_err());
        assert!(clock.slept().is_empty(), "nobody waits for it");
    }

    fn outage() -> PipelineError {
        ibid_index::IndexError::Unavailable {
            outage: ibid_index::Outage::Unreachable,
            cause: "planned".into(),
        }
        .into()
    }

    #[tokio::test]
    async fn an_outage_is_waited_for_without_an_end() {
        let (clock, (_directory, disk)) = (Arc::new(FakeClock::skipping()), disk());
        let mut retry = Retry::new(clock.clone());
        for _ in 0..100 {
            assert_eq!(retry.after(outage(), &disk).await.expect("another try"), Reason::Outage);
        }
        assert_eq!(clock.slept().last(), Some(&LONGEST_PAUSE));
    }

    #[tokio::test]
    async fn a_full_disk_is_waited_for_until_it_is_writable() {
        let (clock, (_directory, disk)) = (Arc::new(FakeClock::skipping()), disk());
        let disk = Arc::new(disk);
        let waiting = tokio::spawn({
            let (disk, clock) = (disk.clone(), clock.clone());
            async move {
                let error = PipelineError::from(ibid_system::disk::DiskError::Full);
                Retry::new(clock).after(error, &disk).await.expect("another try")
            }
        });
        while clock.slept().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the disk is still full");
        disk.recovered();
        assert_eq!(waiting.await.expect("no panic"), Reason::Disk);
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_tried_a_few_times() {
        let (clock, (_directory, disk)) = (Arc::new(FakeClock::skipping()), disk());
        let mut retry = Retry::new(clock.clone());
        let busy = || PipelineError::from(ibid_embed::EmbedError::Busy { waited: Duration::ZERO });
        assert!(busy().is_transient());
        let mut tries = 1;
        while let Ok(reason) = retry.after(busy(), &disk).await {
            assert_eq!(reason, Reason::Transient);
            tries += 1;
        }
        assert_eq!(tries, MAX_TRIES);
        assert_eq!(clock.slept().len() as u32, MAX_TRIES - 1);
    }
}
