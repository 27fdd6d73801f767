//! Which fields a message has, and of which JSON type.

use serde_json::Value;

/// A JSON type, or what of it matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Is {
    /// A string that is not empty.
    Text,
    /// A string.
    AnyText,
    /// A whole number from 0.
    Count,
    /// A number.
    Number,
    /// A number in [0,1].
    Share,
    /// `true` or `false`.
    Bool,
    /// An object.
    Object,
    /// An array.
    Array,
    /// An array of strings.
    Texts,
    /// RFC 3339, UTC.
    Time,
}

/// `error` of every REST error.
pub const REST_ERROR: &[(&str, Is)] = &[
    ("code", Is::Text),
    ("message", Is::Text),
    ("details", Is::Object),
    ("request_id", Is::Text),
    ("timestamp", Is::Time),
    ("path", Is::Text),
    ("method", Is::Text),
];

/// Fails unless `value` has each of these fields, each of its type.
#[track_caller]
pub fn has(value: &Value, fields: &[(&str, Is)]) {
    for (name, is) in fields {
        let field = value.get(name).unwrap_or_else(|| panic!("`{name}` is missing: {value}"));
        assert!(fits(field, *is), "`{name}` is not {is:?}: {value}");
    }
}

fn fits(value: &Value, is: Is) -> bool {
    match is {
        Is::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Is::AnyText => value.is_string(),
        Is::Count => value.is_u64(),
        Is::Number => value.is_number(),
        Is::Share => value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)),
        Is::Bool => value.is_boolean(),
        Is::Object => value.is_object(),
        Is::Array => value.is_array(),
        Is::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Is::Time => value.as_str().is_some_and(is_time),
    }
}

/// `2024-08-15T10:30:00Z`, perhaps with a fraction of a second.
fn is_time(text: &str) -> bool {
    let Some((date, time)) = text.strip_suffix('Z').and_then(|text| text.split_once('T')) else {
        return false;
    };
    let numbers = |text: &str, separator| {
        text.split(separator)
            .map(|part: &str| part.parse::<f64>().is_ok())
            .collect::<Vec<_>>()
    };
    numbers(date, '-') == [true; 3] && numbers(time, ':') == [true; 3] && date.len() == 10
}
