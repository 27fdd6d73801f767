//! Tests of the registry of jobs.

use super::*;
use tokio::sync::oneshot;

/// Lets the other tasks of the test's thread go on until each waits for something.
async fn others() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_is_known_until_it_is_dropped() {
    let jobs = JobRegistry::default();
    assert!(!jobs.has("a"));
    let job = jobs.begin("a", CancellationToken::new());
    assert!(jobs.has("a") && !jobs.has("b"));
    drop(job);
    assert!(!jobs.has("a"));
}

#[tokio::test]
async fn stopping_cancels_the_job_and_waits_for_its_end() {
    let jobs = Arc::new(JobRegistry::default());
    let job = jobs.begin("a", CancellationToken::new());
    let stopping = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.stop("a").await }
    });
    job.cancel.cancelled().await;
    others().await;
    assert!(!stopping.is_finished(), "the job has not ended");
    drop(job);
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn stopping_waits_for_what_the_job_writes() {
    let jobs = Arc::new(JobRegistry::default());
    let job = jobs.begin("a", CancellationToken::new());
    let (written, writing) = oneshot::channel::<()>();
    job.writes.spawn(writing);
    let stopping = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.stop("a").await }
    });
    job.cancel.cancelled().await;
    drop(job);
    others().await;
    assert!(!stopping.is_finished(), "it still writes");
    written.send(()).expect("a write");
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn stopping_what_does_not_run_returns_at_once() {
    let jobs = JobRegistry::default();
    jobs.stop("a").await;
    jobs.ended("a").await;
}

#[tokio::test]
async fn a_job_that_panics_has_ended() {
    let jobs = Arc::new(JobRegistry::default());
    let job = jobs.begin("a", CancellationToken::new());
    let panicking = tokio::spawn(async move {
        job.cancel.cancelled().await;
        panic!("planned");
    });
    jobs.stop("a").await;
    assert!(!jobs.has("a"));
    assert!(panicking.await.is_err());
}

#[tokio::test]
async fn a_newer_job_of_the_same_object_stays_when_the_older_one_ends() {
    let jobs = JobRegistry::default();
    let older = jobs.begin("a", CancellationToken::new());
    let newer = jobs.begin("a", CancellationToken::new());
    drop(older);
    assert!(jobs.has("a"));
    drop(newer);
    assert!(!jobs.has("a"));
}

#[tokio::test]
async fn waiting_for_the_end_does_not_cancel() {
    let jobs = Arc::new(JobRegistry::default());
    let job = jobs.begin("a", CancellationToken::new());
    let waiting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.ended("a").await }
    });
    others().await;
    assert!(!job.cancel.is_cancelled() && !waiting.is_finished());
    drop(job);
    waiting.await.expect("ended");
}
