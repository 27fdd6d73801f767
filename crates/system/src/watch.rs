//! Tells when a file changes, by looking at it now and then.
//!
//! Notifications of the system are not used: secrets and certificates are often replaced behind symbolic links or on network
//! file systems, where those stay away. A look each second costs nothing that can be measured.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from another without reading it; links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Files that are watched.
#[derive(Debug)]
pub struct Watch {
    files: Vec<(PathBuf, Option<Stamp>)>,
    every: Duration,
}

impl Watch {
    /// Watches `files` from now on. What is read of them after this, and changes later, is told.
    pub async fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::looking_every(LOOK, files).await
    }

    async fn looking_every(every: Duration, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut watched = Vec::new();
        for file in files {
            let seen = stamp(&file).await;
            watched.push((file, seen));
        }
        Self { files: watched, every }
    }

    /// Waits until one of the files is another than it was, came or went. Safe to cancel.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(self.every).await;
            let mut now = Vec::with_capacity(self.files.len());
            for (file, _) in &self.files {
                now.push((file.clone(), stamp(file).await));
            }
            if now != self.files {
                self.files = now;
                return;
            }
        }
    }
}

async fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = tokio::fs::metadata(file).await.ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_comes_changes_or_goes_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("key.pem");
        let mut watch = Watch::looking_every(Duration::from_millis(1), [file.clone(), directory.path().join("other")]).await;
        std::fs::write(&file, "one").expect("written");
        watch.changed().await;
        std::fs::write(&file, "two").expect("written");
        watch.changed().await;
        // As secrets are replaced: a link that points elsewhere.
        std::fs::write(directory.path().join("next"), "two").expect("written");
        std::fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink(directory.path().join("next"), &file).expect("linked");
        watch.changed().await;
        std::fs::remove_file(&file).expect("removed");
        watch.changed().await;
    }
}
