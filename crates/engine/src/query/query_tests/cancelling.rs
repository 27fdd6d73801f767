//! Queries that are stopped: by their client, by the shutdown, or because nobody reads.

use super::*;
use crate::fakes::faults::Faults;
use crate::fakes::query::Step;

/// Cancels a query that has come to a call, and holds there.
async fn cancel_at(method: &'static str, faults: impl FnOnce(&TestQueries, &FakePipeline) -> Arc<Faults>) {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.scores = Some(Ok(vec![0.5]));
        pipeline.settings.reranker = Some(super::failures::reranker());
    })
    .await;
    let faults = faults(&test, &pipeline);
    let _gate = faults.gate(method);
    let mut query = test.ask(question());
    faults.begun(method, 1).await;
    query.cancel.cancel();
    let events = rest(&mut query).await;
    assert_eq!(completed(&events).status, CompletionStatus::Cancelled, "at {method}");
    assert!(test.is_idle().await, "after {method}");
}

#[tokio::test]
async fn a_query_can_be_cancelled_at_each_stage() {
    for method in ["analyze", "embed", "score", "start_citations", "generate", "say", "finish"] {
        cancel_at(method, |_, pipeline| pipeline.faults.clone()).await;
    }
    cancel_at("search", |test, _| test.test.index.faults.clone()).await;
}

#[tokio::test]
async fn a_query_can_be_cancelled_while_it_waits_for_its_turn() {
    let (test, _) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let running = test.queries.permits.admit().await.unwrap();
    let mut query = test.ask(question());
    assert_eq!(names(&[query.events.recv().await.unwrap()]), ["status AnalyzingQuery"]);
    query.cancel.cancel();
    assert_eq!(completed(&rest(&mut query).await).status, CompletionStatus::Cancelled);
    drop(running);
    assert!(test.is_idle().await);
}

#[tokio::test]
async fn a_query_whose_handle_is_dropped_ends() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let _gate = pipeline.faults.gate("generate");
    let query = test.ask(question());
    pipeline.faults.begun("generate", 1).await;
    drop(query);
    assert!(test.is_idle().await);
}

#[tokio::test]
async fn a_query_whose_reader_is_gone_stops_its_generator() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.steps = vec![Step::Text("x"); 200];
    })
    .await;
    let QueryHandle {
        events, _cancel_on_drop, ..
    } = test.ask(question());
    pipeline.faults.begun("say", 1).await;
    drop(events);
    assert!(test.is_idle().await);
    assert!(pipeline.faults.count("say") < 200);
}

#[tokio::test]
async fn a_cancelled_query_tells_what_was_known_and_counts_as_no_response() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let _gate = pipeline.faults.gate("generate");
    let mut query = test.ask(question());
    pipeline.faults.begun("generate", 1).await;
    query.cancel.cancel();
    let events = rest(&mut query).await;
    assert_eq!(completed(&events).query_analysis.intent, "definition");
    let load = test.queries.meter.load(std::time::Instant::now());
    assert_eq!((load.queries_per_minute, load.average_response_time), (1, 0.0));
}

#[tokio::test]
async fn the_shutdown_cancels_queries_and_waits_for_their_end() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let _gate = pipeline.faults.gate("generate");
    let mut query = test.ask(question());
    pipeline.faults.begun("generate", 1).await;
    test.queries.lifecycle.stop().await;
    assert_eq!(completed(&rest(&mut query).await).status, CompletionStatus::Cancelled);
}

#[tokio::test]
async fn an_answer_that_the_shutdown_ends_is_to_be_asked_again() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let _gate = pipeline.faults.gate("generate");
    let (queries, options) = (test.queries.clone(), question());
    let answer = tokio::spawn(async move { queries.answer(options, &Subject::anyone()).await });
    pipeline.faults.begun("generate", 1).await;
    test.queries.lifecycle.stop().await;
    assert_eq!(answer.await.unwrap().unwrap_err().code, ErrorCode::ServiceUnavailable);
}
