//! Any JSON as the body of a request: it is taken as it is written again, or refused by the name of a field.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0i64..200).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..2.5).prop_map(|number: f64| json!(number)),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "speed",
            "balanced",
            "hybrid",
            "text_only",
            "en",
            "2024-08-15",
            "2024-08-15T10:00:00Z"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec(("[a-z_]{0,6}", inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Objects that have some of these fields.
fn object(names: &'static [&'static str], value: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    vec((prop::sample::select(names), value), 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

fn filters() -> impl Strategy<Value = Value> {
    let dates = object(
        &["start", "end"],
        prop_oneof!["[0-9TZ:+. -]{0,26}".prop_map(Value::from), dates().prop_map(Value::from)].boxed(),
    );
    let value = prop_oneof![3 => vec(".{0,6}".prop_map(Value::from), 0..3).prop_map(Value::from), 2 => dates, 1 => json_value()];
    object(
        &["document_ids", "sources", "document_types", "authors", "date_range", "metadata"],
        value.boxed(),
    )
}

/// Dates and times that are nearly right.
fn dates() -> impl Strategy<Value = String> {
    let zone = prop::sample::select(vec!["", "Z", "z", "+02:00", "-23:59", "+24:00"]);
    let time = prop_oneof![Just(String::new()), "[T ][0-9]{2}:[0-9]{2}:[0-6][0-9](\\.[0-9]{1,9})?"];
    ("[0-9]{4}-[01][0-9]-[0-3][0-9]", time, zone).prop_map(|(date, time, zone)| format!("{date}{time}{zone}"))
}

/// `given` with `filters`, and with what must be there, most of the time.
fn body(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let text = || prop::option::weighted(0.9, ".{0,12}".prop_map(Value::from));
    (object(names, json_value().boxed()), prop::option::of(filters()), text(), text()).prop_map(|(mut body, filters, query, id)| {
        for (name, value) in [("filters", filters), ("query", query), ("document_id", id)] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body
    })
}

const OPTIONS: &[&str] = &[
    "collection_name",
    "mode",
    "stream",
    "max_results",
    "include_sources",
    "response_format",
    "language",
    "temperature",
    "score_threshold",
];
const SEARCH: &[&str] = &[
    "collection_name",
    "limit",
    "offset",
    "score_threshold",
    "relative_threshold",
    "search_type",
    "mode",
    "rerank",
];

fn check<T>(value: Value, validate: impl Fn(&T) -> Result<(), ApiError>) -> Result<(), TestCaseError>
where
    T: DeserializeOwned + Serialize + PartialEq + Debug,
{
    let error = match parse::<T>(value.clone()) {
        Err(error) => error,
        Ok(read) => match validate(&read) {
            Err(error) => error,
            Ok(()) => {
                let again = serde_json::to_value(&read).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(parse::<T>(again).ok(), Some(read));
                return Ok(());
            }
        },
    };
    prop_assert_eq!(error.code, ErrorCode::ValidationError);
    // The server takes objects alone, whose fields have names.
    if !value.is_object() {
        return Ok(());
    }
    let field = error.details["field"].as_str().unwrap_or_default();
    prop_assert!(!field.is_empty(), "{}", error.message);
    // The first name of the path is a field of what was sent, or of what should have been.
    let first = field.split(['.', '[']).next().unwrap_or_default();
    prop_assert!(
        field == "." || value.get(first).is_some() || ["query", "document_id"].contains(&first),
        "{field}"
    );
    prop_assert!(error.message.len() <= value.to_string().len() + 400, "{}", error.message);
    Ok(())
}

proptest! {
    #[test]
    fn any_json_is_options_or_refused(value in prop_oneof![4 => body(OPTIONS), 1 => json_value()]) {
        check(value, |options: &QueryOptions| options.question().and(options.validate()))?;
    }

    #[test]
    fn any_json_is_a_search_or_refused(value in prop_oneof![4 => body(SEARCH), 1 => json_value()]) {
        check(value, SearchRequest::validate)?;
    }

    #[test]
    fn any_json_is_a_request_for_the_like_or_refused(value in prop_oneof![4 => body(SEARCH), 1 => json_value()]) {
        check(value, SimilarRequest::validate)?;
    }

    #[test]
    fn any_json_is_an_analysis_or_refused(value in prop_oneof![4 => body(&["collection_name", "mode", "language"]), 1 => json_value()]) {
        check(value, |request: &AnalyzeRequest| request.question().map(drop))?;
    }

    #[test]
    fn any_json_is_filters_or_refused(value in prop_oneof![4 => filters(), 1 => json_value()]) {
        check(value, |filters: &Filters| filters.validate().map_err(|error| {
            // Filters stand in a body.
            let field = error.details["field"].as_str().unwrap_or_default();
            ApiError::validation(field.trim_start_matches("filters."), error.message)
        }))?;
    }

    #[test]
    fn any_metadata_is_flat_or_refused(value in vec((".{0,6}", json_value()), 0..70)) {
        let object: serde_json::Map<String, Value> = value.into_iter().collect();
        let size = Value::Object(object.clone()).to_string().len();
        match flat_metadata(object.clone()) {
            Ok(flat) => {
                for (key, value) in &flat {
                    let expected = object[key].as_str().map_or_else(|| object[key].to_string(), str::to_owned);
                    prop_assert_eq!(value, &expected);
                }
                prop_assert_eq!(flat.len(), object.values().filter(|value| !value.is_null()).count());
                prop_assert!(flat.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= size);
            }
            Err(error) => prop_assert!(error.details["field"].as_str().is_some_and(|field| field.starts_with("metadata"))),
        }
    }
}
