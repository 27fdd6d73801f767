//! `POST /documents/upload`: files go to the engine as they arrive, never whole in memory.

mod form;
#[cfg(test)]
mod fuzz;
mod gate;
mod outcome;
mod size;

use super::body::{broken_off, too_slow};
use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::params::from_str;
use super::respond::{Failure, Reply};
use crate::limits::Budget;
use form::Fields;
use futures_util::TryStreamExt;
use gate::{Gate, HeadTooLong};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::CONTENT_TYPE;
use ibid_auth::Scope;
use ibid_engine::{Granted, NewUpload, PendingIngest, Upload, Write};
use ibid_protocol::{ApiError, ErrorCode, FailedDocument};
use ibid_protocol::{UploadAccepted, UploadResponse};
use ibid_telemetry::catalogue::{self, limit};
use multer::{Constraints, Field, Multipart, SizeLimit};
use outcome::{Filed, Outcome};
use serde::Deserialize;
use size::FormSize;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};
use utoipa::IntoParams;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Post,
    path: "/documents/upload",
    scope: Some(Scope::Write),
    budget: Some(Budget::Upload),
    handler: |call| Box::pin(upload(call)),
    operation: |op| {
        op.about(Tag::Documents, "Upload files")
            .description("Waits until the files can be found, and answers 201; with `wait=false` it answers 202 at once. Fields that say where the files belong must stand before them in the form.")
            .query::<UploadParams>()
            .body(form::request_body())
            .gives::<UploadResponse>(201, "What became of each file; at least one can be found.")
            .gives::<UploadAccepted>(202, "The files are on disk and will be processed.")
            .errors(&[404, 408, 409, 413, 415, 422, 504])
    },
}];

/// Files that are received but held back while their collection is not known: it may still follow.
const HELD_FILES: usize = 16;

/// How long a file of unknown size may take to arrive before it is announced; it is then announced with the largest size allowed.
const QUIET: Duration = Duration::from_millis(500);

/// Parameters that may stand in the URL instead of the form.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
pub(super) struct UploadParams {
    /// As the form field of that name.
    collection_name: Option<String>,
    /// As the form field of that name.
    wait: Option<bool>,
}

/// `POST /documents/upload`.
async fn upload(call: &mut Call) -> Result<Reply, Failure> {
    let begun = Instant::now();
    let params: UploadParams = from_str(call.request.uri().query().unwrap_or_default())?;
    let boundary = boundary(call)?;
    let settings = &call.shared.settings;
    let limit = call.shared.max_upload_request_bytes();
    if call.request.body().size_hint().lower() > limit {
        return Err(request_too_large(limit));
    }
    let size = FormSize::new(call.request.body().size_hint().exact(), &boundary);
    let mut upload_form = UploadForm {
        size: size.clone(),
        gate: Gate::new(),
        granted: call.with::<Write>()?,
        pause: settings.body_timeout,
        max_file_bytes: call.shared.engine.max_upload_bytes(),
        max_files: settings.max_files_per_upload,
        parts: 0,
        fields: Fields::new(params.collection_name, params.wait),
        held: Vec::new(),
        filed: Vec::new(),
    };
    call.body_was_read = true;
    let body = call.request.body_mut().into_data_stream();
    let body = body.inspect_ok(|bytes| size.pass(bytes)).map_err(|error| {
        tracing::debug!(%error, "an upload broke off");
        error
    });
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
    let form = Multipart::with_constraints(upload_form.gate.guard(body), boundary, constraints);
    if let Err(failure) = upload_form.receive(form, limit).await {
        upload_form.give_up(&failure).await;
        return Err(failure);
    }
    let wait = upload_form.fields.wait;
    outcome::report(upload_form.filed, wait, begun).await
}

/// The files and fields of one request, as they arrive.
struct UploadForm {
    granted: Granted<Write>,
    /// How long the body may pause.
    pause: Duration,
    max_file_bytes: u64,
    max_files: usize,
    /// Parts of the form so far.
    parts: usize,
    size: FormSize,
    gate: Gate,
    fields: Fields,
    /// Received, but not handed over to be processed: a field that says where they belong may still follow.
    held: Vec<Held>,
    filed: Vec<Filed>,
}

struct Held {
    upload: Upload,
    filename: String,
    bytes: u64,
}

impl UploadForm {
    /// Takes the form apart until its end.
    async fn receive(&mut self, mut form: Multipart<'_>, limit: u64) -> Result<(), Failure> {
        let mut files = 0;
        while let Some(field) = timeout(self.pause, self.gate.next_part(&mut form))
            .await
            .map_err(|_| too_slow())?
            .map_err(|error| malformed(error, limit))?
        {
            self.parts += 1;
            let name = field.name().unwrap_or_default().to_owned();
            let filename = form::filename(field.headers(), field.file_name());
            match (name.as_str(), filename) {
                ("files" | "files[]" | "file", Some(filename)) => {
                    files += 1;
                    if files > self.max_files {
                        return Err(ApiError::validation("files", format!("must be at most {} in one request", self.max_files)).into());
                    }
                    self.take_file(field, filename, limit).await?;
                }
                ("files" | "files[]" | "file", None) => {
                    return Err(ApiError::validation("files", "must be sent as files, with a file name").into());
                }
                (_, Some(_)) => {
                    return Err(
                        ApiError::validation("files", format!("must be the name of the form field with the files, not `{name}`")).into(),
                    );
                }
                (_, None) => {
                    let value = form::value(field, &name, self.pause, limit).await?;
                    self.fields.set(&name, value, files)?;
                }
            }
        }
        if files == 0 {
            return Err(ApiError::validation("files", "is missing: send at least one file in the form field `files`").into());
        }
        self.release().await;
        Ok(())
    }

    async fn take_file(&mut self, field: Field<'_>, filename: String, limit: u64) -> Result<(), Failure> {
        // What was held belongs to the default collection unless a field says otherwise, and not all can be held.
        if self.held.len() >= HELD_FILES {
            self.release().await;
        }
        self.granted.require_collection(self.fields.collection_name.as_deref())?;
        let new = NewUpload {
            filename: filename.clone(),
            collection_name: self.fields.collection_name.clone(),
            content_type: field.content_type().map(ToString::to_string),
            size: form::content_length(field.headers()),
            metadata: self.fields.metadata.clone(),
            chunk_size: self.fields.chunk_size,
            chunk_overlap: self.fields.chunk_overlap,
            ..NewUpload::default()
        };
        let upload = match self.granted.begin_upload(new).await {
            Ok(upload) => upload,
            // It is about this file alone: the others may do.
            Err(error)
                if matches!(error.code, ErrorCode::UnsupportedMediaType | ErrorCode::PayloadTooLarge)
                    || !self.filed.is_empty()
                    || !self.held.is_empty() =>
            {
                self.fail(String::new(), filename, &error, 0);
                return form::skip(field, self.pause, limit).await;
            }
            Err(error) => return Err(error.into()),
        };
        self.fill(field, upload, filename, limit).await
    }

    /// Writes a file's bytes to its upload as they come: the engine's pace holds the client.
    async fn fill(&mut self, mut field: Field<'_>, mut upload: Upload, filename: String, limit: u64) -> Result<(), Failure> {
        let mut bytes = 0;
        if let Some(size) = upload.size() {
            upload.announce(size, true);
        }
        let mut announced = upload.size().is_some();
        let quiet = tokio::time::Instant::now() + QUIET;
        let error = loop {
            let next = tokio::select! {
                next = timeout(self.pause, field.chunk()) => next,
                () = sleep_until(quiet), if !announced => {
                    announced = true;
                    upload.announce(self.size.at_most(self.parts).unwrap_or(bytes), false);
                    continue;
                }
            };
            let piece = match next {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => {
                    upload.announce(bytes, true);
                    self.held.push(Held { upload, filename, bytes });
                    if self.fields.collection_name.is_some() {
                        self.release().await;
                    }
                    return Ok(());
                }
                Ok(Err(error)) => {
                    let failure = malformed(error, limit);
                    upload.abort(failure.error().clone()).await;
                    return Err(failure);
                }
                Err(_) => {
                    let failure = too_slow();
                    upload.abort(failure.error().clone()).await;
                    return Err(failure);
                }
            };
            bytes += piece.len() as u64;
            if bytes > self.max_file_bytes {
                break file_too_large(self.max_file_bytes);
            }
            if let Err(error) = upload.write(piece).await {
                break error;
            }
        };
        let id = upload.id().to_owned();
        upload.abort(error.clone()).await;
        self.fail(id, filename, &error, bytes);
        form::skip(field, self.pause, limit).await
    }

    /// Hands over what was held.
    async fn release(&mut self) {
        for Held { upload, filename, bytes } in std::mem::take(&mut self.held) {
            let id = upload.id().to_owned();
            match upload.finish().await {
                Ok(pending) => self.filed.push(Filed {
                    upload_id: id,
                    bytes,
                    outcome: Outcome::Pending(pending),
                }),
                Err(error) => self.fail(id, filename, &error, bytes),
            }
        }
    }

    fn fail(&mut self, upload_id: String, filename: String, error: &ApiError, bytes: u64) {
        let document = outcome::failed(upload_id.clone(), filename, error);
        self.filed.push(Filed {
            upload_id,
            bytes,
            outcome: Outcome::Failed(document),
        });
    }

    /// Ends the uploads that were not handed over.
    async fn give_up(&mut self, failure: &Failure) {
        for held in std::mem::take(&mut self.held) {
            held.upload.abort(failure.error().clone()).await;
        }
    }
}

/// The boundary between the form's parts, from the content type.
fn boundary(call: &Call) -> Result<String, Failure> {
    let content_type = call
        .request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    multer::parse_boundary(content_type).map_err(|_| {
        ApiError::new(
            ErrorCode::UnsupportedMediaType,
            "Send the files as a form: `Content-Type: multipart/form-data; boundary=...`.",
        )
        .into()
    })
}

/// What is wrong with a form, in the terms of the client.
fn malformed(error: multer::Error, limit: u64) -> Failure {
    match error {
        multer::Error::StreamSizeExceeded { .. } => request_too_large(limit),
        multer::Error::StreamReadFailed(error) if error.is::<HeadTooLong>() => {
            ApiError::new(ErrorCode::InvalidMessage, format!("The form is malformed: {error}.")).into()
        }
        multer::Error::StreamReadFailed(_)
        | multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => broken_off(),
        other => ApiError::new(ErrorCode::InvalidMessage, format!("The form is malformed: {other}.")).into(),
    }
}

fn request_too_large(limit: u64) -> Failure {
    ApiError::new(
        ErrorCode::PayloadTooLarge,
        format!("The request has more than {limit} bytes: send the files in several."),
    )
    .with("max_bytes", limit)
    .into()
}

fn file_too_large(limit: u64) -> ApiError {
    catalogue::refused(limit::UPLOAD_BYTES);
    ApiError::new(ErrorCode::PayloadTooLarge, format!("The file has more than {limit} bytes.")).with("max_bytes", limit)
}

/// Of one file.
type Ended = Result<ibid_protocol::UploadedDocument, FailedDocument>;

/// Waits for one file.
async fn ended(outcome: Outcome) -> Ended {
    match outcome {
        Outcome::Pending(pending) => PendingIngest::outcome(pending).await,
        Outcome::Failed(failed) => Err(failed),
    }
}
