//! Any text as a message: it is read alike by both readers, or refused in an answer that names it.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

/// Bytes of the longest answer to a message that cannot be understood: a `request_id` of 128 characters, each escaped, and one sentence.
const LONGEST_ANSWER: usize = 128 * 12 + 512;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,140}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,6}", inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Objects with the fields that count, which often hold what they should.
fn nearly_message() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![3 => "[a-z]{1,8}".prop_map(Value::from), 1 => json_value()];
    let data = prop_oneof![3 => vec((".{0,6}", json_value()), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect())), 1 => json_value()];
    let field = |name: &'static str, value: BoxedStrategy<Value>| prop::option::weighted(0.9, value).prop_map(move |value| (name, value));
    (
        field("type", text().boxed()),
        field("request_id", text().boxed()),
        field("data", data.boxed()),
        field("later", json_value().boxed()),
    )
        .prop_map(|(a, b, c, d)| {
            let given = [a, b, c, d].into_iter();
            Value::Object(given.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
        })
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let unnamed = read_unnamed(text);
    match read(text) {
        Ok(message) => {
            prop_assert!((1..=128).contains(&message.request_id.chars().count()));
            prop_assert!(message.data.is_object());
            let written = json!({ "type": message.kind, "request_id": message.request_id, "data": message.data });
            let again = read(&written.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&message));
            let ClientMessage { kind, request_id, data } = message;
            let named = Unnamed {
                kind,
                request_id: Some(request_id),
                data,
            };
            prop_assert_eq!(unnamed, Ok(named));
        }
        Err(Unreadable { request_id, error }) => {
            prop_assert!(matches!(error.code, ErrorCode::InvalidMessage | ErrorCode::ValidationError));
            prop_assert!(!error.message.is_empty());
            let answer = error_frame(request_id.as_deref(), *error);
            prop_assert!(answer.len() <= LONGEST_ANSWER, "{} bytes", answer.len());
            let answer: Value = serde_json::from_slice(&answer).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&answer["type"], "error");
            prop_assert_eq!(&answer["request_id"], &json!(request_id));
            // A name that could be read is the client's own.
            let given: Value = serde_json::from_str(text).unwrap_or_default();
            prop_assert!(request_id.is_none() || given["request_id"] == json!(request_id));
            // What only lacks its name is understood where none is needed.
            if let Ok(unnamed) = unnamed {
                prop_assert!(unnamed.request_id.is_none());
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        check(&text)?;
    }

    #[test]
    fn any_json_is_read_or_refused(value in json_value()) {
        check(&value.to_string())?;
    }

    #[test]
    fn what_is_nearly_a_message_is_read_or_refused(value in nearly_message(), cut in prop::option::weighted(0.1, any::<prop::sample::Index>())) {
        let text = value.to_string();
        let end = cut.map_or(text.len(), |cut| cut.index(text.len()));
        check(text.get(..end).unwrap_or(&text))?;
    }
}
