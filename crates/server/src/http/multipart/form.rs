//! The parts of an upload form that are not files, and what a part's header says.

use super::malformed;
use crate::http::body::too_slow;
use crate::http::openapi::binary;
use crate::http::params::flag;
use crate::http::respond::Failure;
use hyper::HeaderMap;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH};
use ibid_protocol::{ApiError, ErrorCode, flat_metadata};
use multer::Field;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Content, Required, Schema};

/// Bytes of a field that is not a file.
const MAX_FIELD_BYTES: usize = 64 << 10;

/// Characters of a file name.
const MAX_FILENAME: usize = 255;

/// What the form says beside the files.
#[derive(Debug)]
pub(super) struct Fields {
    /// Where the files go; the engine's default if it is absent.
    pub collection_name: Option<String>,
    /// Of every file.
    pub metadata: BTreeMap<String, String>,
    /// Chunks of every file, if not as the collection's pipeline makes them; in the chunker's unit.
    pub chunk_size: Option<u64>,
    /// Their overlap, likewise.
    pub chunk_overlap: Option<u64>,
    /// Whether to answer only when the files are processed.
    pub wait: bool,
}

impl Fields {
    /// What the URL says.
    pub fn new(collection_name: Option<String>, wait: Option<bool>) -> Self {
        Self {
            collection_name,
            metadata: BTreeMap::new(),
            chunk_size: None,
            chunk_overlap: None,
            wait: wait.unwrap_or(true),
        }
    }

    /// Takes a field that stands after `files` files. One that nobody knows is ignored.
    pub fn set(&mut self, name: &str, value: String, files: usize) -> Result<(), ApiError> {
        let value = value.trim();
        match name {
            "collection_name" if !value.is_empty() && self.collection_name.as_deref() != Some(value) => {
                before_files(name, files)?;
                self.collection_name = Some(value.to_owned());
            }
            "metadata" if !value.is_empty() => {
                before_files(name, files)?;
                self.metadata = metadata(value)?;
            }
            "wait" if !value.is_empty() => self.wait = flag(name, value)?,
            "chunk_size" | "chunk_overlap" if !value.is_empty() => {
                before_files(name, files)?;
                let given = value
                    .parse()
                    .map_err(|_| ApiError::validation(name, "must be a whole number, 0 or more"))?;
                match name {
                    "chunk_size" => self.chunk_size = Some(given),
                    _ => self.chunk_overlap = Some(given),
                }
            }
            "processing_mode" if !value.is_empty() => {
                // Every document is processed in full: a mode is what a question spends. Clients of other servers send it.
                ibid_protocol::parse::<ibid_protocol::Mode>(Value::String(value.to_owned()))
                    .map_err(|_| ApiError::validation(name, "must be `speed`, `balanced` or `comprehensive`"))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The files are on their way to the disk, under what was known when they came: a field that says more must stand before them.
fn before_files(name: &str, files: usize) -> Result<(), ApiError> {
    if files == 0 {
        return Ok(());
    }
    Err(ApiError::validation(
        name,
        "must stand before the files in the form: put it first, or into the URL (`?collection_name=...`)",
    ))
}

fn metadata(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => flat_metadata(object),
        _ => Err(ApiError::validation("metadata", "must be a JSON object")),
    }
}

/// The text of a field that is not a file.
pub(super) async fn value(mut field: Field<'_>, name: &str, pause: Duration, limit: u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = timeout(pause, field.chunk())
        .await
        .map_err(|_| too_slow())?
        .map_err(|error| malformed(error, limit))?
    {
        if bytes.len() + piece.len() > MAX_FIELD_BYTES {
            return Err(ApiError::new(
                ErrorCode::PayloadTooLarge,
                format!("The form field has more than {MAX_FIELD_BYTES} bytes."),
            )
            .with("max_bytes", MAX_FIELD_BYTES)
            .into());
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::validation(name, "is not UTF-8").into())
}

/// Reads a part to its end, for the sake of those after it.
pub(super) async fn skip(mut field: Field<'_>, pause: Duration, limit: u64) -> Result<(), Failure> {
    while timeout(pause, field.chunk())
        .await
        .map_err(|_| too_slow())?
        .map_err(|error| malformed(error, limit))?
        .is_some()
    {}
    Ok(())
}

/// The size that the part's header tells, if it does. Most clients do not.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The name of the file that a part is, without folders and control characters; `None` if the part is not a file.
/// `plain` is the `filename` parameter; `filename*` goes before it, which some clients send for names that are not ASCII.
pub(super) fn filename(headers: &HeaderMap, plain: Option<&str>) -> Option<String> {
    let disposition = headers
        .get(CONTENT_DISPOSITION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let extended = disposition.as_deref().and_then(extended_filename);
    let name = extended.as_deref().or(plain)?;
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).collect();
    let clean = clean.trim();
    if clean.is_empty() || clean == "." || clean == ".." {
        return None;
    }
    Some(shorten(clean))
}

/// Keeps the end of a name that is too long: the extension is what tells the type.
fn shorten(name: &str) -> String {
    let excess = name.chars().count().saturating_sub(MAX_FILENAME);
    name.chars().skip(excess).collect()
}

/// The `filename*=UTF-8''...` parameter.
fn extended_filename(disposition: &str) -> Option<String> {
    // Quoted values may hold anything: look outside of them only.
    let mut outside = disposition.split('"').step_by(2).flat_map(|part| part.split(';'));
    let value = outside.find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename*").then(|| value.trim().to_owned())
    })?;
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent_decode_str(encoded).decode_utf8().ok().map(|name| name.into_owned())
}

/// Describes the form in the OpenAPI document.
pub(super) fn request_body() -> RequestBody {
    let files = ArrayBuilder::new()
        .items(binary())
        .min_items(Some(1))
        .description(Some("The files."));
    let number = |what: &str| {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .description(Some(what.to_owned()))
    };
    let text = |what: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(what.to_owned()));
    let form = ObjectBuilder::new()
        .property(
            "collection_name",
            text("The collection of the files; created if it does not exist. The settings have the default."),
        )
        .property("metadata", text("A JSON object of texts, numbers and booleans, for every file."))
        .property(
            "chunk_size",
            number("Size of the chunks, in the unit of the collection's chunker; the collection has the default."),
        )
        .property("chunk_overlap", number("Overlap of the chunks, in the same unit."))
        .property(
            "processing_mode",
            text("`speed`, `balanced` or `comprehensive`. It has no effect: every document is processed in full."),
        )
        .property(
            "wait",
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .description(Some("Whether to wait (default true).")),
        )
        .property("files", files)
        .required("files");
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("multipart/form-data", Content::new(Some(Schema::from(form.build()))))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn name(disposition: &str, plain: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_DISPOSITION,
            HeaderValue::from_bytes(disposition.as_bytes()).expect("header"),
        );
        filename(&headers, plain)
    }

    #[test]
    fn names() {
        assert_eq!(name("form-data; name=\"files\"", None), None);
        assert_eq!(name("form-data; filename=\"a.pdf\"", Some("a.pdf")).as_deref(), Some("a.pdf"));
        assert_eq!(name("form-data", Some("C:\\docs\\a.pdf")).as_deref(), Some("a.pdf"));
        assert_eq!(name("form-data", Some("../../etc/passwd")).as_deref(), Some("passwd"));
        assert_eq!(name("form-data", Some("..")), None);
        assert_eq!(
            name("form-data; name=\"files\"; filename*=utf-8''na%C3%AFve.txt", None).as_deref(),
            Some("naïve.txt")
        );
        assert_eq!(
            name("form-data; name=\"; filename*=utf-8''x\"; filename=\"a\"", Some("a")).as_deref(),
            Some("a")
        );
        let long = format!("{}.pdf", "x".repeat(400));
        assert!(name("form-data", Some(&long)).is_some_and(|n| n.ends_with(".pdf") && n.chars().count() == MAX_FILENAME));
    }

    #[test]
    fn fields_that_come_too_late() {
        let mut fields = Fields::new(None, None);
        fields.set("collection_name", "a".into(), 0).expect("first");
        fields.set("collection_name", "a".into(), 1).expect("says nothing new");
        assert!(fields.set("collection_name", "b".into(), 1).is_err());
        assert!(fields.set("metadata", "{}".into(), 1).is_err());
        fields.set("wait", "false".into(), 1).expect("any time");
        assert!(!fields.wait);
    }

    #[test]
    fn chunks_are_counted_in_whole_numbers() {
        let mut fields = Fields::new(None, None);
        fields.set("chunk_size", "64".into(), 0).expect("a number");
        fields.set("chunk_overlap", " 0 ".into(), 0).expect("a number");
        assert_eq!((fields.chunk_size, fields.chunk_overlap), (Some(64), Some(0)));
        for (value, files) in [("-1", 0), ("many", 0), ("64", 1)] {
            let error = fields.set("chunk_size", value.into(), files).expect_err(value);
            assert_eq!(error.details["field"], "chunk_size");
        }
        fields.set("processing_mode", "thorough".into(), 0).expect("a mode");
        assert!(fields.set("processing_mode", "turbo".into(), 0).is_err());
    }

    #[test]
    fn metadata_is_flat() {
        let mut fields = Fields::new(None, None);
        fields
            .set("metadata", r#"{"a": "x", "b": 2, "c": true, "d": null}"#.into(), 0)
            .expect("flat");
        let expected = [("a", "x"), ("b", "2"), ("c", "true")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(fields.metadata, expected.into());
        assert!(fields.set("metadata", r#"{"a": []}"#.into(), 0).is_err());
        assert!(fields.set("metadata", "[]".into(), 0).is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_never_a_path(given in ".{0,300}") {
            if let Some(name) = name("form-data", Some(&given)) {
                prop_assert!(!name.is_empty() && !name.contains(['/', '\\', '\0']) && name.chars().count() <= MAX_FILENAME);
            }
        }

        #[test]
        fn no_disposition_panics(text in "[ -~]{0,80}") {
            let _ = extended_filename(&text);
        }
    }
}
