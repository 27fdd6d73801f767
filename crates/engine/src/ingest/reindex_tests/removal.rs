//! The removal of generations that queries see no more.

use super::{others, with_documents};
use crate::ReindexScope;
use crate::fakes::ingest::TestIngest;
use ibid_catalog::ReindexStatus;
use ibid_index::VectorIndex;

/// Waits until a re-index has swapped its generation.
async fn swapped(test: &TestIngest) {
    while test.reindex_status().await == ReindexStatus::Running {
        tokio::task::yield_now().await;
    }
}

async fn has_generation(test: &TestIngest, generation: u32) -> bool {
    test.test
        .index
        .collections()
        .await
        .expect("collections")
        .contains(&test.key(generation))
}

#[tokio::test]
async fn the_old_generation_is_removed_with_its_chunks() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.reindex(ReindexScope::Embed).await;
    assert!(!has_generation(&test, 0).await);
    assert!(has_generation(&test, 1).await);
    let chunks = test.test.store.catalog.chunks(&documents[0].id, 0, 0, 10).await;
    assert!(chunks.expect("read").is_empty());
    assert!(test.test.store.leases.take(&test.key(0)).is_none(), "nobody may begin to use it");
}

#[tokio::test]
async fn a_generation_stays_while_a_query_uses_it() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let lease = test.test.store.leases.take(&test.key(0)).expect("a lease");
    test.begin_reindex(ReindexScope::Embed).await;
    swapped(&test).await;
    while test.test.store.leases.take(&test.key(0)).is_some() {
        tokio::task::yield_now().await;
    }
    others().await;
    assert!(has_generation(&test, 0).await);
    drop(lease);
    test.idle().await;
    assert!(!has_generation(&test, 0).await);
}

#[tokio::test]
async fn a_generation_stays_while_a_backup_is_made() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let backup = test.test.store.backing_up.clone().acquire_owned().await.expect("a permit");
    test.begin_reindex(ReindexScope::Embed).await;
    swapped(&test).await;
    while test.test.store.leases.take(&test.key(0)).is_some() {
        tokio::task::yield_now().await;
    }
    others().await;
    assert!(has_generation(&test, 0).await);
    drop(backup);
    test.idle().await;
    assert!(!has_generation(&test, 0).await);
}

#[tokio::test]
async fn a_server_that_stops_leaves_the_removal_to_the_next_start() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let _lease = test.test.store.leases.take(&test.key(0)).expect("a lease");
    test.begin_reindex(ReindexScope::Embed).await;
    swapped(&test).await;
    test.test.lifecycle.stop().await;
    assert!(has_generation(&test, 0).await);
    test.reindexer.resume_all().await.expect("resumed");
    let chunks = test.test.store.catalog.chunks(&documents[0].id, 0, 0, 10).await;
    assert!(chunks.expect("read").is_empty(), "the start sweeps the chunks");
}

#[tokio::test]
async fn texts_stay_where_none_was_made_again() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.reindex(ReindexScope::Chunk).await;
    assert_eq!(
        test.test.store.files.documents().await.expect("texts"),
        std::slice::from_ref(&documents[0].id)
    );
}
