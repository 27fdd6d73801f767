//! `Upload-Metadata`: pairs of a key and a value in base64, separated by commas. Text in, plain data out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ibid_protocol::ApiError;
use std::collections::BTreeMap;

/// Pairs in one header.
const MAX_PAIRS: usize = 64;

/// What the client says of the file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metadata {
    pub filename: String,
    pub collection_name: Option<String>,
    pub content_type: Option<String>,
    pub chunk_size: Option<u64>,
    pub chunk_overlap: Option<u64>,
    /// Kept with the document.
    pub other: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads the header's value. The names that upload widgets use for one thing are all taken.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with what is wrong.
    pub fn read(header: &str) -> Result<Self, ApiError> {
        let mut pairs = pairs(header)?;
        let mut take = |names: &[&str]| {
            let mut values = names.iter().map(|name| pairs.remove(*name));
            let first = values.by_ref().flatten().find(|value| !value.is_empty());
            // The others say the same, and are nothing to keep.
            values.for_each(drop);
            first
        };
        let filename =
            take(&["filename", "name"]).ok_or_else(|| wrong("needs a `filename`, whose value is the file's name in base64".to_owned()))?;
        let collection_name = take(&["collection_name", "collection"]);
        let content_type = take(&["filetype", "content_type", "type"]);
        let (chunk_size, chunk_overlap) = (take(&["chunk_size"]), take(&["chunk_overlap"]));
        take(&["relativePath"]);
        Ok(Self {
            filename,
            collection_name,
            content_type,
            chunk_size: number("chunk_size", chunk_size)?,
            chunk_overlap: number("chunk_overlap", chunk_overlap)?,
            other: pairs,
        })
    }
}

fn pairs(header: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut pairs = BTreeMap::new();
    for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = STANDARD
            .decode(value.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| wrong(format!("the value of `{key}` is not UTF-8 in base64")))?;
        if pairs.insert(key.to_owned(), value).is_some() {
            return Err(wrong(format!("`{key}` is there twice")));
        }
        if pairs.len() > MAX_PAIRS {
            return Err(wrong(format!("must have at most {MAX_PAIRS} pairs")));
        }
    }
    Ok(pairs)
}

fn number(name: &str, value: Option<String>) -> Result<Option<u64>, ApiError> {
    value
        .map(|value| {
            value
                .parse()
                .map_err(|_| wrong(format!("`{name}` must be a whole number, 0 or more")))
        })
        .transpose()
}

fn wrong(issue: String) -> ApiError {
    ApiError::validation("Upload-Metadata", issue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
            .collect();
        pairs.join(",")
    }

    #[test]
    fn what_widgets_send_is_understood() {
        let given = header(&[
            ("filename", "Größe.pdf"),
            ("name", "Größe.pdf"),
            ("filetype", "application/pdf"),
            ("type", "application/pdf"),
            ("collection_name", "papers"),
            ("chunk_size", "200"),
            ("author", "A. Writer"),
        ]);
        let read = Metadata::read(&format!("{given}, relativePath, empty")).expect("metadata");
        let expected = Metadata {
            filename: "Größe.pdf".to_owned(),
            collection_name: Some("papers".to_owned()),
            content_type: Some("application/pdf".to_owned()),
            chunk_size: Some(200),
            chunk_overlap: None,
            other: [("author", "A. Writer"), ("empty", "")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn malformed_metadata_is_refused_with_a_reason() {
        for wrong in [
            "",
            "filename",
            "filename %%%",
            "filename /w==",
            "filename YQ==,filename YQ==",
            "filename YQ==,chunk_size YQ==",
        ] {
            assert_eq!(
                Metadata::read(wrong).expect_err(wrong).details["field"],
                "Upload-Metadata",
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,120}") {
            let _ = Metadata::read(&text);
        }

        #[test]
        fn a_value_arrives_as_it_was(value in ".{0,40}") {
            let read = Metadata::read(&header(&[("filename", "a"), ("note", &value)])).expect("metadata");
            prop_assert_eq!(read.other.get("note"), Some(&value));
        }
    }
}
