//! The file store through its public face.

use super::{Committed, DirectoryStore, FileError, FileStore, Result, StageOptions};
use crate::document::{Document, Page, Span, Unit};
use bytes::Bytes;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const FRESH: StageOptions = StageOptions {
    limit: 1 << 20,
    resume: None,
    keep: false,
};
const RESUMED: StageOptions = StageOptions {
    limit: 1 << 20,
    resume: Some(u64::MAX),
    keep: true,
};

async fn store() -> (DirectoryStore, TempDir) {
    let directory = TempDir::new().unwrap();
    (DirectoryStore::open(&directory.path().join("data")).await.unwrap(), directory)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn stored(store: &DirectoryStore, id: &str, bytes: &[u8]) -> Result<Committed> {
    let staging = store.stage(id, FRESH).await?;
    staging.append(Bytes::copy_from_slice(bytes)).await?;
    staging.commit().await
}

fn written(text: &str) -> Arc<Document> {
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

/// Every file under the store's directory but its lock.
fn files_under(directory: &Path) -> Vec<String> {
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

#[tokio::test]
async fn an_upload_is_stored_by_its_content() {
    let (store, directory) = store().await;
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

    let mut text = String::new();
    store.open(&digest).await.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello world");
    assert_eq!(store.size(&digest).await.unwrap(), Some(11));
    for (offset, length, expected) in [(0, 5, "hello"), (6, 100, "world"), (11, 1, ""), (u64::MAX, 1, ""), (3, 0, "")] {
        assert_eq!(store.read(&digest, offset, length).await.unwrap(), expected);
    }

    // The same bytes once more are the same file.
    assert_eq!(stored(&store, "upload_2", b"hello world").await.unwrap().sha256, digest);
    assert_eq!(
        files_under(&directory.path().join("data")),
        [format!("files/{}/{digest}", &digest[..2])]
    );
    let shard = u8::from_str_radix(&digest[..2], 16).unwrap();
    assert_eq!(store.originals(shard).await.unwrap(), std::slice::from_ref(&digest));
    assert!(store.originals(shard.wrapping_add(1)).await.unwrap().is_empty());

    let hold = store.hold(&digest).await.unwrap();
    assert!(store.remove(&hold).await.unwrap());
    assert!(!store.remove(&hold).await.unwrap());
    assert_eq!(store.size(&digest).await.unwrap(), None);
    assert_eq!(store.open(&digest).await.unwrap_err().code(), "RESOURCE_NOT_FOUND");
    assert!(files_under(&directory.path().join("data")).is_empty());
    for bad in ["", "..", "../../etc/passwd", &digest.to_uppercase(), &digest[1..]] {
        assert_eq!(store.open(bad).await.unwrap_err().code(), "VALIDATION_ERROR");
        assert_eq!(store.hold(bad).await.unwrap_err().code(), "VALIDATION_ERROR");
    }
    let empty = stored(&store, "upload_3", b"").await.unwrap();
    assert_eq!((empty.sha256, empty.size), (sha256(b""), 0));
}

#[tokio::test]
async fn more_bytes_than_allowed_are_refused_and_none_is_taken() {
    let (store, directory) = store().await;
    let staging = store.stage("u", StageOptions { limit: 10, ..FRESH }).await.unwrap();
    staging.append(Bytes::from_static(b"12345678")).await.unwrap();
    let error = staging.append(Bytes::from_static(b"9ab")).await.unwrap_err();
    assert!(matches!(error, FileError::TooLarge { limit: 10 }));
    assert_eq!(error.code(), "PAYLOAD_TOO_LARGE");
    assert_eq!(staging.written(), 8);
    staging.append(Bytes::from_static(b"9a")).await.unwrap();
    assert_eq!(staging.commit().await.unwrap().sha256, sha256(b"123456789a"));

    let staging = store.stage("v", RESUMED).await.unwrap();
    staging.append(Bytes::from(vec![0; 100])).await.unwrap();
    drop(staging);
    let error = store.stage("v", StageOptions { limit: 99, ..RESUMED }).await.err().unwrap();
    assert_eq!(error.code(), "PAYLOAD_TOO_LARGE");
    store.stage("v", RESUMED).await.unwrap().discard().await.unwrap();
    assert_eq!(files_under(&directory.path().join("data")).len(), 1);
}

#[tokio::test]
async fn a_suspended_upload_goes_on_after_a_restart() {
    let (first, directory) = store().await;
    let staging = first.stage("upload_1", RESUMED).await.unwrap();
    staging.append(Bytes::from_static(b"one two ")).await.unwrap();
    staging.append(Bytes::from_static(b"lost")).await.unwrap();
    assert_eq!(first.stage("upload_1", RESUMED).await.err().unwrap().code(), "CONFLICT");
    assert_eq!(first.discard_staged("upload_1").await.unwrap_err().code(), "CONFLICT");
    first
        .stage("gone", RESUMED)
        .await
        .unwrap()
        .append(Bytes::from_static(b"x"))
        .await
        .unwrap();
    let path = directory.path().join("data");
    assert_eq!(DirectoryStore::open(&path).await.err().unwrap().code(), "CONFLICT");
    drop((staging, first));

    let store = DirectoryStore::open(&path).await.unwrap();
    assert_eq!(store.sweep(&["upload_1".to_owned()]).await.unwrap(), 1);
    assert_eq!(store.staged().await.unwrap().len(), 1);
    // The catalog knows of eight durable bytes.
    let staging = store
        .stage(
            "upload_1",
            StageOptions {
                resume: Some(8),
                ..RESUMED
            },
        )
        .await
        .unwrap();
    assert_eq!(staging.written(), 8);
    staging.append(Bytes::from_static(b"three")).await.unwrap();
    assert_eq!(staging.commit().await.unwrap().sha256, sha256(b"one two three"));

    let anew = store.stage("upload_2", RESUMED).await.unwrap();
    anew.append(Bytes::from_static(b"wrong")).await.unwrap();
    drop(anew);
    assert_eq!(store.stage("upload_2", FRESH).await.unwrap().written(), 0);
}

#[test]
fn a_dropped_upload_is_gone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, directory) = runtime.block_on(store());
    let staging = runtime.block_on(async {
        let staging = store.stage("upload_1", FRESH).await.unwrap();
        staging.append(Bytes::from_static(b"never mind")).await.unwrap();
        staging
    });
    assert_eq!(files_under(&directory.path().join("data")), ["incoming/upload_1"]);
    drop(staging);
    assert!(files_under(&directory.path().join("data")).is_empty());
    assert!(runtime.block_on(store.stage("upload_1", FRESH)).is_ok());
}

#[tokio::test]
async fn identifiers_cannot_leave_the_directory() {
    let (store, _directory) = store().await;
    let long = "x".repeat(129);
    for bad in ["", ".", "..", "../x", "a/b", "a\0b", "ä", &long] {
        assert_eq!(store.stage(bad, FRESH).await.err().unwrap().code(), "VALIDATION_ERROR");
        assert_eq!(store.discard_staged(bad).await.unwrap_err().code(), "VALIDATION_ERROR");
        assert_eq!(store.read_document(bad).await.unwrap_err().code(), "VALIDATION_ERROR");
        assert_eq!(
            store.write_document(bad, written("x")).await.unwrap_err().code(),
            "VALIDATION_ERROR"
        );
        assert_eq!(store.remove_document(bad).await.unwrap_err().code(), "VALIDATION_ERROR");
    }
}

/// Storing and removing the same bytes at once: whoever has a hold finds them there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_stays_while_it_is_held() {
    let (store, _directory) = store().await;
    let store = Arc::new(store);
    let digest = sha256(b"same");
    let storing = (0..4).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                let done = stored(&store, &format!("u{task}-{n}"), b"same").await.unwrap();
                assert_eq!(store.size(&done.sha256).await.unwrap(), Some(4));
                tokio::task::yield_now().await;
                assert_eq!(store.size(&done.sha256).await.unwrap(), Some(4));
            }
        })
    });
    let removing = (0..2).map(|_| {
        let (store, digest) = (store.clone(), digest.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
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

#[tokio::test]
async fn a_document_comes_back_as_it_was() {
    let (store, directory) = store().await;
    let document = written("Überschrift 한국어 𝄞 end");
    store.write_document("doc_1", written("an earlier try")).await.unwrap();
    store.write_document("doc_1", document.clone()).await.unwrap();
    assert_eq!(store.read_document("doc_1").await.unwrap(), *document);
    let mut text = String::new();
    store.open_text("doc_1").await.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, document.text);
    assert_eq!(store.documents().await.unwrap(), ["doc_1"]);
    assert_eq!(
        files_under(&directory.path().join("data")),
        ["texts/doc_1/document.json", "texts/doc_1/text"],
        "nothing of the earlier try"
    );

    let length = document.text.len() as u32;
    let spans = [
        Span::new(0, 2),
        Span::new(length - 3, length),
        Span::new(5, 5),
        Span::new(0, length),
    ];
    assert_eq!(store.read_spans("doc_1", &spans).await.unwrap(), ["Ü", "end", "", &document.text]);
    assert_eq!(store.read_text("doc_1", Span::new(2, 4)).await.unwrap(), "be");
    let wrong = [(0, 1), (1, 2), (4, 3), (0, length + 1), (u32::MAX, u32::MAX)];
    for (start, end) in wrong {
        let error = store.read_text("doc_1", Span::new(start, end)).await.unwrap_err();
        assert_eq!(error.code(), "VALIDATION_ERROR", "{start}..{end}");
    }
    assert_eq!(
        store.read_text("doc_2", Span::new(0, 0)).await.unwrap_err().code(),
        "RESOURCE_NOT_FOUND"
    );

    std::fs::write(directory.path().join("data/texts/doc_1/text"), "shorter").unwrap();
    assert!(matches!(store.read_document("doc_1").await.unwrap_err(), FileError::Damaged(_)));
    assert!(store.remove_document("doc_1").await.unwrap());
    assert!(!store.remove_document("doc_1").await.unwrap());
    assert!(files_under(&directory.path().join("data")).is_empty());
    assert!(store.documents().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cut_off_writes_left_is_swept() {
    let (store, directory) = store().await;
    store.write_document("doc_1", written("kept")).await.unwrap();
    let left = directory.path().join("data/texts/.new-0123");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("text"), "half").unwrap();
    assert_eq!(store.documents().await.unwrap(), ["doc_1"]);
    assert_eq!(store.sweep(&[]).await.unwrap(), 1);
    assert_eq!(files_under(&directory.path().join("data")).len(), 2);
}

#[tokio::test]
async fn errors_tell_clients_no_paths() {
    let (store, directory) = store().await;
    std::fs::remove_dir_all(directory.path().join("data/incoming")).unwrap();
    let error = store.stage("upload_1", FRESH).await.err().unwrap();
    assert_eq!((error.code(), error.to_string().contains('/')), ("INTERNAL_ERROR", false));
    assert!(format!("{error:?}").contains("incoming/upload_1"), "the log knows where");
}

#[test]
fn a_full_disk_and_a_closed_one_have_their_own_errors() {
    use std::io::{Error, ErrorKind};
    let io = |kind: ErrorKind| FileError::io(Path::new("/secret/place"))(Error::from(kind));
    assert_eq!(io(ErrorKind::StorageFull).code(), "SERVICE_UNAVAILABLE");
    assert_eq!(io(ErrorKind::QuotaExceeded).code(), "SERVICE_UNAVAILABLE");
    assert!(matches!(io(ErrorKind::PermissionDenied), FileError::Denied(_)));
    assert!(!io(ErrorKind::StorageFull).to_string().contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn ranges_of_characters_are_those_of_the_text(text in "[a-zäß한𝄞\n]{0,40}", start in 0..50_u64, end in 0..50_u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, _directory) = store().await;
            store.write_document("d", written(&text)).await.unwrap();
            let span = store.span_of_chars("d", start..end).await.unwrap();
            let expected: String = text
                .chars()
                .skip(start as usize)
                .take(end.saturating_sub(start) as usize)
                .collect();
            assert_eq!(store.read_text("d", span).await.unwrap(), expected);
        });
    }
}

const CHILD: &str = "IBID_TEST_STORE_TO_WRITE";

/// Not a test by itself: the process that `a_killed_writer_leaves_whole_files` kills.
#[tokio::test]
async fn writes_until_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = DirectoryStore::open(Path::new(&path)).await.unwrap();
    for n in 0..u64::MAX {
        let bytes = format!("file {n} ").repeat(5000);
        let done = stored(&store, &format!("upload_{n}"), bytes.as_bytes()).await.unwrap();
        store.write_document(&format!("doc_{n}"), written(&bytes)).await.unwrap();
        println!("\nstored {n} {}", done.sha256);
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_whole_files() {
    let directory = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "files::tests::writes_until_killed", "--nocapture"])
        .env(CHILD, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((n, digest)) = line.strip_prefix("stored ").and_then(|rest| rest.split_once(' ')) {
            acknowledged.push((n.to_owned(), digest.to_owned()));
        }
        if acknowledged.len() == 20 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(acknowledged.len(), 20);

    let store = DirectoryStore::open(directory.path()).await.unwrap();
    store.sweep(&[]).await.unwrap();
    assert!(store.staged().await.unwrap().is_empty());
    for (n, digest) in &acknowledged {
        let expected = format!("file {n} ").repeat(5000);
        assert_eq!(store.read(digest, 0, u32::MAX).await.unwrap(), expected);
        assert_eq!(store.read_document(&format!("doc_{n}")).await.unwrap().text, expected);
    }
    // Also what was not acknowledged is whole, or not there.
    for shard in 0..=u8::MAX {
        for digest in store.originals(shard).await.unwrap() {
            assert_eq!(sha256(&store.read(&digest, 0, u32::MAX).await.unwrap()), digest);
        }
    }
    for id in store.documents().await.unwrap() {
        store.read_document(&id).await.unwrap();
    }
}
