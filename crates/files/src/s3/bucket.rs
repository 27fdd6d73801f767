//! Objects below a prefix of a bucket, and how an object store's responses map to errors.
//!
//! The client retries with growing pauses (see [`connect`]): an error that is returned here was retried already.

use super::S3Options;
use crate::{Cause, FileError, Result, blocking};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart,
};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The part size of multipart uploads, in bytes; S3 requires at least 5 MiB.
const PIECE: u64 = 8 << 20;
/// Parts of one file that are sent at once.
const PIECES: usize = 4;
/// Objects that are removed at once.
const REMOVALS: usize = 16;
/// The longest time of one request: a part over a slow line.
const REQUEST: Duration = Duration::from_secs(60);
/// The longest time to connect to the server.
const CONNECT: Duration = Duration::from_secs(5);

/// Returns the client of the bucket.
///
/// # Errors
/// `Unusable` for invalid settings.
pub(super) fn connect(options: &S3Options) -> Result<Arc<dyn ObjectStore>> {
    // The client is built without a TLS provider of its own.
    ibid_system::tls::install_provider();
    let unusable = |key: &str, why: String| FileError::Unusable(format!("the setting `files.s3.{key}` {why}"));
    if options.bucket.is_empty() {
        return Err(unusable("bucket", "is empty, but `files.store` is s3".to_owned()));
    }
    if let Some(endpoint) = &options.endpoint
        && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme))
    {
        return Err(unusable(
            "endpoint",
            format!("must begin with http:// or https://, and is `{endpoint}`"),
        ));
    }
    let plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut client = ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT);
    if let Some(path) = &options.ca_file {
        let read = std::fs::read(path).map_err(|error| error.to_string());
        let parsed = read.and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
        let certificates = parsed.map_err(|why| unusable("ca_file", format!("cannot be used: {}: {why}", path.display())))?;
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    let builder = match (&options.access_key_id, options.secret_access_key.is_empty()) {
        (Some(id), false) => AmazonS3Builder::new()
            .with_access_key_id(id)
            .with_secret_access_key(options.secret_access_key.expose()),
        // Find credentials as AWS's own tools do: in variables, and from the pod's or the machine's role.
        (None, true) => AmazonS3Builder::from_env(),
        (Some(_), true) => {
            let why = "is missing beside `files.s3.access_key_id`: set both, or neither to use AWS's own variables and roles";
            return Err(unusable("secret_access_key", why.to_owned()));
        }
        (None, false) => {
            let why = "is missing beside `files.s3.secret_access_key`: set both, or neither to use AWS's own variables and roles";
            return Err(unusable("access_key_id", why.to_owned()));
        }
    };
    let mut builder = builder
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_virtual_hosted_style_request(!options.path_style)
        // Every such server supports one request for each object.
        .with_disable_bulk_delete(true)
        .with_client_options(client)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                max_backoff: Duration::from_secs(4),
                ..BackoffConfig::default()
            },
            // The time limit decides, not the number of retries.
            max_retries: if options.patience.is_zero() { 0 } else { usize::MAX },
            retry_timeout: options.patience,
        });
    if let Some(endpoint) = &options.endpoint {
        let endpoint = endpoint.trim_end_matches('/');
        builder = match endpoint.split_once("://").filter(|_| !options.path_style) {
            // The client expects the bucket in the host name.
            Some((scheme, host)) => builder.with_endpoint(format!("{scheme}://{}.{host}", options.bucket)),
            None => builder.with_endpoint(endpoint),
        };
    }
    let store = builder.build().map_err(|error| {
        let place = options.location();
        FileError::Unusable(format!("the settings `files.s3` do not make a client of {place}: {error}"))
    })?;
    Ok(Arc::new(store))
}

/// The result of a conditional read.
pub(super) enum Read {
    Absent,
    /// The object still has the tag.
    Unchanged,
    New {
        tag: Option<String>,
        bytes: Bytes,
    },
}

/// A bucket, and the prefix of its objects.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// For the log: `s3://bucket`.
    name: String,
}

impl Bucket {
    pub(super) fn new(store: Arc<dyn ObjectStore>, options: &S3Options) -> Self {
        Self {
            store,
            prefix: Path::from(options.prefix.as_str()),
            name: format!("s3://{}", options.bucket),
        }
    }

    /// Returns the path of an object or a folder.
    pub(super) fn path(&self, parts: &[&str]) -> Path {
        parts.iter().fold(self.prefix.clone(), |path, part| path.join(*part))
    }

    /// Converts an error of the object store.
    fn failed(&self, path: &Path, error: Error) -> FileError {
        let refused = is_refusal(&error);
        let cause = Cause {
            path: PathBuf::from(format!("{}/{path}", self.name)),
            error: io::Error::other(error),
        };
        if refused {
            FileError::Refused(cause)
        } else {
            FileError::Away(cause)
        }
    }

    /// Maps a missing object to `None`. A missing bucket is an error.
    fn absent<T>(&self, path: &Path, result: object_store::Result<T>) -> Result<Option<T>> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error @ Error::NotFound { .. }) if !is_refusal(&error) => Ok(None),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    /// Returns the metadata of an object; `None` if it does not exist.
    pub(super) async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>> {
        self.absent(path, self.store.head(path).await)
    }

    /// Reads a whole object, unless it still has this tag.
    pub(super) async fn read(&self, path: &Path, tag: Option<&str>) -> Result<Read> {
        let options = GetOptions {
            if_none_match: tag.map(str::to_owned),
            ..GetOptions::default()
        };
        let found = match self.store.get_opts(path, options).await {
            Err(Error::NotModified { .. }) => return Ok(Read::Unchanged),
            other => self.absent(path, other)?,
        };
        let Some(found) = found else { return Ok(Read::Absent) };
        let tag = found.meta.e_tag.clone();
        let bytes = found.bytes().await.map_err(|error| self.failed(path, error))?;
        Ok(Read::New { tag, bytes })
    }

    /// Returns a range of an object; `None` if it does not exist.
    pub(super) async fn range(&self, path: &Path, from: u64, to: u64) -> Result<Option<Bytes>> {
        if from >= to {
            return Ok(Some(Bytes::new()));
        }
        self.absent(path, self.store.get_range(path, from..to).await)
    }

    /// Writes an object in one request, and returns its tag.
    pub(super) async fn put(&self, path: &Path, bytes: Bytes) -> Result<Option<String>> {
        let put = self.store.put(path, bytes.into()).await;
        Ok(put.map_err(|error| self.failed(path, error))?.e_tag)
    }

    /// Writes a file as an object, atomically.
    pub(super) async fn put_file(&self, path: &Path, file: Arc<File>, size: u64) -> Result<()> {
        let piece = |from: u64| {
            let file = file.clone();
            let name = PathBuf::from(path.to_string());
            blocking::run(move || {
                let length = u32::try_from(size.saturating_sub(from).min(PIECE)).unwrap_or(u32::MAX);
                blocking::read_part(&file, from, length).map_err(FileError::io(&name))
            })
        };
        if size <= PIECE {
            self.put(path, piece(0).await?).await?;
            return Ok(());
        }
        let upload = self.store.put_multipart(path).await.map_err(|error| self.failed(path, error))?;
        let mut write = WriteMultipart::new_with_chunk_size(upload, usize::try_from(PIECE).unwrap_or(usize::MAX));
        let mut from = 0;
        let sent = async {
            while from < size {
                let bytes = piece(from).await?;
                if bytes.is_empty() {
                    return Err(FileError::Damaged(path.to_string()));
                }
                from += bytes.len() as u64;
                write.wait_for_capacity(PIECES).await.map_err(|error| self.failed(path, error))?;
                write.put(bytes);
            }
            Ok(())
        };
        match sent.await {
            Ok(()) => {
                write.finish().await.map_err(|error| self.failed(path, error))?;
                Ok(())
            }
            Err(error) => {
                // If the abort fails, the bucket's rule for unfinished uploads removes the parts.
                let _ = write.abort().await;
                Err(error)
            }
        }
    }

    /// Reads an object into a file, in order, and returns its size and SHA-256. `None` if it does not exist.
    pub(super) async fn get_file(&self, path: &Path, mut into: File) -> Result<Option<(u64, String)>> {
        let Some(size) = self.head(path).await?.map(|found| found.size) else {
            return Ok(None);
        };
        let starts = (0..size).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
        let mut pieces = stream::iter(starts)
            .map(|from| self.range(path, from, size.min(from.saturating_add(PIECE))))
            .buffered(PIECES);
        let mut hasher = Sha256::new();
        let name = PathBuf::from(path.to_string());
        while let Some(piece) = pieces.next().await {
            let Some(piece) = piece? else { return Ok(None) };
            let name = name.clone();
            (into, hasher) = blocking::run(move || {
                into.write_all(&piece).map_err(FileError::io(&name))?;
                hasher.update(&piece);
                Ok((into, hasher))
            })
            .await?;
        }
        Ok(Some((size, blocking::hex(&hasher.finalize()))))
    }

    /// Removes an object, which need not exist.
    pub(super) async fn remove(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) => Ok(()),
            Err(error @ Error::NotFound { .. }) if !is_refusal(&error) => Ok(()),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    /// Removes objects, several at a time.
    pub(super) async fn remove_all(&self, paths: impl IntoIterator<Item = Path>) -> Result<()> {
        stream::iter(paths)
            .map(|path| async move { self.remove(&path).await })
            .buffer_unordered(REMOVALS)
            .try_collect()
            .await
    }

    /// Lists all objects in a folder.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let listed: object_store::Result<Vec<ObjectMeta>> = self.store.list(Some(folder)).try_collect().await;
        Ok(self.absent(folder, listed)?.unwrap_or_default())
    }

    /// Checks that the store answers and accepts the credentials, by a request for an object that never exists.
    pub(super) async fn check(&self) -> Result<()> {
        self.read(&self.path(&["check"]), None).await.map(drop)
    }

    /// Checks that objects can be written, listed and removed.
    pub(super) async fn try_all(&self) -> Result<()> {
        let path = self.path(&["check", &uuid::Uuid::new_v4().simple().to_string()]);
        self.put(&path, Bytes::from_static(b"ibid")).await?;
        self.list(&self.path(&["check"])).await?;
        self.remove(&path).await
    }
}

/// Converts the error of a store that cannot be opened into one that names the setting and the remedy.
pub(super) fn remedy(options: &S3Options, error: FileError) -> FileError {
    let (FileError::Away(cause) | FileError::Refused(cause)) = &error else {
        return error;
    };
    let message = cause.error.to_string();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let (bucket, server) = (&options.bucket, options.server());
    FileError::Unusable(if has(&["169.254."]) {
        "there are no credentials: set `files.s3.access_key_id` and `files.s3.secret_access_key`, AWS's own variables, or give the machine \
         a role"
            .to_owned()
    } else if matches!(error, FileError::Away(_)) {
        let why = innermost(&cause.error);
        format!("{server} (`files.s3.endpoint`, `files.s3.region`) does not answer: {why}. Start it, or correct the setting")
    } else if has(&["NoSuchBucket"]) {
        format!("there is no bucket `{bucket}` (`files.s3.bucket`) at {server}: create it, or correct the setting")
    } else if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "status code: 401"]) {
        format!("{server} does not accept the credentials: correct `files.s3.access_key_id` and `files.s3.secret_access_key`")
    } else if has(&["status code: 403"]) {
        format!(
            "{server} does not allow these credentials to list, read, write and delete in the bucket `{bucket}`: grant them these rights, or correct \
             `files.s3.bucket`, `files.s3.access_key_id` and `files.s3.secret_access_key`"
        )
    } else if has(&[
        "AuthorizationHeaderMalformed",
        "PermanentRedirect",
        "IllegalLocationConstraint",
        "without LOCATION",
    ]) {
        format!(
            "the bucket `{bucket}` is not in the region `{}`: correct `files.s3.region`",
            options.region
        )
    } else {
        format!("{server} refuses the bucket `{bucket}` (`files.s3`): {message}")
    })
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        last = next.to_string();
        cause = next.source();
    }
    last
}

/// Returns whether the server answered, and will answer the same next time. The client's own errors have the status only in their text.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        Error::NotFound { source, .. } => source.to_string().contains("NoSuchBucket"),
        Error::Generic { source, .. } => {
            let message = source.to_string();
            message.contains("without LOCATION")
                || message.contains("status code: 3")
                || (message.contains("status code: 4")
                    && !["408", "425", "429"]
                        .iter()
                        .any(|code| message.contains(&format!("status code: {code}"))))
        }
        _ => false,
    }
}
