//! Searches and their options.

use super::*;
use crate::fakes::faults::Fault;
use ibid_protocol::{SearchRequest, SearchResponse};
use serde_json::Value;

/// Three chunks, of which the first two are close to each other.
const CHUNKS: [(&str, f32); 3] = [("alpha ", 1.0), ("beta ", 0.9), ("gamma ", 0.5)];

fn request(options: Value) -> SearchRequest {
    let mut request = json!({ "query": "alpha", "search_type": "semantic" });
    let fields = request.as_object_mut().unwrap();
    fields.extend(options.as_object().unwrap().clone());
    serde_json::from_value(request).unwrap()
}

async fn search(options: Value) -> SearchResponse {
    let (test, _) = TestQueries::with(&CHUNKS, |_| {}).await;
    test.queries.search(request(options), &Subject::anyone()).await.unwrap()
}

fn texts(response: &SearchResponse) -> Vec<&str> {
    response.results.iter().map(|hit| hit.content.as_str()).collect()
}

#[tokio::test]
async fn results_come_by_relevance_with_their_ranks() {
    let found = search(json!({})).await;
    assert_eq!(texts(&found), ["alpha ", "beta ", "gamma "]);
    let ranks: Vec<u32> = found.results.iter().map(|hit| hit.rank).collect();
    assert_eq!((ranks, found.total_results, found.reranked), (vec![1, 2, 3], 3, false));
    assert_eq!(found.results[0].highlight.len(), 1);
}

#[tokio::test]
async fn a_limit_cuts_the_results() {
    assert_eq!(texts(&search(json!({ "limit": 2 })).await), ["alpha ", "beta "]);
}

#[tokio::test]
async fn an_offset_skips_results_and_counts_their_ranks() {
    let found = search(json!({ "limit": 1, "offset": 1 })).await;
    assert_eq!((texts(&found), found.results[0].rank), (vec!["beta "], 2));
}

#[tokio::test]
async fn an_offset_beyond_the_results_finds_nothing() {
    assert!(search(json!({ "offset": 3 })).await.results.is_empty());
}

#[tokio::test]
async fn results_below_the_score_threshold_are_left_out() {
    assert_eq!(texts(&search(json!({ "score_threshold": 0.85 })).await), ["alpha ", "beta "]);
}

#[tokio::test]
async fn a_relative_threshold_leaves_out_the_rest_and_joins_neighbours() {
    assert_eq!(
        texts(&search(json!({ "relative_threshold": 0.4 })).await),
        ["alpha beta ", "gamma "]
    );
    assert_eq!(texts(&search(json!({ "relative_threshold": 0.7 })).await), ["alpha beta "]);
}

#[tokio::test]
async fn the_pipelines_relative_threshold_is_for_hybrid_searches() {
    assert_eq!(texts(&search(json!({ "search_type": "hybrid" })).await), ["alpha beta "]);
    assert_eq!(texts(&search(json!({ "mode": "balanced" })).await).len(), 3);
}

#[tokio::test]
async fn the_requests_relative_threshold_overrides_the_pipelines() {
    let options = json!({ "search_type": "hybrid", "relative_threshold": 0.0 });
    assert_eq!(texts(&search(options).await), ["alpha ", "beta ", "gamma "]);
}

#[tokio::test]
async fn further_pages_of_a_hybrid_search_leave_nothing_out() {
    let options = json!({ "search_type": "hybrid", "offset": 1 });
    assert_eq!(texts(&search(options).await), ["beta ", "gamma "]);
}

#[tokio::test]
async fn in_speed_nothing_is_left_out() {
    assert_eq!(search(json!({ "search_type": "hybrid", "mode": "speed" })).await.results.len(), 3);
}

#[tokio::test]
async fn a_reranker_orders_results_if_it_is_asked_for() {
    let (test, pipeline) = TestQueries::with(&CHUNKS, |pipeline| {
        pipeline.settings.reranker = Some(super::failures::reranker());
        pipeline.scores = Some(Ok(vec![0.1, 0.2, 0.3]));
    })
    .await;
    let found = test.queries.search(request(json!({})), &Subject::anyone()).await.unwrap();
    assert_eq!((texts(&found), found.reranked), (vec!["gamma ", "beta ", "alpha "], true));
    let found = test
        .queries
        .search(request(json!({ "rerank": false })), &Subject::anyone())
        .await
        .unwrap();
    assert_eq!((texts(&found), found.reranked), (vec!["alpha ", "beta ", "gamma "], false));
    assert_eq!(pipeline.faults.count("score"), 1);
}

#[tokio::test]
async fn a_search_without_its_reranker_says_so() {
    let (test, pipeline) = TestQueries::with(&CHUNKS, |pipeline| {
        pipeline.settings.reranker = Some(super::failures::reranker());
        pipeline.scores = Some(Ok(vec![0.1, 0.2, 0.3]));
    })
    .await;
    pipeline.faults.plan("score", [Fault::Damaged]);
    let found = test.queries.search(request(json!({})), &Subject::anyone()).await.unwrap();
    assert_eq!((texts(&found)[0], found.reranked, found.warnings.len()), ("alpha ", false, 1));
}

#[tokio::test]
async fn a_threshold_is_of_the_rerankers_scores_where_one_orders() {
    let (test, _) = TestQueries::with(&CHUNKS, |pipeline| {
        pipeline.settings.reranker = Some(super::failures::reranker());
        pipeline.scores = Some(Ok(vec![0.1, 0.2, 0.3]));
    })
    .await;
    let wanted = request(json!({ "score_threshold": 0.25 }));
    let found = test.queries.search(wanted, &Subject::anyone()).await.unwrap();
    assert_eq!(texts(&found), ["gamma "]);
}

#[tokio::test]
async fn documents_that_are_not_live_are_not_found() {
    let (test, _) = TestQueries::with(&CHUNKS, |_| {}).await;
    let key = ibid_index::CollectionKey::of_generation(&test.collection.id, 0).unwrap();
    let document = test.test.index.stored(&key)[0].0.clone();
    let begun = test.test.store.catalog.begin_delete(&document).await;
    assert!(begun.is_ok());
    let found = test.queries.search(request(json!({})), &Subject::anyone()).await.unwrap();
    assert!(found.results.is_empty(), "{:?}", texts(&found));
}

#[tokio::test]
async fn a_search_in_a_collection_that_the_subject_does_not_see_is_not_found() {
    let (test, _) = TestQueries::with(&CHUNKS, |_| {}).await;
    let error = test.queries.search(request(json!({})), &Subject::nobody()).await.unwrap_err();
    assert_eq!(
        (error.code, test.pipelines.faults.count("find")),
        (ErrorCode::CollectionNotFound, 0)
    );
}

#[tokio::test]
async fn a_search_waits_for_its_turn_as_queries_do() {
    let (test, _) = TestQueries::with(&CHUNKS, |_| {}).await;
    let running = test.queries.permits.admit().await.unwrap();
    let queries = test.queries.clone();
    let waiting = tokio::spawn(async move { queries.search(request(json!({})), &Subject::anyone()).await });
    settle().await;
    assert!(!waiting.is_finished());
    drop(running);
    assert_eq!(waiting.await.unwrap().unwrap().results.len(), 3);
}

#[tokio::test]
async fn a_failed_search_names_its_stage_and_gives_its_turn_back() {
    let (test, _) = TestQueries::with(&CHUNKS, |_| {}).await;
    test.test.index.faults.plan("search", [Fault::Outage]);
    let error = test.queries.search(request(json!({})), &Subject::anyone()).await.unwrap_err();
    assert_eq!(error.details["stage"], "document_retrieval");
    assert!(test.is_idle().await);
}

#[tokio::test]
async fn a_search_keeps_its_turn_to_its_end() {
    let (test, pipeline) = TestQueries::with(&CHUNKS, |_| {}).await;
    let gate = test.test.index.faults.gate("search");
    let queries = test.queries.clone();
    let searching = tokio::spawn(async move { queries.search(request(json!({})), &Subject::anyone()).await });
    test.test.index.faults.begun("search", 1).await;
    let mut second = test.ask(question());
    settle().await;
    assert_eq!(pipeline.faults.count("analyze"), 1, "the query waits");
    gate.open();
    assert_eq!(searching.await.unwrap().unwrap().results.len(), 3);
    completed(&rest(&mut second).await);
}
