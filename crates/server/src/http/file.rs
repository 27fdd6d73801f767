//! `GET /documents/{id}/file`: the original bytes, whole or in part, and harmless.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::range::{ByteRange, content_disposition, names_etag};
use super::respond::{Body, BodyError, Failure, Reply, empty};
use crate::limits::Budget;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use hyper::{HeaderMap, Response, StatusCode};
use ibid_auth::Scope;
use ibid_engine::DocumentFile;
use ibid_engine::Read;
use ibid_protocol::{ApiError, ErrorCode};
use serde::Deserialize;
use std::io::{self, SeekFrom};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Get,
    path: "/documents/{id}/file",
    scope: Some(Scope::Read),
    budget: Some(Budget::Request),
    handler: |call| Box::pin(get(call)),
    operation: |op| {
        op.about(Tag::Documents, "The file as it was uploaded")
            .query::<FileParams>()
            .header("Range", "One range of bytes (RFC 9110, 14).")
            .answers(200, "The bytes, with the media type of the file.", "*/*", None)
            .answers(206, "The requested bytes.", "*/*", None)
            .empty(304, "The client already has the file.")
            .errors(&[416])
    },
}];

/// Bytes read from the disk at a time.
const PIECE: usize = 64 << 10;

/// An uploaded page is a stranger's: it may show itself, but run no script and reach nothing.
const HARMLESS: &str = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// Parameters of `GET /documents/{id}/file`.
#[derive(Deserialize, IntoParams)]
pub(super) struct FileParams {
    /// Have browsers save it instead of showing it.
    download: Option<bool>,
}

/// `GET /documents/{id}/file`; with `?download=true` browsers save it instead of showing it.
async fn get(call: &Call) -> Result<Reply, Failure> {
    let id = call.path_parameter();
    let FileParams { download } = call.params()?;
    let file = call.with::<Read>()?.document_file(id).await?;
    let etag = format!("\"{}\"", file.sha256);
    let described = describe(&file, &etag, download == Some(true));
    let asked = call.request.headers();

    let mut reply = if field(asked, IF_NONE_MATCH).is_some_and(|tags| names_etag(tags, &etag)) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let still_the_same = field(asked, IF_RANGE).is_none_or(|tag| tag == etag);
        let range = field(asked, RANGE)
            .filter(|_| still_the_same)
            .map_or(ByteRange::Whole, |range| ByteRange::parse(range, file.size));
        match range {
            ByteRange::Whole => part(file, None).await?,
            ByteRange::Part { start, end } => part(file, Some((start, end))).await?,
            ByteRange::Unsatisfiable => {
                let error =
                    ApiError::new(ErrorCode::RangeNotSatisfiable, format!("The file has {} bytes.", file.size)).with("size", file.size);
                return Err(with_header(Failure::from(error), CONTENT_RANGE, format!("bytes */{}", file.size)));
            }
        }
    };
    reply.headers_mut().extend(described);
    Ok(reply)
}

/// The header fields that every answer about the file has.
fn describe(file: &DocumentFile, etag: &str, download: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_str(&file.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    // Browsers show PDF in a viewer of their own, which a sandbox would keep from starting.
    if !file.content_type.eq_ignore_ascii_case("application/pdf") {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(HARMLESS));
    }
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The bytes never change under an identifier, but the document may be deleted: ask each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    for (name, text) in [
        (ETAG, etag),
        (CONTENT_DISPOSITION, content_disposition(&file.filename, download).as_str()),
    ] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    headers
}

async fn part(file: DocumentFile, range: Option<(u64, u64)>) -> Result<Reply, Failure> {
    let (start, end) = range.unwrap_or((0, file.size));
    let length = end - start;
    let mut source = tokio::fs::File::from_std(file.file);
    if start > 0 {
        source.seek(SeekFrom::Start(start)).await.map_err(unreadable)?;
    }
    let pieces = ReaderStream::with_capacity(source.take(length), PIECE);
    let body: Body = StreamBody::new(pieces.map_ok(Frame::data).map_err(BodyError::from)).boxed_unsync();
    let mut reply = Response::new(body);
    reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if range.is_some() {
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        if let Ok(value) = HeaderValue::from_str(&format!("bytes {start}-{}/{}", end.saturating_sub(1), file.size)) {
            reply.headers_mut().insert(CONTENT_RANGE, value);
        }
    }
    Ok(reply)
}

fn unreadable(error: io::Error) -> ApiError {
    tracing::error!(%error, "a document's file cannot be read");
    ApiError::new(ErrorCode::InternalError, "The file cannot be read.")
}

fn field(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn with_header(failure: Failure, name: HeaderName, value: String) -> Failure {
    match HeaderValue::from_str(&value) {
        Ok(value) => failure.header(name, value),
        Err(_) => failure,
    }
}
