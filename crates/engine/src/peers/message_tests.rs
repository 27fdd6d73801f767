use super::*;
use ibid_protocol::{EmbeddingProgress, UploadComplete, UploadProgress, UploadStatus};
use serde_json::json;

fn embedding(id: &str, done: u64) -> UploadEvent {
    UploadEvent::EmbeddingProgress(EmbeddingProgress {
        upload_id: id.to_owned(),
        filename: "a.pdf".to_owned(),
        embeddings_generated: done,
        total_embeddings: 9,
        progress: 0.5,
    })
}

fn bytes(id: &str, bytes: u64) -> UploadEvent {
    UploadEvent::UploadProgress(UploadProgress {
        upload_id: id.to_owned(),
        filename: "a.pdf".to_owned(),
        bytes_uploaded: bytes,
        total_bytes: 9,
        progress: 0.5,
        speed_mbps: 1.0,
    })
}

fn complete(message: String) -> UploadEvent {
    UploadEvent::UploadComplete(UploadComplete {
        upload_id: "u".to_owned(),
        filename: "a.pdf".to_owned(),
        document_id: None,
        total_time: 0.1,
        chunks_created: 0,
        status: UploadStatus::Failed,
        error: Some(json!({ "code": "PROCESSING_ERROR", "message": message })),
        needs_ocr: false,
        message: Some(message),
    })
}

fn notices(events: Vec<UploadEvent>) -> impl Iterator<Item = Arc<UploadNotice>> {
    events.into_iter().map(|event| {
        Arc::new(UploadNotice {
            collection: "documents".to_owned(),
            event,
        })
    })
}

#[test]
fn messages_keep_their_format_on_the_wire() {
    let stop = |stop| Content::Stop {
        request: "r".to_owned(),
        stop,
    };
    let cases = [
        (
            stop(Stop::Document("d".to_owned())),
            json!({"kind": "stop", "request": "r", "stop": {"what": "document", "id": "d"}}),
        ),
        (
            stop(Stop::Collection("c".to_owned())),
            json!({"kind": "stop", "request": "r", "stop": {"what": "collection", "id": "c"}}),
        ),
        (
            stop(Stop::Reindex("c".to_owned())),
            json!({"kind": "stop", "request": "r", "stop": {"what": "reindex", "id": "c"}}),
        ),
        (
            stop(Stop::Upload("u".to_owned())),
            json!({"kind": "stop", "request": "r", "stop": {"what": "upload", "id": "u"}}),
        ),
        (
            Content::Stopped { request: "r".to_owned() },
            json!({"kind": "stopped", "request": "r"}),
        ),
        (Content::Plugins, json!({"kind": "plugins"})),
    ];
    for (content, said) in cases {
        let message = Message {
            from: "s1".to_owned(),
            content,
        };
        let wire = serde_json::to_value(&message).unwrap();
        assert_eq!(wire, json!({"from": "s1", "said": said}));
        let back: Message = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), wire);
    }
}

#[test]
fn an_uploads_event_comes_back_as_it_was_sent() {
    let message = Message {
        from: "s1".to_owned(),
        content: Content::Upload {
            collection: "documents".to_owned(),
            event: embedding("u", 3),
        },
    };
    let back: Message = serde_json::from_str(&serde_json::to_string(&message).unwrap()).unwrap();
    let Content::Upload { collection, event } = back.content else {
        panic!("{:?}", back.content)
    };
    assert_eq!((collection.as_str(), event), ("documents", embedding("u", 3)));
}

#[test]
fn of_progress_of_one_kind_only_the_newest_is_sent_in_its_order() {
    let events = vec![
        embedding("u", 1),
        bytes("u", 1),
        embedding("v", 1),
        embedding("u", 2),
        bytes("u", 2),
        embedding("u", 3),
    ];
    let kept: Vec<UploadEvent> = newest(notices(events)).into_iter().map(|notice| notice.event.clone()).collect();
    assert_eq!(kept, [embedding("v", 1), bytes("u", 2), embedding("u", 3)]);
}

#[test]
fn an_error_that_does_not_fit_is_shortened_and_then_fits() {
    let shortened = shortened(complete("é".repeat(20_000)));
    assert!(serde_json::to_string(&shortened).unwrap().len() <= LONGEST);
    let UploadEvent::UploadComplete(complete) = shortened else {
        panic!("another event")
    };
    assert_eq!(complete.message.map(|message| message.chars().count()), Some(SHORTENED));
    let error = complete.error.expect("an error");
    assert_eq!(error["code"], "PROCESSING_ERROR");
    assert_eq!(error["message"].as_str().map(|message| message.chars().count()), Some(SHORTENED));
}

#[test]
fn an_event_that_fits_is_sent_whole() {
    let event = complete("é".repeat(1_200));
    assert_eq!(shortened(event.clone()), event);
    assert_eq!(shortened(embedding("u", 1)), embedding("u", 1));
}
