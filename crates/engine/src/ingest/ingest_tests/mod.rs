//! Tests of ingest: the states of a document, its failures, and what stops it.

mod failures;
mod states;
mod stops;

use crate::fakes::ingest::TestIngest;
use ibid_protocol::{UploadComplete, UploadEvent};

/// Lets the other tasks of the test's thread go on until each waits for something.
async fn others() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Returns the ends of uploads that subscribers received.
fn ends(test: &TestIngest) -> Vec<UploadComplete> {
    let ends = test.notices().into_iter().filter_map(|event| match event {
        UploadEvent::UploadComplete(end) => Some(end),
        _ => None,
    });
    ends.collect()
}

/// Returns the methods of a processor that were called, in order.
fn called(test: &TestIngest) -> Vec<String> {
    let calls = test.processors.faults.calls();
    calls.iter().filter_map(|call| call.split(' ').next()).map(str::to_owned).collect()
}

/// A text of so many lines.
fn lines(count: usize) -> String {
    (0..count).map(|line| format!("line {line}\n")).collect()
}
