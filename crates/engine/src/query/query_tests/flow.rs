//! What a query tells, in its order.

use super::*;
use crate::fakes::query::{Step, search_for};
use ibid_protocol::Mode;
use std::time::Instant;

#[tokio::test]
async fn a_query_tells_its_stages_its_tokens_with_their_citation_and_one_end() {
    let (test, _) = TestQueries::with(&[("alpha beta", 1.0)], |_| {}).await;
    let events = test.events(question()).await;
    let expected = [
        "status AnalyzingQuery",
        "status RetrievingDocuments",
        "status GeneratingResponse",
        "token \"Found\"",
        "citation alph",
        "token \" it.\"",
        "token \"[1]\" last",
        "complete Completed",
    ];
    assert_eq!(names(&events), expected);
}

#[tokio::test]
async fn the_end_tells_what_made_the_answer() {
    let (test, _) = TestQueries::with(&[("alpha beta", 1.0)], |_| {}).await;
    let events = test.events(question()).await;
    let complete = completed(&events);
    assert_eq!((complete.tokens_generated, complete.sources_used), (3, 1));
    assert_eq!(complete.query_analysis.intent, "definition");
    assert_eq!(complete.pipeline, Some(json!({ "model": "fake" })));
    assert_eq!(complete.generator.as_ref().map(|generator| generator.kind.as_str()), Some("fake"));
    assert_eq!(complete.response, None, "the tokens had it");
    let stages: Vec<&str> = complete.timings.keys().map(String::as_str).collect();
    assert_eq!(stages, ["analysis", "embedding", "generation", "reading", "retrieval"]);
}

#[tokio::test]
async fn an_answer_at_once_has_text_and_sources() {
    let (test, _) = TestQueries::with(&[("alpha beta", 1.0)], |_| {}).await;
    let answer = test.queries.answer(question(), &Subject::anyone()).await.unwrap();
    assert_eq!(answer.response, "Found it.[1]");
    assert_eq!(answer.sources.len(), 1);
}

#[tokio::test]
async fn without_sources_there_is_neither_citation_nor_marker() {
    let (test, _) = TestQueries::with(&[("alpha beta", 1.0)], |_| {}).await;
    let options = QueryOptions {
        include_sources: Some(false),
        ..question()
    };
    let answer = test.queries.answer(options, &Subject::anyone()).await.unwrap();
    assert_eq!((answer.response.as_str(), answer.sources.len()), ("Found it.", 0));
}

#[tokio::test]
async fn a_place_that_is_cited_twice_is_one_citation() {
    let (test, _) = TestQueries::with(&[("alpha beta", 1.0)], |pipeline| {
        pipeline.steps = vec![Step::Text("One."), Step::Cite(0, 4), Step::Text(" Two."), Step::Cite(0, 4)];
    })
    .await;
    let answer = test.queries.answer(question(), &Subject::anyone()).await.unwrap();
    assert_eq!((answer.response.as_str(), answer.sources.len()), ("One.[1] Two.[1]", 1));
}

#[tokio::test]
async fn a_quotation_of_what_was_not_found_is_not_passed_on() {
    let (test, _) = TestQueries::with(&[("alpha beta", 1.0)], |pipeline| {
        pipeline.steps = vec![Step::Text("One."), Step::Cite(7, 4), Step::Cite(0, 400)];
    })
    .await;
    let answer = test.queries.answer(question(), &Subject::anyone()).await.unwrap();
    assert_eq!((answer.response.as_str(), answer.sources.len()), ("One.", 0));
}

#[tokio::test]
async fn what_to_ask_is_checked_before_anything_begins() {
    let test = TestQueries::open().await;
    let options = QueryOptions {
        query: Some("  ".to_owned()),
        ..QueryOptions::default()
    };
    let error = test.queries.query(options, &Subject::anyone()).err().unwrap();
    assert_eq!(error.code, ErrorCode::ValidationError);
    assert!(test.queries.lifecycle.tasks.is_empty());
}

#[tokio::test]
async fn the_analyzer_receives_mode_collection_and_language() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let options = QueryOptions {
        language: Some("de".to_owned()),
        mode: Some(Mode::Comprehensive),
        ..question()
    };
    completed(&test.events(options).await);
    let calls = pipeline.faults.calls();
    assert_eq!(
        calls[0],
        "analyze What is alpha? mode=comprehensive collection=documents language=de"
    );
}

#[tokio::test]
async fn all_that_the_analyzer_proposes_is_searched() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.plan.searches = vec![search_for("alpha"), search_for("first letter")];
    })
    .await;
    completed(&test.events(question()).await);
    assert!(pipeline.faults.calls().contains(&"embed alpha|first letter".to_owned()));
    assert_eq!(pipeline.requests.lock().unwrap()[0].phrasings, ["first letter"]);
}

#[tokio::test]
async fn in_speed_the_question_alone_is_searched() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.plan.searches = vec![search_for("alpha"), search_for("first letter")];
    })
    .await;
    let options = QueryOptions {
        mode: Some(Mode::Speed),
        ..question()
    };
    completed(&test.events(options).await);
    assert!(pipeline.faults.calls().contains(&"embed What is alpha?".to_owned()));
}

#[tokio::test]
async fn the_generator_gets_as_many_passages_as_the_query_takes() {
    let (test, pipeline) = TestQueries::with(&[("alpha ", 1.0), ("beta ", 0.9), ("gamma ", 0.8)], |_| {}).await;
    let options = QueryOptions {
        max_results: Some(2),
        ..question()
    };
    completed(&test.events(options).await);
    let requests = pipeline.requests.lock().unwrap();
    let texts: Vec<&str> = requests[0].passages.iter().map(|passage| &*passage.text).collect();
    assert_eq!(texts, ["alpha ", "beta "]);
}

#[tokio::test]
async fn a_language_model_gets_neighbours_as_one_passage() {
    let (test, pipeline) = TestQueries::with(&[("alpha ", 1.0), ("beta ", 0.9), ("gamma ", 0.8)], |pipeline| {
        pipeline.language_model = true;
    })
    .await;
    completed(&test.events(question()).await);
    let requests = pipeline.requests.lock().unwrap();
    let texts: Vec<&str> = requests[0].passages.iter().map(|passage| &*passage.text).collect();
    assert_eq!(texts, ["alpha beta gamma "]);
}

#[tokio::test]
async fn the_meter_counts_every_query_and_the_time_of_completed_ones() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.policy.on_failure = crate::spec::OnFailure::Fail;
    })
    .await;
    pipeline.faults.plan("analyze", [crate::fakes::faults::Fault::Damaged]);
    failed(&test.events(question()).await);
    let load = test.queries.meter.load(Instant::now());
    assert_eq!(
        (load.queries_per_minute, load.average_response_time),
        (1, 0.0),
        "a failure is no response"
    );
    completed(&test.events(question()).await);
    let load = test.queries.meter.load(Instant::now());
    assert!(load.queries_per_minute == 2 && load.average_response_time > 0.0, "{load:?}");
}

#[tokio::test]
async fn a_slow_reader_holds_the_generator_and_loses_nothing() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |pipeline| {
        pipeline.steps = vec![Step::Text("x"); 200];
    })
    .await;
    let mut query = test.ask(question());
    pipeline.faults.begun("say", EVENTS_AHEAD).await;
    settle().await;
    let written = pipeline.faults.count("say");
    assert!(written < 2 * EVENTS_AHEAD, "{written} pieces wait for a client that reads none");
    // How long it takes to read is the client's affair.
    test.clock.advance(TIMEOUT * 2);
    let events = rest(&mut query).await;
    assert_eq!(completed(&events).tokens_generated, 200);
}

#[tokio::test]
async fn a_query_keeps_its_turn_to_its_end() {
    let (test, pipeline) = TestQueries::with(&[("alpha", 1.0)], |_| {}).await;
    let gate = pipeline.faults.gate("finish");
    let mut first = test.ask(question());
    pipeline.faults.begun("finish", 1).await;
    let mut second = test.ask(question());
    settle().await;
    assert_eq!(pipeline.faults.count("analyze"), 1, "the second waits");
    gate.open();
    completed(&rest(&mut first).await);
    completed(&rest(&mut second).await);
}
