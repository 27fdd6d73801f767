//! Tests of queries and searches, over a real catalog and files, an index in memory, and a pipeline that does what a test says.

mod cancelling;
mod failures;
mod flow;
mod searching;

use super::*;
use crate::fakes::clock::FakeClock;
use crate::fakes::query::{FakePipeline, FakePipelines, add_document, tuned};
use crate::fakes::store::TestStore;
use crate::peers::Alone;
use crate::query::profile_cache::KnownProfiles;
use crate::store::jobs::Jobs;
use ibid_catalog::Collection;
use ibid_protocol::Complete;
use serde_json::json;
use std::sync::PoisonError;
use std::time::Duration;

/// How long a stage may take.
const TIMEOUT: Duration = Duration::from_secs(10);

struct TestQueries {
    test: TestStore,
    clock: Arc<FakeClock>,
    collection: Collection,
    pipelines: Arc<FakePipelines>,
    queries: Arc<Queries>,
}

impl TestQueries {
    /// Queries over the collection `documents`, one at a time.
    async fn open() -> Self {
        let test = TestStore::open().await;
        let collection = test.collection("documents", json!({})).await;
        let clock = Arc::new(FakeClock::standing());
        let lifecycle = Lifecycle::with_clock(clock.clone());
        let pipelines = Arc::new(FakePipelines::default());
        let tuned = tuned(TIMEOUT);
        let queries = Arc::new(Queries {
            store: test.store.clone(),
            pipelines: pipelines.clone(),
            profiles: Arc::new(ProfileCache {
                store: test.store.clone(),
                known: KnownProfiles::default(),
            }),
            documents: Arc::new(Documents {
                store: test.store.clone(),
                peers: Arc::new(Alone),
                jobs: Arc::new(Jobs::default()),
                lifecycle: lifecycle.clone(),
            }),
            permits: Arc::new(QueryPermits::new(1, 1, tuned.clone(), lifecycle.clone())),
            timeout: StageTimeout {
                tuned,
                clock: clock.clone(),
            },
            lifecycle,
            default_collection: "documents".to_owned(),
            meter: QueryMeter::default(),
        });
        Self {
            test,
            clock,
            collection,
            pipelines,
            queries,
        }
    }

    /// The same, with a pipeline and a document of these chunks.
    async fn with(chunks: &[(&str, f32)], change: impl FnOnce(&mut FakePipeline)) -> (Self, Arc<FakePipeline>) {
        let test = Self::open().await;
        add_document(&test.test, &test.collection, "a.txt", chunks).await;
        let pipeline = test.pipeline(change);
        (test, pipeline)
    }

    /// Gives the collection a pipeline.
    fn pipeline(&self, change: impl FnOnce(&mut FakePipeline)) -> Arc<FakePipeline> {
        let mut pipeline = FakePipeline::new(&self.collection.id, &self.collection.name);
        change(&mut pipeline);
        let pipeline = Arc::new(pipeline);
        let mut pipelines = self.pipelines.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.push(pipeline.clone());
        pipeline
    }

    fn ask(&self, options: QueryOptions) -> QueryHandle {
        self.queries.query(options, &Subject::anyone()).unwrap()
    }

    /// Asks a question, and returns everything that happens.
    async fn events(&self, options: QueryOptions) -> Vec<QueryEvent> {
        rest(&mut self.ask(options)).await
    }

    /// Whether another query would run at once.
    async fn is_idle(&self) -> bool {
        self.queries.lifecycle.tasks.close();
        self.queries.lifecycle.tasks.wait().await;
        let mut admission = std::pin::pin!(self.queries.permits.admit());
        std::future::poll_fn(|context| std::task::Poll::Ready(admission.as_mut().poll(context).is_ready())).await
    }
}

/// The question of most tests.
fn question() -> QueryOptions {
    QueryOptions {
        query: Some("What is alpha?".to_owned()),
        ..QueryOptions::default()
    }
}

/// Reads a query's events to the end of the channel.
async fn rest(query: &mut QueryHandle) -> Vec<QueryEvent> {
    let mut events = Vec::new();
    while let Some(event) = query.events.recv().await {
        events.push(event);
    }
    events
}

/// Events as short names, in order.
fn names(events: &[QueryEvent]) -> Vec<String> {
    let name = |event: &QueryEvent| match event {
        QueryEvent::Status(status) => format!("status {:?}", status.stage),
        QueryEvent::Token(token) => format!("token {:?}{}", token.content, if token.is_complete { " last" } else { "" }),
        QueryEvent::Citation(citation) => format!("citation {}", citation.content),
        QueryEvent::Complete(complete) => format!("complete {:?}", complete.status),
        QueryEvent::Error(error) => format!("error {:?}", error.code),
    };
    events.iter().map(name).collect()
}

/// The end of a query, which must be the only one, and the last event.
fn completed(events: &[QueryEvent]) -> &Complete {
    let ends = |event: &&QueryEvent| matches!(event, QueryEvent::Complete(_) | QueryEvent::Error(_));
    assert_eq!(events.iter().filter(ends).count(), 1, "{:?}", names(events));
    match events.last() {
        Some(QueryEvent::Complete(complete)) => complete,
        _ => panic!("no completion: {:?}", names(events)),
    }
}

/// The error that a query ends with: its code, and the stage that it names.
fn failed(events: &[QueryEvent]) -> (ErrorCode, String) {
    let ends = |event: &&QueryEvent| matches!(event, QueryEvent::Complete(_) | QueryEvent::Error(_));
    assert_eq!(events.iter().filter(ends).count(), 1, "{:?}", names(events));
    match events.last() {
        Some(QueryEvent::Error(error)) => (error.code, error.details["stage"].as_str().unwrap_or_default().to_owned()),
        _ => panic!("no error: {:?}", names(events)),
    }
}

/// Lets spawned tasks go as far as they can.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}
