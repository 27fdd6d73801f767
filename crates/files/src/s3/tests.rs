//! The file store in a bucket, beyond what every store must do: copies, several servers, and an object store that fails.

use super::super::contract::{FRESH, RESUMED, sha256, stored, written};
use super::super::moto::Moto;
use super::*;
use crate::LocalExclusion;
use futures_util::stream::BoxStream;
use ibid_types::ErrorCode;
use ibid_types::secret::Secret;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;

/// Objects in memory, behind a network that can be cut and counts what is read.
#[derive(Debug, Default)]
struct Network {
    objects: InMemory,
    cut: AtomicBool,
    /// Requests that brought an object's bytes.
    reads: AtomicUsize,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a network")
    }
}

impl Network {
    fn pass(&self) -> object_store::Result<()> {
        match self.cut.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(object_store::Error::Generic {
                store: "test",
                source: "nobody answers".into(),
            }),
        }
    }

    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl ObjectStore for Network {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.pass()?;
        self.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.pass()?;
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> object_store::Result<GetResult> {
        self.pass()?;
        let head = options.head;
        let found = self.objects.get_opts(location, options).await?;
        if !head {
            self.reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> object_store::Result<ListResult> {
        self.pass()?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> object_store::Result<()> {
        self.pass()?;
        self.objects.copy_opts(from, to, options).await
    }
}

fn options(cache_bytes: u64) -> S3Options {
    S3Options {
        cache_bytes,
        ..S3Options::new("documents")
    }
}

/// Returns a server's store over the network.
async fn server(network: &Arc<Network>, cache_bytes: u64) -> (Arc<S3Store>, TempDir) {
    let machine = TempDir::new().unwrap();
    let exclusion = Arc::new(LocalExclusion::default());
    let store = S3Store::over(network.clone(), machine.path(), &options(cache_bytes), exclusion).await;
    (Arc::new(store.unwrap()), machine)
}

fn read_all(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn readers_of_one_absent_file_fetch_it_once() {
    let network = Arc::new(Network::default());
    let (first, _machine) = server(&network, 1 << 20).await;
    let digest = stored(&*first, "upload_1", b"read by many").await.unwrap().sha256;
    assert_eq!(read_all(first.open(&digest).await.unwrap()), b"read by many");
    assert_eq!(network.reads(), 0, "it was here when it was stored");

    let (second, _machine) = server(&network, 1 << 20).await;
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let (store, digest) = (second.clone(), digest.clone());
            tokio::spawn(async move { read_all(store.open(&digest).await.unwrap()) })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), b"read by many");
    }
    assert_eq!(network.reads(), 1);
}

#[tokio::test]
async fn what_another_server_rewrote_is_never_quoted_from_an_old_copy() {
    let network = Arc::new(Network::default());
    let (first, _machine) = server(&network, 1 << 20).await;
    let (second, _machine2) = server(&network, 1 << 20).await;
    first.write_document("doc_1", written("as it was")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(second.read_text("doc_1", Span::new(0, 9)).await.unwrap(), "as it was");
    }
    assert_eq!(network.reads(), 1);
    second.write_document("doc_1", written("as it became")).await.unwrap();
    for store in [&first, &second] {
        for _ in 0..2 {
            assert_eq!(store.read_document("doc_1").await.unwrap(), *written("as it became"));
        }
    }
    assert_eq!(network.reads(), 1, "only the first server had an old copy");
    assert!(first.remove_document("doc_1").await.unwrap());
    assert_eq!(
        second.read_text("doc_1", Span::new(0, 1)).await.unwrap_err().code(),
        ErrorCode::ResourceNotFound
    );
}

#[tokio::test]
async fn the_cache_has_a_limit_and_takes_no_file_from_its_reader() {
    let network = Arc::new(Network::default());
    let (store, machine) = server(&network, 100).await;
    let mut digests = Vec::new();
    for n in 0..5_u8 {
        let done = stored(&*store, &format!("upload_{n}"), &[n; 40]).await.unwrap();
        digests.push(done.sha256);
    }
    let open = store.open(&digests[0]).await.unwrap();
    assert_eq!(network.reads(), 1);
    for (n, digest) in (0..5_u8).zip(&digests) {
        assert_eq!(read_all(store.open(digest).await.unwrap()), [n; 40]);
    }
    assert_eq!(read_all(open), [0; 40]);
    // One that has no room is read all the same.
    let large = stored(&*store, "upload_9", &[9; 200]).await.unwrap().sha256;
    assert_eq!(read_all(store.open(&large).await.unwrap()).len(), 200);
    // Copies go on threads of their own.
    let size = || -> u64 {
        let copies = std::fs::read_dir(machine.path().join("copies")).unwrap();
        copies.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    while size() > 100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn while_the_object_store_is_away_nothing_is_lost() {
    let network = Arc::new(Network::default());
    let (store, _machine) = server(&network, 1 << 20).await;
    store.write_document("doc_1", written("kept")).await.unwrap();
    let staging = store.stage("upload_1", RESUMED).await.unwrap();
    staging.append(Bytes::from_static(b"one ")).await.unwrap();
    assert_eq!(staging.sync().await.unwrap(), 4);
    network.cut.store(true, Ordering::Relaxed);
    staging.append(Bytes::from_static(b"two")).await.unwrap();
    let errors = [
        staging.sync().await.unwrap_err(),
        // Nothing says that the copy here is still what counts.
        store.read_document("doc_1").await.unwrap_err(),
        store.write_document("doc_2", written("x")).await.unwrap_err(),
        store.check().await.unwrap_err(),
        stored(&*store, "upload_2", b"x").await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_outage() && error.is_recoverable(), "{error:?}");
        assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
        assert!(!error.to_string().contains("s3://"), "clients are told no places");
        assert!(format!("{error:?}").contains("nobody answers"));
    }
    network.cut.store(false, Ordering::Relaxed);
    assert_eq!(store.read_text("doc_1", Span::new(0, 4)).await.unwrap(), "kept");
    assert_eq!(staging.sync().await.unwrap(), 7);
    assert_eq!(staging.commit().await.unwrap().sha256, sha256(b"one two"));
    store.check().await.unwrap();
}

#[tokio::test]
async fn an_upload_that_another_server_took_over_is_that_servers() {
    let network = Arc::new(Network::default());
    let (first, _machine) = server(&network, 1 << 20).await;
    let (second, _machine2) = server(&network, 1 << 20).await;
    let old = first.stage("upload_1", RESUMED).await.unwrap();
    old.append(Bytes::from_static(b"both ")).await.unwrap();
    old.sync().await.unwrap();
    let new = second.stage("upload_1", RESUMED).await.unwrap();
    assert_eq!(new.written(), 5);
    new.append(Bytes::from_static(b"new")).await.unwrap();
    new.sync().await.unwrap();
    // Its client is gone, and it does not know yet.
    old.append(Bytes::from_static(b"old, and more than that")).await.unwrap();
    old.sync().await.unwrap();
    drop((old, new));
    let (third, _machine3) = server(&network, 1 << 20).await;
    let staging = third.stage("upload_1", RESUMED).await.unwrap();
    assert_eq!(staging.written(), 8);
    assert_eq!(staging.commit().await.unwrap().sha256, sha256(b"both new"));
}

#[tokio::test]
async fn young_uploads_and_those_that_are_written_stay_when_a_server_starts() {
    let network = Arc::new(Network::default());
    let (first, _machine) = server(&network, 1 << 20).await;
    let staging = first.stage("upload_1", RESUMED).await.unwrap();
    staging.append(Bytes::from_static(b"x")).await.unwrap();
    staging.sync().await.unwrap();
    let (second, _machine2) = server(&network, 1 << 20).await;
    assert_eq!(second.sweep(&[]).await.unwrap(), 0);
    assert_eq!(second.staged().await.unwrap().len(), 1);
}

#[tokio::test]
async fn damaged_objects_are_detected() {
    let network = Arc::new(Network::default());
    let (store, _machine) = server(&network, 1 << 20).await;
    let digest = stored(&*store, "upload_1", b"whole").await.unwrap().sha256;
    store.write_document("doc_1", written("whole")).await.unwrap();
    for path in [format!("files/{}/{digest}", &digest[..2]), "texts/doc_1".to_owned()] {
        let path = ObjectPath::from(path);
        network
            .objects
            .put_opts(&path, "other".into(), PutOptions::default())
            .await
            .unwrap();
    }
    let (other, _machine2) = server(&network, 1 << 20).await;
    assert!(matches!(other.open(&digest).await.unwrap_err(), FileError::Damaged(_)));
    assert!(matches!(other.read_document("doc_1").await.unwrap_err(), FileError::Damaged(_)));
    assert!(matches!(store.read_document("doc_1").await.unwrap_err(), FileError::Damaged(_)));
    // The same bytes once more do not mend what has the right length; a length that is wrong they do.
    let (put, short) = (ObjectPath::from(format!("files/{}/{digest}", &digest[..2])), "who");
    network.objects.put_opts(&put, short.into(), PutOptions::default()).await.unwrap();
    stored(&*other, "upload_2", b"whole").await.unwrap();
    let (last, _machine3) = server(&network, 1 << 20).await;
    assert_eq!(read_all(last.open(&digest).await.unwrap()), b"whole");
}

#[tokio::test]
async fn settings_that_cannot_be_are_named() {
    let machine = TempDir::new().unwrap();
    let open = async |options: S3Options| {
        let exclusion = Arc::new(LocalExclusion::default());
        let opened = S3Store::open(machine.path(), &options, exclusion).await;
        opened.err().expect("refused").to_string()
    };
    let whole = S3Options {
        access_key_id: Some("id".to_owned()),
        secret_access_key: Secret::new("hush"),
        ..S3Options::new("documents")
    };
    let file = machine.path().join("none.pem");
    for (changed, key) in [
        (
            S3Options {
                bucket: String::new(),
                ..whole.clone()
            },
            "bucket",
        ),
        (
            S3Options {
                endpoint: Some("minio:9000".to_owned()),
                ..whole.clone()
            },
            "endpoint",
        ),
        (
            S3Options {
                secret_access_key: Secret::default(),
                ..whole.clone()
            },
            "secret_access_key",
        ),
        (
            S3Options {
                access_key_id: None,
                ..whole.clone()
            },
            "access_key_id",
        ),
        (
            S3Options {
                ca_file: Some(file),
                ..whole.clone()
            },
            "ca_file",
        ),
    ] {
        let message = open(changed).await;
        assert!(
            message.contains(&format!("`files.s3.{key}`")) && !message.contains("hush"),
            "{message}"
        );
    }
    let Some(moto) = Moto::start("documents") else { return };
    let message = open(S3Options {
        bucket: "nowhere".to_owned(),
        endpoint: Some(moto.url()),
        ..whole
    });
    let message = message.await;
    assert!(message.contains("no bucket `nowhere` (`files.s3.bucket`)"), "{message}");
}

#[test]
fn a_secret_is_in_no_debug_text() {
    let options = S3Options {
        secret_access_key: Secret::new("hush"),
        ..S3Options::new("documents")
    };
    assert!(!format!("{options:?} {}", options.location()).contains("hush"));
    assert_eq!(
        S3Options {
            prefix: "ibid/".to_owned(),
            ..options
        }
        .location(),
        "s3://documents/ibid at AWS S3 in us-east-1"
    );
}

#[tokio::test]
async fn a_fresh_upload_is_not_what_was_there_of_it() {
    let network = Arc::new(Network::default());
    let (store, _machine) = server(&network, 1 << 20).await;
    let staging = store.stage("upload_1", RESUMED).await.unwrap();
    staging.append(Bytes::from_static(b"old")).await.unwrap();
    staging.sync().await.unwrap();
    drop(staging);
    let fresh = store.stage("upload_1", FRESH).await.unwrap();
    assert_eq!(fresh.written(), 0);
    assert!(store.staged().await.unwrap().is_empty());
}
