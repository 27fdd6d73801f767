//! Tests of re-indexing: what is made again, the swap, what ends it, and what is removed after it.

mod ends;
mod removal;
mod scopes;
mod swap;

use crate::fakes::ingest::TestIngest;
use ibid_catalog::DocumentRecord;

/// Lets the other tasks of the test's thread go on until each waits for something.
async fn others() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Services with live documents, each of two lines.
async fn with_documents(names: &[&str]) -> (TestIngest, Vec<DocumentRecord>) {
    let test = TestIngest::open().await;
    let mut documents = Vec::new();
    for name in names {
        documents.push(test.live(name, &format!("one of {name}\ntwo of {name}\n")).await);
    }
    (test, documents)
}

/// Returns how many texts were embedded.
fn embedded(test: &TestIngest) -> usize {
    let calls = test.processors.faults.calls();
    let counts = calls.iter().filter_map(|call| call.strip_prefix("embed "));
    counts.filter_map(|count| count.parse::<usize>().ok()).sum()
}
