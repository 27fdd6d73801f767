//! Stages that fail or take too long.

use super::*;
use crate::fakes::faults::{Fault, Faults};
use crate::fakes::query::Step;
use crate::spec::policy::FailurePolicy;
use crate::spec::{OnFailure, RerankerChoice};
use ibid_protocol::Mode;

/// A reranker that reads the passages of every query.
pub(super) fn reranker() -> RerankerChoice {
    RerankerChoice {
        model: "scorer".to_owned(),
        precision: None,
        modes: vec![Mode::Speed, Mode::Balanced, Mode::Comprehensive],
        top_k: 10,
    }
}

fn policy(on_failure: OnFailure) -> FailurePolicy {
    FailurePolicy {
        on_failure,
        has_fallback: on_failure == OnFailure::Fallback,
    }
}

/// Holds a query at a call until its time is over; returns the error.
async fn too_slow_at(method: &'static str, faults: impl FnOnce(&TestQueries, &FakePipeline) -> Arc<Faults>) -> (ErrorCode, String) {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let faults = faults(&test, &pipeline);
    let _gate = faults.gate(method);
    let mut query = test.ask(question());
    faults.begun(method, 1).await;
    settle().await;
    test.clock.advance(TIMEOUT);
    let outcome = failed(&rest(&mut query).await);
    assert!(test.is_idle().await);
    outcome
}

#[tokio::test]
async fn a_stage_that_takes_too_long_is_named() {
    for (method, stage) in [
        ("analyze", "query_analysis"),
        ("embed", "document_retrieval"),
        ("generate", "response_generation"),
        ("say", "response_generation"),
    ] {
        let outcome = too_slow_at(method, |_, pipeline| pipeline.faults.clone()).await;
        assert_eq!(outcome, (ErrorCode::TimeoutError, stage.to_owned()), "{method}");
    }
    let outcome = too_slow_at("search", |test, _| test.test.index.faults.clone()).await;
    assert_eq!(outcome, (ErrorCode::TimeoutError, "document_retrieval".to_owned()));
}

#[tokio::test]
async fn an_analyzer_that_fails_ends_the_query_where_the_policy_is_to_fail() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    pipeline.faults.plan("analyze", [Fault::Damaged]);
    let outcome = failed(&test.events(question()).await);
    assert_eq!(outcome, (ErrorCode::PluginError, "query_analysis".to_owned()));
    assert_eq!(pipeline.faults.count("embed"), 0);
}

#[tokio::test]
async fn an_analyzer_that_fails_is_skipped_with_a_warning() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| pipeline.policy = policy(OnFailure::Skip)).await;
    pipeline.faults.plan("analyze", [Fault::Damaged]);
    let events = test.events(question()).await;
    let warnings = &completed(&events).warnings;
    assert_eq!(
        (warnings.len(), warnings[0].stage.as_str(), warnings[0].policy.as_str()),
        (1, "analyzer", "skip")
    );
    assert!(pipeline.faults.calls().contains(&"embed What is alpha?".to_owned()));
    assert_eq!(pipeline.faults.count("fallback"), 0);
}

#[tokio::test]
async fn an_analyzer_that_fails_is_replaced_with_a_warning() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| pipeline.policy = policy(OnFailure::Fallback)).await;
    pipeline.faults.plan("analyze", [Fault::Damaged]);
    let events = test.events(question()).await;
    let complete = completed(&events);
    assert_eq!((complete.warnings.len(), complete.warnings[0].policy.as_str()), (1, "fallback"));
    assert_eq!(
        (pipeline.faults.count("fallback"), complete.query_analysis.intent.as_str()),
        (1, "definition")
    );
}

#[tokio::test]
async fn an_analyzer_whose_fallback_fails_ends_the_query() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| pipeline.policy = policy(OnFailure::Fallback)).await;
    pipeline.faults.plan("analyze", [Fault::Damaged]);
    pipeline.faults.plan("fallback", [Fault::Damaged]);
    assert_eq!(failed(&test.events(question()).await).0, ErrorCode::PluginError);
}

#[tokio::test]
async fn an_index_that_is_away_ends_the_query() {
    let (test, _) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    test.test.index.faults.plan("search", [Fault::Outage]);
    assert_eq!(failed(&test.events(question()).await).1, "document_retrieval");
    completed(&test.events(question()).await);
}

#[tokio::test]
async fn the_reranker_orders_the_passages() {
    let (test, pipeline) = TestQueries::with(&[("alpha ", 1.0), ("beta ", 0.9)], |pipeline| {
        pipeline.settings.reranker = Some(reranker());
        pipeline.scores = Some(Ok(vec![0.1, 0.8]));
    })
    .await;
    assert!(completed(&test.events(question()).await).warnings.is_empty());
    let requests = pipeline.requests.lock().unwrap();
    let texts: Vec<&str> = requests[0].passages.iter().map(|passage| &*passage.text).collect();
    assert_eq!(texts, ["beta ", "alpha "]);
}

#[tokio::test]
async fn without_its_reranker_a_query_goes_on_with_a_warning() {
    let (test, pipeline) = TestQueries::with(&[("alpha ", 1.0), ("beta ", 0.9)], |pipeline| {
        pipeline.settings.reranker = Some(reranker());
        pipeline.scores = Some(Ok(vec![0.1, 0.8]));
    })
    .await;
    pipeline.faults.plan("score", [Fault::Damaged]);
    let events = test.events(question()).await;
    let warnings = &completed(&events).warnings;
    assert_eq!(
        (warnings.len(), warnings[0].stage.as_str(), warnings[0].plugin.as_str()),
        (1, "reranker", "scorer")
    );
    let requests = pipeline.requests.lock().unwrap();
    let texts: Vec<&str> = requests[0].passages.iter().map(|passage| &*passage.text).collect();
    assert_eq!(texts, ["alpha ", "beta "], "as they were found");
}

#[tokio::test]
async fn a_reranker_may_take_half_of_the_time_of_a_stage() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.settings.reranker = Some(reranker());
        pipeline.scores = Some(Ok(vec![0.1]));
    })
    .await;
    let _gate = pipeline.faults.gate("score");
    let mut query = test.ask(question());
    pipeline.faults.begun("score", 1).await;
    test.clock.advance(TIMEOUT / 2);
    let events = rest(&mut query).await;
    assert_eq!(completed(&events).warnings[0].reason, "timeout");
}

#[tokio::test]
async fn a_generator_that_fails_is_one_error_after_its_pieces() {
    let (test, _) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.steps = vec![Step::Text("One"), Step::Text(" two"), Step::Fail];
    })
    .await;
    let events = test.events(question()).await;
    assert_eq!(failed(&events).1, "response_generation");
    assert!(names(&events).contains(&"token \"One\"".to_owned()), "{:?}", names(&events));
    assert!(test.is_idle().await);
}

#[tokio::test]
async fn a_formatter_that_fails_at_the_end_is_an_error() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    pipeline.faults.plan("finish", [Fault::Damaged]);
    assert_eq!(
        failed(&test.events(question()).await),
        (ErrorCode::PluginError, "response_generation".to_owned())
    );
}

#[tokio::test]
async fn a_collection_that_the_subject_does_not_see_is_not_found() {
    let (test, _) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let mut query = test.queries.query(question(), &Subject::nobody()).unwrap();
    assert_eq!(failed(&rest(&mut query).await).0, ErrorCode::CollectionNotFound);
    assert_eq!(test.pipelines.faults.count("find"), 0);
}

#[tokio::test]
async fn a_collection_that_is_not_there_is_not_found() {
    let test = TestQueries::open().await;
    let options = QueryOptions {
        collection_name: Some("others".to_owned()),
        ..question()
    };
    assert_eq!(failed(&test.events(options).await).0, ErrorCode::CollectionNotFound);
}

#[tokio::test]
async fn a_query_that_nobody_lets_run_is_refused() {
    let (test, _) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let _running = test.queries.permits.admit().await.unwrap();
    let mut query = test.ask(question());
    query.events.recv().await.unwrap();
    test.clock.advance(TIMEOUT);
    assert_eq!(failed(&rest(&mut query).await).0, ErrorCode::ServiceUnavailable);
}
