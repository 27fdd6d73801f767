//! Tests that every file store must pass, over each implementation: a directory, objects in memory, and moto's S3 server.

use super::moto::Moto;
use super::{Committed, DirectoryStore, FileError, FileStore, LocalExclusion, Result, S3Options, S3Store, StageOptions};
use bytes::Bytes;
use futures_util::TryStreamExt;
use ibid_types::ErrorCode;
use ibid_types::document::{Document, Page, Span, Unit};
use ibid_types::secret::Secret;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(super) const FRESH: StageOptions = StageOptions {
    limit: 1 << 20,
    resume: None,
    keep: false,
};
pub(super) const RESUMED: StageOptions = StageOptions {
    limit: 1 << 20,
    resume: Some(u64::MAX),
    keep: true,
};

/// What a store keeps its files in, independent of the server that opens it.
pub(super) enum Home {
    Directory(TempDir),
    Memory(Arc<InMemory>),
    Moto(Moto),
}

const BUCKET: &str = "documents";

impl Home {
    fn directory() -> Option<Self> {
        Some(Self::Directory(TempDir::new().unwrap()))
    }

    fn memory() -> Option<Self> {
        Some(Self::Memory(Arc::default()))
    }

    fn moto() -> Option<Self> {
        Moto::start(BUCKET).map(Self::Moto)
    }

    /// Opens a store over it, on another machine where that is possible.
    async fn open(&self) -> (Arc<dyn FileStore>, TempDir) {
        let machine = TempDir::new().unwrap();
        let exclusion = Arc::new(LocalExclusion::default());
        let mut options = S3Options {
            prefix: "some/where/".to_owned(),
            sweep_after: Duration::ZERO,
            ..S3Options::new(BUCKET)
        };
        let store: Arc<dyn FileStore> = match self {
            Self::Directory(directory) => Arc::new(DirectoryStore::open(&directory.path().join("data")).await.unwrap()),
            Self::Memory(objects) => Arc::new(S3Store::over(objects.clone(), machine.path(), &options, exclusion).await.unwrap()),
            Self::Moto(moto) => {
                options.endpoint = Some(moto.url());
                options.access_key_id = Some("test".to_owned());
                options.secret_access_key = Secret::new("test");
                Arc::new(S3Store::open(machine.path(), &options, exclusion).await.unwrap())
            }
        };
        (store, machine)
    }

    /// Returns the names of everything that is kept.
    async fn left(&self) -> Vec<String> {
        let mut names = match self {
            Self::Directory(directory) => return files_under(&directory.path().join("data")),
            Self::Memory(objects) => {
                let objects: Vec<_> = objects.list(None).try_collect().await.unwrap();
                objects.into_iter().map(|meta| meta.location.to_string()).collect()
            }
            Self::Moto(moto) => moto.objects(BUCKET),
        };
        for name in &mut names {
            *name = name.strip_prefix("some/where/").expect("nothing outside the prefix").to_owned();
        }
        names.sort();
        names
    }
}

/// Returns every file under a directory but its lock.
pub(super) fn files_under(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(directory).unwrap().display().to_string()),
            }
        }
    }
    found.retain(|name| !name.ends_with(".lock"));
    found.sort();
    found
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) async fn stored(store: &dyn FileStore, id: &str, bytes: &[u8]) -> Result<Committed> {
    let staging = store.stage(id, FRESH).await?;
    staging.append(Bytes::copy_from_slice(bytes)).await?;
    staging.commit().await
}

pub(super) fn written(text: &str) -> Arc<Document> {
    let all = Span::new(0, text.len() as u32);
    Arc::new(Document {
        text: text.to_owned(),
        units: vec![Unit {
            at: all,
            kind: "heading".to_owned(),
            level: 1,
            title: Some(all),
        }],
        pages: vec![Page {
            at: all,
            number: 1,
            label: Some("iv".to_owned()),
        }],
        attrs: vec![("author".to_owned(), "A".to_owned()), ("author".to_owned(), "B".to_owned())],
    })
}

/// Runs the tests over each store.
macro_rules! over_each_store {
    ($($name:ident),* $(,)?) => {
        over_each_store!(directory: $($name),*);
        over_each_store!(memory: $($name),*);
        over_each_store!(moto: $($name),*);
    };
    ($kind:ident: $($name:ident),*) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    if let Some(home) = super::Home::$kind() {
                        super::$name(&home).await;
                    }
                }
            )*
        }
    };
}

over_each_store!(
    an_upload_is_stored_by_its_content,
    large_files_come_back_whole,
    more_bytes_than_allowed_are_refused_and_none_is_taken,
    a_suspended_upload_goes_on_after_a_restart,
    an_upload_in_many_pieces_goes_on_anywhere,
    a_dropped_upload_is_gone,
    identifiers_cannot_leave_the_store,
    a_file_stays_while_it_is_held,
    a_document_comes_back_as_it_was,
);

async fn an_upload_is_stored_by_its_content(home: &Home) {
    let (store, _machine) = home.open().await;
    store.check().await.unwrap();
    let staging = store.stage("upload_1", FRESH).await.unwrap();
    assert_eq!(staging.append(Bytes::from_static(b"hello ")).await.unwrap(), 6);
    assert_eq!(staging.append(Bytes::from_static(b"world")).await.unwrap(), 11);
    assert_eq!(staging.sync().await.unwrap(), 11);
    assert_eq!(store.staged().await.unwrap()[0].size, 11);
    let done = staging.commit().await.unwrap();
    let digest = sha256(b"hello world");
    assert_eq!(
        (done.sha256.as_str(), done.size, done.hold.sha256()),
        (digest.as_str(), 11, digest.as_str())
    );
    drop(done);

    // Where it was put, and as another server finds it.
    drop(store);
    let (store, _machine) = home.open().await;
    let ranges = [(0, 5, "hello"), (6, 100, "world"), (11, 1, ""), (u64::MAX, 1, ""), (3, 0, "")];
    for (offset, length, expected) in ranges {
        assert_eq!(store.read(&digest, offset, length).await.unwrap(), expected);
    }
    let mut text = String::new();
    store.open(&digest).await.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello world");
    assert_eq!(store.size(&digest).await.unwrap(), Some(11));
    for (offset, length, expected) in ranges {
        assert_eq!(store.read(&digest, offset, length).await.unwrap(), expected);
    }

    // The same bytes again are the same file.
    assert_eq!(stored(&*store, "upload_2", b"hello world").await.unwrap().sha256, digest);
    assert_eq!(home.left().await, [format!("files/{}/{digest}", &digest[..2])]);
    let shard = u8::from_str_radix(&digest[..2], 16).unwrap();
    assert_eq!(store.originals(shard).await.unwrap(), std::slice::from_ref(&digest));
    assert!(store.originals(shard.wrapping_add(1)).await.unwrap().is_empty());

    let hold = store.hold(&digest).await.unwrap();
    assert!(store.remove(&hold).await.unwrap());
    assert!(!store.remove(&hold).await.unwrap());
    assert_eq!(store.size(&digest).await.unwrap(), None);
    assert_eq!(store.open(&digest).await.unwrap_err().code(), ErrorCode::ResourceNotFound);
    assert_eq!(store.read(&digest, 0, 1).await.unwrap_err().code(), ErrorCode::ResourceNotFound);
    assert!(home.left().await.is_empty());
    for bad in ["", "..", "../../etc/passwd", &digest.to_uppercase(), &digest[1..]] {
        assert_eq!(store.open(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
        assert_eq!(store.hold(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
    }
    drop(hold);
    let empty = stored(&*store, "upload_3", b"").await.unwrap();
    assert_eq!((empty.sha256, empty.size), (sha256(b""), 0));
    drop(empty.hold);
    drop(store);
    let (store, _machine) = home.open().await;
    assert_eq!(store.open(&sha256(b"")).await.unwrap().metadata().unwrap().len(), 0);
}

/// Larger than one request.
async fn large_files_come_back_whole(home: &Home) {
    let mut bytes = Vec::new();
    for line in 0..2_500_000 {
        bytes.extend_from_slice(format!("{line:07}\n").as_bytes());
    }
    let options = StageOptions { limit: 1 << 30, ..FRESH };
    let digest = sha256(&bytes);
    {
        let (store, _machine) = home.open().await;
        let staging = store.stage("upload_1", options).await.unwrap();
        for piece in bytes.chunks(1_000_003) {
            staging.append(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(staging.commit().await.unwrap().sha256, digest);
    }
    let (store, _machine) = home.open().await;
    let mut read = Vec::new();
    store.open(&digest).await.unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(sha256(&read), digest);
    assert_eq!(store.size(&digest).await.unwrap(), Some(20_000_000));
}

async fn more_bytes_than_allowed_are_refused_and_none_is_taken(home: &Home) {
    let (store, _machine) = home.open().await;
    let staging = store.stage("u", StageOptions { limit: 10, ..FRESH }).await.unwrap();
    staging.append(Bytes::from_static(b"12345678")).await.unwrap();
    let error = staging.append(Bytes::from_static(b"9ab")).await.unwrap_err();
    assert!(matches!(error, FileError::TooLarge { limit: 10 }));
    assert_eq!(error.code(), ErrorCode::PayloadTooLarge);
    assert_eq!(staging.written(), 8);
    staging.append(Bytes::from_static(b"9a")).await.unwrap();
    assert_eq!(staging.commit().await.unwrap().sha256, sha256(b"123456789a"));

    let staging = store.stage("v", RESUMED).await.unwrap();
    staging.append(Bytes::from(vec![0; 100])).await.unwrap();
    staging.sync().await.unwrap();
    drop(staging);
    let error = store.stage("v", StageOptions { limit: 99, ..RESUMED }).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::PayloadTooLarge);
    store.stage("v", RESUMED).await.unwrap().discard().await.unwrap();
    assert_eq!(home.left().await.len(), 1);
}

async fn a_suspended_upload_goes_on_after_a_restart(home: &Home) {
    let (first, machine) = home.open().await;
    let staging = first.stage("upload_1", RESUMED).await.unwrap();
    staging.append(Bytes::from_static(b"one two ")).await.unwrap();
    assert_eq!(staging.sync().await.unwrap(), 8);
    staging.append(Bytes::from_static(b"lost")).await.unwrap();
    assert_eq!(staging.sync().await.unwrap(), 12);
    assert_eq!(first.stage("upload_1", RESUMED).await.err().unwrap().code(), ErrorCode::Conflict);
    assert_eq!(first.discard_staged("upload_1").await.unwrap_err().code(), ErrorCode::Conflict);
    let gone = first.stage("gone", RESUMED).await.unwrap();
    gone.append(Bytes::from_static(b"x")).await.unwrap();
    gone.sync().await.unwrap();
    if let Home::Directory(directory) = home {
        let second = DirectoryStore::open(&directory.path().join("data")).await;
        assert_eq!(second.err().unwrap().code(), ErrorCode::Conflict);
    }
    drop((gone, staging, first, machine));

    let (store, _machine) = home.open().await;
    assert_eq!(store.sweep(&["upload_1".to_owned()]).await.unwrap(), 1);
    assert_eq!(store.staged().await.unwrap().len(), 1);
    // The catalog knows of eight durable bytes.
    let options = StageOptions {
        resume: Some(8),
        ..RESUMED
    };
    let staging = store.stage("upload_1", options).await.unwrap();
    assert_eq!(staging.written(), 8);
    staging.append(Bytes::from_static(b"three")).await.unwrap();
    assert_eq!(staging.commit().await.unwrap().sha256, sha256(b"one two three"));
    assert!(store.staged().await.unwrap().is_empty());

    let anew = store.stage("upload_2", RESUMED).await.unwrap();
    anew.append(Bytes::from_static(b"wrong")).await.unwrap();
    anew.sync().await.unwrap();
    drop(anew);
    assert_eq!(store.stage("upload_2", FRESH).await.unwrap().written(), 0);
}

/// Each piece is durable by itself, and another machine resumes after every few of them; sometimes less was recorded than was written.
async fn an_upload_in_many_pieces_goes_on_anywhere(home: &Home) {
    let bytes: Vec<u8> = (0..40_u32).flat_map(|n| format!("piece {n} ").repeat(20).into_bytes()).collect();
    let mut pieces = bytes.chunks(211).map(Bytes::copy_from_slice).enumerate();
    let mut at = 0;
    let mut dropped: Vec<Bytes> = Vec::new();
    for round in 0.. {
        let (store, _machine) = home.open().await;
        let options = StageOptions {
            resume: Some(at),
            ..RESUMED
        };
        let staging = store.stage("upload_1", options).await.unwrap();
        assert_eq!(staging.written(), at);
        for again in dropped.drain(..) {
            at = staging.append(again).await.unwrap();
        }
        let mut any = false;
        for (_, piece) in pieces.by_ref().take(5) {
            any = true;
            staging.append(piece).await.unwrap();
            at = staging.sync().await.unwrap();
        }
        if !any {
            assert_eq!(staging.commit().await.unwrap().sha256, sha256(&bytes));
            assert_eq!(home.left().await.len(), 1);
            return;
        }
        if round % 2 == 1 && at > 300 {
            let from = usize::try_from(at).unwrap();
            dropped.push(Bytes::copy_from_slice(&bytes[from - 300..from]));
            at -= 300;
        }
    }
}

async fn a_dropped_upload_is_gone(home: &Home) {
    let (store, _machine) = home.open().await;
    for durable in [false, true] {
        let staging = store.stage("upload_1", FRESH).await.unwrap();
        staging.append(Bytes::from_static(b"never mind")).await.unwrap();
        if durable {
            staging.sync().await.unwrap();
            assert_eq!(home.left().await.len(), 1);
        }
        drop(staging);
        // It is busy until it is gone.
        let anew = loop {
            match store.stage("upload_1", FRESH).await {
                Err(FileError::Busy(_)) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        };
        anew.discard().await.unwrap();
        assert!(home.left().await.is_empty());
    }
    assert!(!store.discard_staged("upload_1").await.unwrap());
}

async fn identifiers_cannot_leave_the_store(home: &Home) {
    let (store, _machine) = home.open().await;
    let long = "x".repeat(129);
    for bad in ["", ".", "..", "../x", "a/b", "a\0b", "ä", &long] {
        assert_eq!(store.stage(bad, FRESH).await.err().unwrap().code(), ErrorCode::ValidationError);
        assert_eq!(store.discard_staged(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
        assert_eq!(store.read_document(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
        assert_eq!(
            store.write_document(bad, written("x")).await.unwrap_err().code(),
            ErrorCode::ValidationError
        );
        assert_eq!(store.remove_document(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
    }
}

/// Stores and removes the same bytes concurrently: the holder of a hold always finds them.
async fn a_file_stays_while_it_is_held(home: &Home) {
    let (store, _machine) = home.open().await;
    let digest = sha256(b"same");
    let times = if matches!(home, Home::Moto(_)) { 4 } else { 25 };
    let storing = (0..4).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..times {
                let done = stored(&*store, &format!("u{task}-{n}"), b"same").await.unwrap();
                assert_eq!(store.size(&done.sha256).await.unwrap(), Some(4));
                tokio::task::yield_now().await;
                assert_eq!(store.size(&done.sha256).await.unwrap(), Some(4));
            }
        })
    });
    let removing = (0..2).map(|_| {
        let (store, digest) = (store.clone(), digest.clone());
        tokio::spawn(async move {
            for _ in 0..2 * times {
                let hold = store.hold(&digest).await.unwrap();
                store.remove(&hold).await.unwrap();
                assert_eq!(store.size(&digest).await.unwrap(), None);
            }
        })
    });
    let tasks: Vec<_> = storing.chain(removing).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(store.staged().await.unwrap().is_empty());
}

async fn a_document_comes_back_as_it_was(home: &Home) {
    let (store, machine) = home.open().await;
    let document = written("Überschrift 한국어 𝄞 end");
    store.write_document("doc_1", written("an earlier try")).await.unwrap();
    store.write_document("doc_1", document.clone()).await.unwrap();
    assert_eq!(store.read_document("doc_1").await.unwrap(), *document);
    drop((store, machine));
    let (store, _machine) = home.open().await;
    assert_eq!(store.read_document("doc_1").await.unwrap(), *document);
    let mut text = String::new();
    store.open_text("doc_1").await.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, document.text);
    assert_eq!(store.documents().await.unwrap(), ["doc_1"]);
    let files = store.text_files("doc_1").await.unwrap();
    assert_eq!(files.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["text", "document.json"]);
    let left = match home {
        Home::Directory(_) => vec!["texts/doc_1/document.json", "texts/doc_1/text"],
        Home::Memory(_) | Home::Moto(_) => vec!["texts/doc_1"],
    };
    assert_eq!(home.left().await, left, "nothing of the earlier try");

    let length = document.text.len() as u32;
    let spans = [
        Span::new(0, 2),
        Span::new(length - 3, length),
        Span::new(5, 5),
        Span::new(0, length),
    ];
    assert_eq!(store.read_spans("doc_1", &spans).await.unwrap(), ["Ü", "end", "", &document.text]);
    assert_eq!(store.read_text("doc_1", Span::new(2, 4)).await.unwrap(), "be");
    assert_eq!(store.span_of_chars("doc_1", 0..1).await.unwrap(), Span::new(0, 2));
    let wrong = [(0, 1), (1, 2), (4, 3), (0, length + 1), (u32::MAX, u32::MAX)];
    for (start, end) in wrong {
        let error = store.read_text("doc_1", Span::new(start, end)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ValidationError, "{start}..{end}");
    }
    assert_eq!(
        store.read_text("doc_2", Span::new(0, 0)).await.unwrap_err().code(),
        ErrorCode::ResourceNotFound
    );
    assert!(store.remove_document("doc_1").await.unwrap());
    assert!(!store.remove_document("doc_1").await.unwrap());
    assert_eq!(store.read_document("doc_1").await.unwrap_err().code(), ErrorCode::ResourceNotFound);
    assert!(home.left().await.is_empty());
    assert!(store.documents().await.unwrap().is_empty());
}
