use super::*;
use serde_json::json;
use time::OffsetDateTime;

fn event(seq: u64) -> Event {
    Event {
        seq,
        collection_id: "c".to_owned(),
        collection: "documents".to_owned(),
        kind: "collection_stats".to_owned(),
        data: json!({}),
        at: OffsetDateTime::UNIX_EPOCH,
    }
}

#[test]
fn events_are_taken_in_the_order_of_their_numbers() {
    let announcements = Announcements::default();
    for seq in [3, 1, 2] {
        announcements.add(event(seq));
    }
    let order: Vec<u64> = std::iter::from_fn(|| announcements.take()).map(|(seq, _)| seq).collect();
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_number_of_another_server_has_no_event_and_does_not_replace_one() {
    let announcements = Announcements::default();
    announcements.add(event(1));
    announcements.add_number(1);
    announcements.add_number(2);
    assert!(announcements.take().is_some_and(|(seq, event)| seq == 1 && event.is_some()));
    assert!(announcements.take().is_some_and(|(seq, event)| seq == 2 && event.is_none()));
    assert!(announcements.take().is_none());
}

#[test]
fn of_too_many_the_oldest_are_left_to_the_log() {
    let announcements = Announcements::default();
    for seq in 1..=WAITING as u64 {
        announcements.add_number(seq);
    }
    announcements.add(event(5_000));
    assert_eq!(announcements.take().map(|(seq, _)| seq), Some(2));
}

#[tokio::test]
async fn an_event_that_was_added_before_anyone_waited_wakes_the_next_who_does() {
    let announcements = Announcements::default();
    announcements.add(event(1));
    announcements.notified().await;
    announcements.add_number(2);
    announcements.notified().await;
}
