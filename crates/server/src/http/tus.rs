//! `/uploads`: resumable uploads by the protocol tus 1.0.0 (<https://tus.io/protocols/resumable-upload>): core, creation,
//! creation-with-upload, termination, expiration.
//!
//! An upload here is one like any other: what was begun here may be gone on with over `/ws/upload`, and the other way round.

#[cfg(test)]
mod fuzz;
mod metadata;

use super::body::{broken_off, too_slow};
use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::params::from_str;
use super::respond::{Failure, Reply, empty, json};
use crate::limits::Budget;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{HeaderMap, Method, StatusCode};
use ibid_auth::Scope;
use ibid_engine::Write;
use ibid_engine::{NewUpload, Upload};
use ibid_protocol::{ApiError, ErrorCode, UploadInfo};
use metadata::Metadata;
use serde::Deserialize;
use std::str::FromStr;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use tokio::time::timeout;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{Content, Schema};

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Post,
        path: "/uploads",
        scope: Some(Scope::Write),
        budget: Some(Budget::Upload),
        handler: |call| Box::pin(answer(call, None)),
        operation: |op| {
            op.about(Tag::Documents, "Begin a resumable upload")
            .description("tus 1.0.0 with creation, creation-with-upload, termination and expiration. `Location` has the URL of the upload.")
            .header("Tus-Resumable", "`1.0.0`; without it the answer is 412.")
            .header("Upload-Length", "Bytes of the file.")
            .header("Upload-Metadata", "Pairs of a key and a value in base64: `filename`, and optionally `filetype`, `collection_name`, `chunk_size`, `chunk_overlap`; others are kept with the document.")
            .body(bytes_body())
            .empty(201, "The upload waits for its bytes.")
            .errors(&[404, 408, 409, 412, 413, 415])
        },
    },
    Endpoint {
        method: Verb::Options,
        path: "/uploads",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(answer(call, None)),
        operation: |op| op,
    },
    Endpoint {
        method: Verb::Get,
        path: "/uploads/{id}",
        scope: Some(Scope::Write),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(answer_one(call)),
        operation: |op| {
            op.about(Tag::Documents, "Get the progress or the result of an upload")
                .gives::<UploadInfo>(200, "The upload.")
                .errors(&[404, 409, 410, 412])
        },
    },
    Endpoint {
        method: Verb::Patch,
        path: "/uploads/{id}",
        scope: Some(Scope::Write),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(answer_one(call)),
        operation: |op| {
            op.about(Tag::Documents, "Continue an upload")
                .header("Tus-Resumable", "`1.0.0`; without it the answer is 412.")
                .header(
                    "Upload-Offset",
                    "The offset of the first byte sent: the number of bytes that the server has.",
                )
                .body(bytes_body())
                .empty(204, "The bytes are durable.")
                .errors(&[404, 408, 409, 410, 412, 413, 415])
        },
    },
    Endpoint {
        method: Verb::Delete,
        path: "/uploads/{id}",
        scope: Some(Scope::Write),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(answer_one(call)),
        operation: |op| {
            op.about(Tag::Documents, "Cancel an upload")
                .header("Tus-Resumable", "`1.0.0`; without it the answer is 412.")
                .empty(204, "Nothing of it is left.")
                .errors(&[404, 409, 412])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/uploads/{id}",
        scope: Some(Scope::Write),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(answer_one(call)),
        operation: |op| {
            op.about(Tag::Documents, "Send the method that `X-HTTP-Method-Override` names")
                .header("Tus-Resumable", "`1.0.0`; without it the answer is 412.")
                .header("X-HTTP-Method-Override", "PATCH or DELETE.")
                .body(bytes_body())
                .empty(204, "It is done.")
                .errors(&[404, 405, 408, 409, 410, 412, 413, 415])
        },
    },
    Endpoint {
        method: Verb::Options,
        path: "/uploads/{id}",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(answer_one(call)),
        operation: |op| op,
    },
];

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue = HeaderValue::from_static("creation,creation-with-upload,termination,expiration");
const BYTES: &str = "application/offset+octet-stream";

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The methods of `/uploads`, as `Allow` lists them.
const ALL: &str = "POST, OPTIONS";
/// The methods of `/uploads/{id}`; POST for those who name another one in `X-HTTP-Method-Override`.
const ONE: &str = "GET, HEAD, PATCH, DELETE, POST, OPTIONS";

/// Parameters that may stand in the URL instead of the metadata.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CreateParams {
    collection_name: Option<String>,
}

/// Describes the body that carries bytes of a file.
fn bytes_body() -> RequestBody {
    RequestBodyBuilder::new().content(BYTES, Content::new(None::<Schema>)).build()
}

/// Answers a request to `/uploads/{id}`.
async fn answer_one(call: &mut Call) -> Result<Reply, Failure> {
    let id = call.path_parameter().to_owned();
    answer(call, Some(&id)).await
}

/// Answers a request to `/uploads`, or to `/uploads/{id}`.
async fn answer(call: &mut Call, id: Option<&str>) -> Result<Reply, Failure> {
    match by_method(call, id).await {
        Ok(mut reply) => {
            reply.headers_mut().insert(TUS_RESUMABLE, VERSION);
            Ok(reply)
        }
        Err(failure) => Err(failure.header(TUS_RESUMABLE, VERSION)),
    }
}

async fn by_method(call: &mut Call, id: Option<&str>) -> Result<Reply, Failure> {
    let allow = HeaderValue::from_static(if id.is_some() { ONE } else { ALL });
    let method = method(call)?;
    if method == Method::OPTIONS {
        let mut reply = empty(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        headers.insert(ALLOW, allow);
        headers.insert(TUS_VERSION, VERSION);
        headers.insert(TUS_EXTENSION, EXTENSIONS);
        headers.insert(TUS_MAX_SIZE, call.shared.engine.max_upload_bytes().into());
        return Ok(reply);
    }
    call.subject.require(Scope::Write)?;
    if method == Method::GET
        && let Some(id) = id
    {
        return Ok(json(StatusCode::OK, &known(call, id).await?));
    }
    if call.request.headers().get(TUS_RESUMABLE).is_none_or(|version| version != VERSION) {
        let error = ApiError::validation("Tus-Resumable", "must be 1.0.0, the version of tus that is spoken here");
        return Err(Failure::with_status(error, StatusCode::PRECONDITION_FAILED).header(TUS_VERSION, VERSION));
    }
    match (method, id) {
        (Method::POST, None) => create(call).await,
        (Method::HEAD, Some(id)) => offset(call, id).await,
        (Method::PATCH, Some(id)) => append(call, id).await,
        (Method::DELETE, Some(id)) => {
            call.with::<Write>()?.cancel_upload(id).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let methods = if id.is_some() { ONE } else { ALL };
            let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("This path has {methods}."));
            Err(Failure::from(error).header(ALLOW, allow))
        }
    }
}

/// The method that is meant. Only a POST may mean another one: it is checked for its origin as that one would be.
fn method(call: &Call) -> Result<Method, ApiError> {
    let method = call.request.method();
    let meant = call.request.headers().get(METHOD_OVERRIDE).filter(|_| method == Method::POST);
    match meant {
        None => Ok(method.clone()),
        Some(meant) => Method::from_bytes(meant.as_bytes()).map_err(|_| ApiError::validation("X-HTTP-Method-Override", "must be a method")),
    }
}

/// An upload that the caller may know of.
async fn known(call: &Call, id: &str) -> Result<UploadInfo, ApiError> {
    call.with::<Write>()?.upload_of(id).await
}

/// The same if its bytes are of any use.
async fn alive(call: &Call, id: &str) -> Result<UploadInfo, Failure> {
    let info = known(call, id).await?;
    if info.status == "cancelled" {
        let error = ApiError::new(ErrorCode::ResourceNotFound, "the upload was cancelled, or has expired").with("upload_id", id);
        return Err(Failure::with_status(error, StatusCode::GONE));
    }
    Ok(info)
}

async fn create(call: &mut Call) -> Result<Reply, Failure> {
    let Some(length) = number(call.request.headers(), &UPLOAD_LENGTH)? else {
        return Err(ApiError::validation("Upload-Length", "is missing: the size must be known at creation").into());
    };
    let params: CreateParams = from_str(call.request.uri().query().unwrap_or_default())?;
    let raw = text(call.request.headers(), &UPLOAD_METADATA)?.map(str::to_owned);
    let given = Metadata::read(raw.as_deref().unwrap_or_default())?;
    let collection_name = given.collection_name.or(params.collection_name);
    let granted = call.with::<Write>()?;
    granted.require_collection(collection_name.as_deref())?;
    let with_bytes = match call.request.headers().get(CONTENT_TYPE) {
        Some(kind) if kind == BYTES => true,
        _ if call.request.body().size_hint().lower() == 0 => false,
        _ => return Err(wrong_type()),
    };
    let mut upload = granted
        .begin_upload(NewUpload {
            filename: given.filename,
            collection_name,
            content_type: given.content_type,
            size: Some(length),
            metadata: given.other,
            chunk_size: given.chunk_size,
            chunk_overlap: given.chunk_overlap,
            resumable: true,
            tus_metadata: raw,
        })
        .await?;
    upload.announce(length, true);
    let id = upload.id().to_owned();
    let mut received = 0;
    if with_bytes {
        received = receive(call, &mut upload).await?;
    }
    settle(upload).await?;

    let mut reply = empty(StatusCode::CREATED);
    let path = call.request.uri().path().trim_end_matches('/');
    let location = HeaderValue::from_str(&format!("{path}/{id}")).map_err(|error| {
        tracing::error!(%error, "a path cannot be a header field");
        ApiError::new(ErrorCode::InternalError, "The server cannot build the URL of the upload.")
    })?;
    reply.headers_mut().insert(LOCATION, location);
    if with_bytes {
        reply.headers_mut().insert(UPLOAD_OFFSET, received.into());
    }
    expires(&mut reply, &known(call, &id).await?);
    Ok(reply)
}

async fn offset(call: &Call, id: &str) -> Result<Reply, Failure> {
    let info = alive(call, id).await?;
    let mut reply = empty(StatusCode::OK);
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(UPLOAD_OFFSET, info.bytes_uploaded.into());
    if let Some(length) = info.total_bytes {
        headers.insert(UPLOAD_LENGTH, length.into());
    }
    if let Some(metadata) = info
        .tus_metadata
        .as_deref()
        .and_then(|metadata| HeaderValue::from_str(metadata).ok())
    {
        headers.insert(UPLOAD_METADATA, metadata);
    }
    expires(&mut reply, &info);
    Ok(reply)
}

async fn append(call: &mut Call, id: &str) -> Result<Reply, Failure> {
    if call.request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != BYTES) {
        return Err(wrong_type());
    }
    let Some(at) = number(call.request.headers(), &UPLOAD_OFFSET)? else {
        return Err(ApiError::validation("Upload-Offset", "is missing").into());
    };
    let info = alive(call, id).await?;
    // Before anybody who is writing is interrupted.
    check_offset(at, info.bytes_uploaded)?;
    if info
        .total_bytes
        .is_some_and(|total| at.saturating_add(call.request.body().size_hint().lower()) > total)
    {
        return Err(too_long());
    }
    if !info.resumable {
        // Nothing is to come, and nothing does.
        let mut reply = empty(StatusCode::NO_CONTENT);
        reply.headers_mut().insert(UPLOAD_OFFSET, info.bytes_uploaded.into());
        return Ok(reply);
    }
    let mut upload = call.with::<Write>()?.resume_upload(id).await?;
    check_offset(at, upload.received())?;
    let received = receive(call, &mut upload).await?;
    settle(upload).await?;
    let mut reply = empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert(UPLOAD_OFFSET, received.into());
    expires(&mut reply, &known(call, id).await?);
    Ok(reply)
}

/// Writes the body to the upload, as it comes. What came of one that breaks off is kept.
async fn receive(call: &mut Call, upload: &mut Upload) -> Result<u64, Failure> {
    let pause = call.shared.settings.body_timeout;
    call.body_was_read = true;
    let body = call.request.body_mut();
    while let Some(frame) = timeout(pause, body.frame()).await.map_err(|_| too_slow())? {
        let Ok(bytes) = frame.map_err(|_| broken_off())?.into_data() else {
            continue;
        };
        upload.write(bytes).await.map_err(|error| match error.code {
            ErrorCode::ValidationError => too_long(),
            _ => error.into(),
        })?;
    }
    Ok(upload.received())
}

/// Makes a document of an upload that is whole, and what came of any other durable.
async fn settle(mut upload: Upload) -> Result<(), ApiError> {
    if upload.size() == Some(upload.received()) {
        upload.finish().await.map(drop)
    } else {
        upload.sync().await.map(drop)
    }
}

fn check_offset(said: u64, is: u64) -> Result<(), Failure> {
    if said == is {
        return Ok(());
    }
    let error = ApiError::new(ErrorCode::Conflict, format!("The upload has {is} bytes: go on from there.")).with("bytes_uploaded", is);
    Err(Failure::from(error).header(UPLOAD_OFFSET, is.into()))
}

fn too_long() -> Failure {
    ApiError::new(ErrorCode::PayloadTooLarge, "More bytes come than the upload was said to have.").into()
}

fn wrong_type() -> Failure {
    ApiError::new(
        ErrorCode::UnsupportedMediaType,
        format!("The bytes of an upload must be sent with `Content-Type: {BYTES}`."),
    )
    .into()
}

fn expires(reply: &mut Reply, info: &UploadInfo) {
    let time = info.expires.as_deref().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    // As HTTP writes times: RFC 9110, 5.6.7, is RFC 2822 but for the zone's name.
    let text = time
        .and_then(|time| time.format(&Rfc2822).ok())
        .map(|text| text.replace("+0000", "GMT"));
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        reply.headers_mut().insert(UPLOAD_EXPIRES, value);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let value = headers.get(name);
    value
        .map(|value| value.to_str().map_err(|_| ApiError::validation(name.as_str(), "must be ASCII")))
        .transpose()
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, ApiError> {
    text(headers, name)?
        .map(|value| u64::from_str(value.trim()).map_err(|_| ApiError::validation(name.as_str(), "must be a whole number, 0 or more")))
        .transpose()
}
