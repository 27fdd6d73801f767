//! Tests of the admission of queries.

use super::*;
use crate::fakes::clock::FakeClock;
use crate::fakes::query::tuned;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

struct Test {
    clock: Arc<FakeClock>,
    lifecycle: Lifecycle,
    permits: QueryPermits,
}

/// The queries wait ten seconds at most.
fn permits(running: usize, waiting: usize) -> Test {
    let clock = Arc::new(FakeClock::standing());
    let lifecycle = Lifecycle::with_clock(clock.clone());
    Test {
        permits: QueryPermits::new(running, waiting, tuned(Duration::from_secs(10)), lifecycle.clone()),
        clock,
        lifecycle,
    }
}

/// Lets a future go as far as it can.
async fn poll<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn assert_refused(outcome: Result<QueryPermit<'_>, ApiError>) {
    let error = outcome.err().expect("a refusal");
    assert_eq!(
        (error.code, &error.details["retry_after"]),
        (ErrorCode::ServiceUnavailable, &1.into())
    );
}

/// Lets spawned tasks go as far as they can.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn as_many_queries_run_at_once_as_are_allowed() {
    let test = permits(2, 0);
    let _first = test.permits.admit().await.unwrap();
    let _second = test.permits.admit().await.unwrap();
    assert_refused(test.permits.admit().await);
}

#[tokio::test]
async fn at_least_one_query_runs() {
    let test = permits(0, 0);
    let first = test.permits.admit().await.unwrap();
    assert_refused(test.permits.admit().await);
    drop(first);
    test.permits.tune(0);
    assert!(test.permits.admit().await.is_ok());
}

#[tokio::test]
async fn one_query_more_waits_until_another_has_ended() {
    let test = permits(1, 1);
    let first = test.permits.admit().await.unwrap();
    let mut second = pin!(test.permits.admit());
    assert!(poll(&mut second).await.is_none(), "it waits");
    drop(first);
    assert!(poll(&mut second).await.expect("its turn").is_ok());
}

#[tokio::test]
async fn queries_get_their_turn_in_the_order_of_their_arrival() {
    let test = permits(1, 2);
    let first = test.permits.admit().await.unwrap();
    let (mut second, mut third) = (pin!(test.permits.admit()), pin!(test.permits.admit()));
    assert!(poll(&mut second).await.is_none());
    assert!(poll(&mut third).await.is_none());
    drop(first);
    assert!(poll(&mut third).await.is_none(), "the second comes first");
    assert!(poll(&mut second).await.expect("its turn").is_ok());
}

#[tokio::test]
async fn a_query_is_refused_at_once_when_too_many_wait() {
    let test = permits(1, 1);
    let _first = test.permits.admit().await.unwrap();
    let mut second = pin!(test.permits.admit());
    assert!(poll(&mut second).await.is_none());
    assert_refused(test.permits.admit().await);
}

#[tokio::test]
async fn waiting_ends_with_the_query_timeout() {
    let test = permits(1, 1);
    let _first = test.permits.admit().await.unwrap();
    let mut second = pin!(test.permits.admit());
    assert!(poll(&mut second).await.is_none());
    test.clock.advance(Duration::from_secs(9));
    assert!(poll(&mut second).await.is_none(), "a second is left");
    test.clock.advance(Duration::from_secs(1));
    assert_refused(poll(&mut second).await.expect("an end"));
}

#[tokio::test]
async fn a_query_that_waited_too_long_leaves_its_place_in_the_queue() {
    let test = permits(1, 1);
    let _first = test.permits.admit().await.unwrap();
    {
        let mut second = pin!(test.permits.admit());
        assert!(poll(&mut second).await.is_none());
        test.clock.advance(Duration::from_secs(10));
        assert_refused(poll(&mut second).await.expect("an end"));
    }
    let mut third = pin!(test.permits.admit());
    assert!(poll(&mut third).await.is_none(), "it waits, and is not refused");
}

#[tokio::test]
async fn a_cancelled_waiter_gives_its_turn_and_its_place_to_others() {
    let test = permits(1, 1);
    let first = test.permits.admit().await.unwrap();
    {
        let mut cancelled = pin!(test.permits.admit());
        assert!(poll(&mut cancelled).await.is_none());
    }
    let mut next = pin!(test.permits.admit());
    assert!(poll(&mut next).await.is_none(), "there is a place to wait");
    drop(first);
    assert!(poll(&mut next).await.expect("its turn").is_ok());
}

#[tokio::test]
async fn a_waiter_that_is_cancelled_after_its_turn_came_passes_it_on() {
    let test = permits(1, 2);
    let first = test.permits.admit().await.unwrap();
    let mut next = pin!(test.permits.admit());
    {
        let mut cancelled = pin!(test.permits.admit());
        assert!(poll(&mut cancelled).await.is_none());
        assert!(poll(&mut next).await.is_none());
        // The turn is given to the one that never asks for it again.
        drop(first);
    }
    assert!(poll(&mut next).await.expect("its turn").is_ok());
}

#[tokio::test]
async fn a_raised_limit_lets_a_waiting_query_run() {
    let test = permits(1, 1);
    let _first = test.permits.admit().await.unwrap();
    let mut second = pin!(test.permits.admit());
    assert!(poll(&mut second).await.is_none());
    test.permits.tune(2);
    let _second = poll(&mut second).await.expect("its turn").unwrap();
    let mut third = pin!(test.permits.admit());
    assert!(poll(&mut third).await.is_none(), "two run and no more");
}

#[tokio::test]
async fn a_lowered_limit_holds_when_the_queries_above_it_have_ended() {
    let test = permits(2, 1);
    let first = test.permits.admit().await.unwrap();
    let second = test.permits.admit().await.unwrap();
    test.permits.tune(1);
    settle().await;
    drop(first);
    settle().await;
    let mut third = pin!(test.permits.admit());
    assert!(poll(&mut third).await.is_none(), "one still runs, which is as many as may");
    drop(second);
    let _third = poll(&mut third).await.expect("its turn").unwrap();
    assert!(test.permits.running.try_acquire().is_err());
}

#[tokio::test]
async fn a_limit_that_is_lowered_and_raised_again_is_as_it_was() {
    let test = permits(2, 0);
    let first = test.permits.admit().await.unwrap();
    let second = test.permits.admit().await.unwrap();
    test.permits.tune(1);
    settle().await;
    test.permits.tune(2);
    settle().await;
    assert_refused(test.permits.admit().await);
    drop((first, second));
    settle().await;
    let _first = test.permits.admit().await.unwrap();
    let _second = test.permits.admit().await.unwrap();
    assert_refused(test.permits.admit().await);
}

#[tokio::test]
async fn the_same_limit_again_changes_nothing() {
    let test = permits(1, 0);
    test.permits.tune(1);
    settle().await;
    let _first = test.permits.admit().await.unwrap();
    assert_refused(test.permits.admit().await);
}

#[tokio::test]
async fn a_limit_that_waits_to_be_lowered_does_not_hold_up_the_shutdown() {
    let test = permits(2, 0);
    let _first = test.permits.admit().await.unwrap();
    let _second = test.permits.admit().await.unwrap();
    test.permits.tune(1);
    settle().await;
    test.lifecycle.stop().await;
    assert!(test.lifecycle.tasks.is_empty());
}
