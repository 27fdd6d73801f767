//! Kills a process that uses the index at any moment, also in the middle of an optimization.

use super::contract::{create, dense, key};
use super::tests::{options, points};
use super::*;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const DIRECTORY: &str = "IBID_TEST_KILL_DIRECTORY";
const CHUNKS: u32 = 200;

/// Optimizes all the time.
fn eager() -> EmbeddedOptions {
    EmbeddedOptions {
        optimize_after_points: 1,
        log_limit_bytes: 0,
        ..options()
    }
}

/// The process to be killed: stores document n, deletes document n - 3, prints what it did, goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as the child of the test below"]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let index = EmbeddedIndex::open(Path::new(&directory), eager()).unwrap();
    let key = create(&index, "killed").await;
    for n in 0u32.. {
        index.upsert(&key, points(&format!("d{n}"), CHUNKS)).await.unwrap();
        println!("\nstored {n}");
        if let Some(old) = n.checked_sub(3) {
            index.delete_document(&key, &format!("d{old}")).await.unwrap();
            println!("\ndeleted {old}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_real_kill() {
    for rounds in [11u32, 26, 47] {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                &format!("{}::child", module_path!().split_once("::").unwrap().1),
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.by_ref().find(|line| *line == format!("stored {rounds}")).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // Lines that it printed after that count as well.
        let rest: Vec<String> = lines.collect();
        let last = |verb: &str, at_least: u32| {
            let said = rest.iter().filter_map(|line| line.strip_prefix(verb)?.trim().parse().ok());
            said.max().unwrap_or(at_least)
        };
        let (stored, deleted) = (last("stored", rounds), last("deleted", rounds - 4));

        let index = EmbeddedIndex::open(directory.path(), options()).unwrap();
        let key = key("killed");
        let documents = index.documents(&key).await.unwrap();
        for n in 0..=stored {
            let found = documents.get(&format!("d{n}")).copied().unwrap_or(0);
            match n {
                n if n <= deleted => assert_eq!(found, 0, "d{n} was deleted, of 0..={stored}"),
                // The next deletion may have begun.
                n if n == deleted + 1 => assert!(found == 0 || found == u64::from(CHUNKS), "d{n}: {found}"),
                _ => assert_eq!(found, u64::from(CHUNKS), "d{n} of {documents:?}"),
            }
        }
        let total: u64 = documents.values().sum();
        assert_eq!(index.count(&key, None).await.unwrap(), total);
        let hits = &index.search(&key, vec![dense([1.0, 0.0, 0.0, 0.0], MAX_LIMIT)]).await.unwrap()[0];
        assert_eq!(hits.len() as u64, total);
        index.close().await.unwrap();
    }
}
