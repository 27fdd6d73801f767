//! What an event of `/ws/upload` says of a file's way.

use super::super::console;
use serde_json::Value;

/// Where a file is on its way. Later ones compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its bytes are on the way.
    Uploading,
    /// Its text is being extracted.
    Extracting,
    /// The text is being cut into chunks.
    Chunking,
    /// The chunks are being embedded and indexed.
    Embedding,
    /// The server is done with it.
    Done,
}

impl Phase {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Extracting => "extracting text",
            Self::Chunking => "chunking",
            Self::Embedding => "embedding",
            Self::Done => "finishing",
        }
    }

    /// The part of the whole way that the phase takes, by what phases usually cost.
    fn share(self) -> (f64, f64) {
        match self {
            Self::Uploading => (0.0, 0.1),
            Self::Extracting => (0.1, 0.3),
            Self::Chunking => (0.3, 0.35),
            Self::Embedding => (0.35, 1.0),
            Self::Done => (1.0, 1.0),
        }
    }
}

/// An event, as far as progress goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The upload that it tells of.
    pub upload_id: String,
    /// Its file name.
    pub filename: String,
    /// With the first event, bytes; 0 if the server does not know.
    pub started: Option<u64>,
    /// Where it is.
    pub phase: Phase,
    /// Of the whole way, in [0,1].
    pub fraction: f64,
    /// `310 of 500`, where there is something to count.
    pub detail: String,
}

/// Reads an event; `None` if it says nothing of progress.
pub fn read(event: &Value) -> Option<Progress> {
    let data = event.get("data")?;
    let number = |key: &str| data.get(key).and_then(Value::as_u64).unwrap_or_default();
    let of = |done: &str, total: &str| format!("{} of {}", console::grouped(number(done)), console::grouped(number(total)));
    let mut started = None;
    let (phase, detail) = match event.get("type")?.as_str()? {
        "upload_started" => {
            started = Some(number("file_size"));
            (Phase::Uploading, String::new())
        }
        "upload_progress" => (
            Phase::Uploading,
            format!(
                "{} of {}",
                console::size(number("bytes_uploaded")),
                console::size(number("total_bytes"))
            ),
        ),
        "processing_progress" => (Phase::Extracting, String::new()),
        "chunking_progress" => (Phase::Chunking, of("chunks_processed", "total_chunks")),
        "embedding_progress" => (Phase::Embedding, of("embeddings_generated", "total_embeddings")),
        "upload_complete" => (Phase::Done, String::new()),
        _ => return None,
    };
    let within = data.get("progress").and_then(Value::as_f64).unwrap_or_default().clamp(0.0, 1.0);
    let (from, to) = phase.share();
    Some(Progress {
        upload_id: data.get("upload_id")?.as_str()?.to_owned(),
        filename: data.get("filename")?.as_str()?.to_owned(),
        started,
        phase,
        fraction: from + (to - from) * within,
        detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_the_guide_become_a_way_that_only_goes_forward() {
        let data = |more: Value| {
            let mut data = json!({"upload_id": "upload_12345", "filename": "document.pdf"});
            if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
                data.extend(more);
            }
            data
        };
        let events = [
            (
                "upload_started",
                json!({"file_size": 2048576, "estimated_time": 15}),
                Phase::Uploading,
                "",
            ),
            (
                "upload_progress",
                json!({"bytes_uploaded": 1024000, "total_bytes": 2048576, "progress": 0.5, "speed_mbps": 1.2}),
                Phase::Uploading,
                "1.0 MB of 2.0 MB",
            ),
            (
                "processing_progress",
                json!({"stage": "text_extraction", "progress": 0.3, "message": "..."}),
                Phase::Extracting,
                "",
            ),
            (
                "chunking_progress",
                json!({"chunks_processed": 8, "total_chunks": 15, "progress": 0.53}),
                Phase::Chunking,
                "8 of 15",
            ),
            (
                "embedding_progress",
                json!({"embeddings_generated": 10, "total_embeddings": 15, "progress": 0.67}),
                Phase::Embedding,
                "10 of 15",
            ),
            (
                "upload_complete",
                json!({"document_id": "doc_456", "total_time": 12.5, "chunks_created": 15, "status": "success"}),
                Phase::Done,
                "",
            ),
        ];
        let mut last = -1.0;
        for (kind, more, phase, detail) in events {
            let progress = read(&json!({"type": kind, "data": data(more)})).expect(kind);
            assert_eq!((progress.phase, progress.detail.as_str()), (phase, detail), "{kind}");
            assert!(progress.fraction > last, "{kind}");
            last = progress.fraction;
        }
        assert_eq!(read(&json!({"type": "gap", "data": {"missed": 3}})), None);
        assert_eq!(read(&json!({"type": "upload_started"})), None);
        assert_eq!(read(&json!([])), None);
    }
}
