//! The bounded log: order, filters, gaps, and no word of other collections.

use super::{TestCatalog, collection};
use crate::NewEvent;
use ibid_types::ErrorCode;
use serde_json::json;

#[tokio::test]
async fn events_are_numbered_filtered_and_bounded() {
    let catalog = TestCatalog::with_events(10).await;
    let (a, b) = (collection(&catalog, "a").await, collection(&catalog, "b").await);
    let (only_a, only_b) = (["a".to_owned()], ["b".to_owned()]);
    let start = catalog.events_since(0, None, 100).await.unwrap();
    assert_eq!((start.events.len(), start.missed, start.last_seq), (2, 0, 2));

    for n in 0..6 {
        for of in [&a, &b] {
            catalog.append_event(&of.id, NewEvent::new("tick", json!({"n": n}))).await.unwrap();
        }
    }
    // 14 in all, 10 kept: two of each collection are lost.
    let all = catalog.events_since(0, None, 100).await.unwrap();
    assert_eq!((all.events.len(), all.missed, all.last_seq), (10, 4, 14));
    assert!(all.events.is_sorted_by_key(|event| event.seq));
    assert_eq!(all.events.last().unwrap().data, json!({"n": 5}));
    let of_a = catalog.events_since(0, Some(&only_a), 100).await.unwrap();
    assert_eq!((of_a.events.len(), of_a.missed), (5, 2));
    assert!(
        of_a.events
            .iter()
            .all(|event| event.collection == "a" && event.collection_id == a.id)
    );

    // Up to date, or behind by what is still there: no gap. Of `a` nothing after 3 is lost.
    for after in [3, 4, 9, 14, 1000, u64::MAX] {
        assert_eq!(catalog.events_since(after, Some(&only_a), 100).await.unwrap().missed, 0, "{after}");
    }
    let of_b = catalog.events_since(3, Some(&only_b), 100).await.unwrap();
    assert_eq!((of_b.events.len(), of_b.missed), (5, 1));
    assert_eq!(catalog.events_since(12, None, 100).await.unwrap().events.len(), 2);
    assert_eq!(catalog.events_since(0, Some(&[]), 100).await.unwrap().events.len(), 0);
    assert_eq!(catalog.events_since(0, Some(&[]), 100).await.unwrap().missed, 0);
    let first = catalog.events_since(4, None, 3).await.unwrap().events;
    assert_eq!(first.iter().map(|event| event.seq).collect::<Vec<_>>(), [5, 6, 7]);

    for limit in [0, 1001] {
        assert_eq!(
            catalog.events_since(0, None, limit).await.unwrap_err().code(),
            ErrorCode::ValidationError
        );
    }
    let error = catalog.append_event("none", NewEvent::new("x", json!({}))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CollectionNotFound);

    // Numbers go on after a restart.
    let catalog = catalog.reopened().await;
    let next = catalog.append_event(&a.id, NewEvent::new("tick", json!(null))).await.unwrap();
    assert_eq!(next.seq, 15);
}
