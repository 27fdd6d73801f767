//! Reading what clients say, and the errors that answer it. No I/O.

use ibid_protocol::{ApiError, ClientMessage, ErrorCode, ErrorData, QueryEvent, ServerMessage};
use ibid_telemetry::catalogue;
use serde_json::{Map, Value};

/// Characters of a `request_id`.
const MAX_REQUEST_ID: usize = 128;

/// A message that cannot be understood.
#[derive(Debug, PartialEq)]
pub(super) struct Unreadable {
    /// As far as it could be read.
    pub request_id: Option<String>,
    /// What is wrong.
    pub error: Box<ApiError>,
}

/// A message whose sender need not name it.
#[derive(Debug, PartialEq)]
pub(super) struct Unnamed {
    /// What is wanted.
    pub kind: String,
    /// The client's name for it, which answers echo.
    pub request_id: Option<String>,
    /// An object.
    pub data: Value,
}

/// Reads a text frame: `type` and `request_id` are checked, `data` is an object.
pub(super) fn read(text: &str) -> Result<ClientMessage, Unreadable> {
    let Unnamed { kind, request_id, data } = take_apart(text, true)?;
    Ok(ClientMessage {
        kind,
        request_id: request_id.unwrap_or_default(),
        data,
    })
}

/// The same where a `request_id` may be left out; one that cannot be is still an error.
pub(super) fn read_unnamed(text: &str) -> Result<Unnamed, Unreadable> {
    take_apart(text, false)
}

fn take_apart(text: &str, named: bool) -> Result<Unnamed, Unreadable> {
    let invalid = |request_id: Option<String>, message: &str| Unreadable {
        request_id,
        error: Box::new(ApiError::new(ErrorCode::InvalidMessage, message)),
    };
    let value: Value = serde_json::from_str(text).map_err(|error| invalid(None, &format!("The message is not JSON: {error}.")))?;
    let Value::Object(mut fields) = value else {
        return Err(invalid(None, "The message must be a JSON object."));
    };
    let (request_id, may_lack) = match fields.remove("request_id") {
        Some(Value::String(id)) if !id.is_empty() && id.chars().nth(MAX_REQUEST_ID).is_none() => (Some(id), true),
        None | Some(Value::Null) => (None, !named),
        Some(_) => (None, false),
    };
    let Some(Value::String(kind)) = fields.remove("type") else {
        return Err(invalid(request_id, "The message needs a `type`, which is a string."));
    };
    if !may_lack {
        let message = match named {
            true => "The message needs a `request_id`: a string of 1 to 128 characters.",
            false => "The `request_id`, which may be left out, must be a string of 1 to 128 characters.",
        };
        return Err(invalid(None, message));
    }
    match fields.remove("data") {
        None | Some(Value::Null) => Ok(Unnamed {
            kind,
            request_id,
            data: Value::Object(Map::new()),
        }),
        Some(data @ Value::Object(_)) => Ok(Unnamed { kind, request_id, data }),
        Some(_) => Err(Unreadable {
            request_id,
            error: Box::new(ApiError::validation("data", "must be an object")),
        }),
    }
}

/// An `error` message as it goes into a text frame.
pub(super) fn error_frame(request_id: Option<&str>, error: ApiError) -> Vec<u8> {
    frame(request_id, &QueryEvent::Error(ErrorData::from(error)))
}

/// A server's message as it goes into a text frame.
pub(super) fn frame(request_id: Option<&str>, event: &QueryEvent) -> Vec<u8> {
    if let QueryEvent::Error(error) = event {
        catalogue::ERRORS.with(["socket", error.code.name()]).increment(1);
    }
    serde_json::to_vec(&ServerMessage { request_id, event }).unwrap_or_else(|error| {
        tracing::error!(%error, "a message could not be written as JSON");
        let code = ErrorCode::InternalError;
        format!(r#"{{"type":"error","request_id":null,"data":{{"code":"{code}","message":"A message could not be written.","details":{{}},"recoverable":false}}}}"#).into_bytes()
    })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn reads_what_the_guide_shows() {
        let text = r#"{"type": "query", "request_id": "req_12345", "data": {"query": "?"}, "later": 1}"#;
        let expected = ClientMessage {
            kind: "query".into(),
            request_id: "req_12345".into(),
            data: json!({ "query": "?" }),
        };
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(r#"{"type":"query","request_id":"a"}"#).map(|m| m.data), Ok(json!({})));
    }

    #[test]
    fn says_what_is_wrong() {
        let long = "x".repeat(129);
        for (text, id, code) in [
            ("", None, ErrorCode::InvalidMessage),
            ("[]", None, ErrorCode::InvalidMessage),
            (r#"{"request_id":"a"}"#, Some("a"), ErrorCode::InvalidMessage),
            (r#"{"type":1,"request_id":"a"}"#, Some("a"), ErrorCode::InvalidMessage),
            (r#"{"type":"query"}"#, None, ErrorCode::InvalidMessage),
            (r#"{"type":"query","request_id":7}"#, None, ErrorCode::InvalidMessage),
            (r#"{"type":"query","request_id":""}"#, None, ErrorCode::InvalidMessage),
            (
                &format!(r#"{{"type":"query","request_id":"{long}"}}"#),
                None,
                ErrorCode::InvalidMessage,
            ),
            (
                r#"{"type":"query","request_id":"a","data":[]}"#,
                Some("a"),
                ErrorCode::ValidationError,
            ),
        ] {
            let unreadable = read(text).expect_err(text);
            assert_eq!((unreadable.request_id.as_deref(), unreadable.error.code), (id, code), "{text}");
        }
        let longest = "ü".repeat(128);
        assert!(read(&format!(r#"{{"type":"query","request_id":"{longest}"}}"#)).is_ok());
    }

    #[test]
    fn a_name_may_be_left_out_where_it_is_not_needed() {
        let message = read_unnamed(r#"{"type":"upload","data":{"filename":"a"}}"#).expect("no name");
        assert_eq!((message.kind.as_str(), message.request_id), ("upload", None));
        let message = read_unnamed(r#"{"type":"upload","request_id":"a"}"#).expect("a name");
        assert_eq!((message.request_id.as_deref(), message.data), (Some("a"), json!({})));
        for wrong in [r#"{"type":"upload","request_id":7}"#, r#"{"type":"upload","request_id":""}"#] {
            assert_eq!(read_unnamed(wrong).expect_err(wrong).error.code, ErrorCode::InvalidMessage);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\":,a-z0-9\\\\ü ]{0,200}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn depth_is_no_danger() {
        assert!(read(&"[".repeat(1 << 20)).is_err());
        assert!(read(&"{\"a\":".repeat(100_000)).is_err());
    }
}
