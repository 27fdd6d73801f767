//! Any header fields of tus: what is taken can be written again, and what is not is named.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The header that says the same.
fn written(metadata: &Metadata) -> String {
    let texts = [
        ("filename", Some(metadata.filename.clone())),
        ("collection_name", metadata.collection_name.clone()),
        ("filetype", metadata.content_type.clone()),
        ("chunk_size", metadata.chunk_size.map(|number| number.to_string())),
        ("chunk_overlap", metadata.chunk_overlap.map(|number| number.to_string())),
    ];
    let other = metadata.other.iter().map(|(key, value)| (key.as_str(), Some(value.clone())));
    let pairs = texts.into_iter().chain(other);
    let pairs = pairs.filter_map(|(key, value)| Some(format!("{key} {}", STANDARD.encode(value?))));
    pairs.collect::<Vec<_>>().join(",")
}

/// Pairs that are nearly right: known keys and others, values in base64 and not, separators doubled and left out.
fn nearly_metadata() -> impl Strategy<Value = String> {
    let known = ["filename", "name", "collection", "filetype", "chunk_size", "relativePath", "author"];
    let key = prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,8}"];
    let value = prop_oneof![
        3 => ".{0,12}".prop_map(|text| STANDARD.encode(text)),
        1 => "[0-9]{1,20}".prop_map(|text| STANDARD.encode(text)),
        1 => vec(any::<u8>(), 0..8).prop_map(|bytes| STANDARD.encode(bytes)),
        1 => "[ -~]{0,12}",
    ];
    let separator = prop_oneof![5 => Just(","), 1 => Just(", ,"), 1 => Just("")];
    vec(
        (key, prop_oneof![5 => Just(" "), 1 => Just("  "), 1 => Just("")], value, separator),
        0..8,
    )
    .prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(key, space, value, separator)| format!("{key}{space}{value}{separator}"))
            .collect()
    })
}

fn check(header: &str) -> Result<(), TestCaseError> {
    match Metadata::read(header) {
        Ok(metadata) => {
            prop_assert!(!metadata.filename.is_empty());
            let kept: usize = metadata.other.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert!(kept <= header.len(), "more than was sent");
            prop_assert_eq!(Metadata::read(&written(&metadata)).ok(), Some(metadata));
        }
        Err(error) => {
            prop_assert_eq!(error.code, ErrorCode::ValidationError);
            prop_assert_eq!(&error.details["field"], "Upload-Metadata");
            prop_assert!(error.message.len() <= 2 * header.len() + 200, "{}", error.message);
        }
    }
    Ok(())
}

fn headers(name: HeaderName, value: &[u8]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(value).ok()?;
    Some([(name, value)].into_iter().collect())
}

proptest! {
    #[test]
    fn any_metadata_is_read_or_refused(header in "[ -~]{0,200}") {
        check(&header)?;
    }

    #[test]
    fn what_is_nearly_metadata_is_read_or_refused(header in nearly_metadata()) {
        check(&header)?;
    }

    #[test]
    fn metadata_arrives_as_it_was(pairs in btree_map("[a-z]{1,6}[0-9]", ".{0,20}", 0..70), name in ".{1,20}") {
        let metadata = Metadata { filename: name, other: pairs, ..Metadata::default() };
        match Metadata::read(&written(&metadata)) {
            Ok(read) => prop_assert_eq!(read, metadata),
            // One more than the file's name.
            Err(_) => prop_assert!(metadata.other.len() >= 64),
        }
    }

    #[test]
    fn any_number_is_read_or_refused(bytes in prop_oneof![vec(any::<u8>(), 0..24), "[ 0-9+-]{0,24}".prop_map(String::into_bytes)]) {
        let Some(headers) = headers(UPLOAD_LENGTH, &bytes) else { return Ok(()) };
        match number(&headers, &UPLOAD_LENGTH) {
            Ok(read) => {
                let digits = String::from_utf8_lossy(&bytes).trim().trim_start_matches('+').trim_start_matches('0').to_owned();
                prop_assert_eq!(read.map(|read| read.to_string().trim_start_matches('0').to_owned()), Some(digits));
            }
            Err(error) => prop_assert_eq!(&error.details["field"], "upload-length"),
        }
        prop_assert_eq!(number(&headers, &UPLOAD_OFFSET).ok(), Some(None));
    }

    #[test]
    fn every_number_arrives(number_sent in any::<u64>()) {
        let headers = headers(UPLOAD_OFFSET, number_sent.to_string().as_bytes()).expect("digits");
        prop_assert_eq!(number(&headers, &UPLOAD_OFFSET).ok(), Some(Some(number_sent)));
    }
}

#[test]
fn pairs_are_counted() {
    let metadata = |count: usize| Metadata {
        filename: "a".to_owned(),
        other: (1..count)
            .map(|number| (format!("key{number}"), String::new()))
            .collect::<BTreeMap<_, _>>(),
        ..Metadata::default()
    };
    assert!(Metadata::read(&written(&metadata(64))).is_ok());
    assert!(Metadata::read(&written(&metadata(65))).is_err());
}
