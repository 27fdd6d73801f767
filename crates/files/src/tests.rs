//! The file store in a directory, beyond what every store must do (`contract`).

use super::contract::{FRESH, files_under, sha256, stored, written};
use super::{DirectoryStore, FileError, FileStore};
use bytes::Bytes;
use ibid_types::ErrorCode;
use proptest::prelude::*;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

async fn store() -> (DirectoryStore, TempDir) {
    let directory = TempDir::new().unwrap();
    (DirectoryStore::open(&directory.path().join("data")).await.unwrap(), directory)
}

/// A staged upload goes at once, also where nothing is running any more that could do it later.
#[test]
fn a_dropped_upload_is_gone_without_a_runtime() {
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
async fn a_truncated_text_is_detected() {
    let (store, directory) = store().await;
    store.write_document("doc_1", written("as it was written")).await.unwrap();
    std::fs::write(directory.path().join("data/texts/doc_1/text"), "shorter").unwrap();
    assert!(matches!(store.read_document("doc_1").await.unwrap_err(), FileError::Damaged(_)));
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
    assert_eq!((error.code(), error.to_string().contains('/')), (ErrorCode::InternalError, false));
    assert!(format!("{error:?}").contains("incoming/upload_1"), "the log knows where");
}

#[test]
fn a_full_disk_and_a_closed_one_have_their_own_errors() {
    use std::io::{Error, ErrorKind};
    let io = |kind: ErrorKind| FileError::io(Path::new("/secret/place"))(Error::from(kind));
    assert_eq!(io(ErrorKind::StorageFull).code(), ErrorCode::ServiceUnavailable);
    assert_eq!(io(ErrorKind::QuotaExceeded).code(), ErrorCode::ServiceUnavailable);
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
        .args(["--exact", "tests::writes_until_killed", "--nocapture"])
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
