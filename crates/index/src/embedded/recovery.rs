//! Recovers a collection's directory after a crash: checks it, removes leftovers, and replays the journal.

use super::super::error::IndexError;
use super::engine;
use super::journal::{Entry, Points};
use super::shard::documents;
use qdrant_edge::external::serde_json;
use qdrant_edge::{
    EdgeShard, PointId, PointInsertOperations, PointOperations, PointStruct, Record, ScrollRequest, UpdateOperation, Vectors,
    WithPayloadInterface, WithVector,
};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The engine's file names.
const CONFIG: &str = "edge_config.json";
const SEGMENTS: &str = "segments";
const UNFINISHED_SEGMENTS: &str = "temp_segments";
const LOG: &str = "wal";
const CLOSED_LOG: &str = "closed-";

/// The file that marks a collection's directory as dropped.
const DROPPED: &str = "dropped";
/// The prefix of directories that are not collections: not yet, or no longer.
pub(super) const LEFTOVER: &str = ".";

/// Points per page of a scan over all points.
const PAGE: usize = 1000;

/// Fails where the engine would silently create an empty collection.
pub(super) fn check_layout(directory: &Path) -> io::Result<()> {
    if !directory.join(CONFIG).is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the collection's configuration is missing"));
    }
    if fs::read_dir(directory.join(SEGMENTS))?.next().is_none() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the collection's segments are missing"));
    }
    Ok(())
}

/// Removes what a killed optimization left, and the part of the engine's log that nothing needs. Call it while the engine is closed.
pub(super) fn tidy(directory: &Path) -> io::Result<()> {
    remove_directory(&directory.join(UNFINISHED_SEGMENTS))?;
    let mut closed = closed_logs(directory)?;
    // The engine numbers its operations by the log, and ignores those with a lower number than a segment has seen. The last closed file
    // keeps the count; without it all later updates would be lost.
    closed.pop();
    for (_, path) in closed {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Returns how many bytes of the engine's log `tidy` could remove.
pub(super) fn log_bytes(directory: &Path) -> u64 {
    let sizes = |logs: Vec<(u64, PathBuf)>| logs.iter().filter_map(|(_, path)| path.metadata().ok()).map(|m| m.len()).sum();
    closed_logs(directory).map_or(0, sizes)
}

/// Returns the engine's closed log files, oldest first.
fn closed_logs(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let log = directory.join(LOG);
    if !log.is_dir() {
        return Ok(Vec::new());
    }
    let mut closed = Vec::new();
    for entry in fs::read_dir(log)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(CLOSED_LOG))
            .and_then(|n| n.parse().ok());
        closed.extend(number.map(|number: u64| (number, entry.path())));
    }
    closed.sort();
    Ok(closed)
}

/// Applies the journal's entries again.
pub(super) fn replay(engine: &EdgeShard, entries: Vec<Entry>) -> Result<(), IndexError> {
    const WHAT: &str = "replay the journal";
    let mut interrupted = false;
    for entry in entries {
        match entry {
            Entry::Upsert(Points { points }) => {
                // An interrupted optimization may have left an old copy beside a new one: remove all copies first.
                let ids = points
                    .iter()
                    .map(|point| engine::point_id(&point.document_id, point.chunk_index))
                    .collect();
                engine::guarded(WHAT, || engine.update(engine::delete_points(ids)))?;
                let operation = engine::upsert(points)?;
                engine::guarded(WHAT, || engine.update(operation))?;
            }
            Entry::DeleteDocument(document) => {
                let operation = engine::delete_document(&document)?;
                engine::guarded(WHAT, || engine.update(operation))?;
            }
            Entry::OptimizeStarted(_) => interrupted = true,
        }
    }
    if interrupted { remove_duplicates(engine) } else { Ok(()) }
}

/// Removes copies of points. An optimization writes the new segment before it removes the old ones, so if it is killed in between, points
/// exist twice. The copies are equal, since later updates were just replayed, so either may stay.
fn remove_duplicates(engine: &EdgeShard) -> Result<(), IndexError> {
    const WHAT: &str = "remove duplicates";
    let key = engine::document_field()?;
    let stored = engine::guarded(WHAT, || documents(engine, key))?;
    for (document, copies) in stored {
        let records = document_points(engine, &document)?;
        if records.len() as u64 == copies {
            continue;
        }
        tracing::info!(
            points = records.len(),
            copies,
            "an optimization was interrupted: storing a document's points again"
        );
        for page in records.chunks(PAGE) {
            let ids: Vec<PointId> = page.iter().map(|record| record.id).collect();
            let points = page.iter().cloned().filter_map(restore).map(Into::into).collect();
            engine::guarded(WHAT, || engine.update(engine::delete_points(ids)))?;
            let upsert = PointOperations::UpsertPoints(PointInsertOperations::PointsList(points));
            engine::guarded(WHAT, || engine.update(UpdateOperation::PointOperation(upsert)))?;
        }
    }
    Ok(())
}

fn document_points(engine: &EdgeShard, document: &str) -> Result<Vec<Record>, IndexError> {
    let filter = engine::document_filter(document)?;
    let mut records = Vec::new();
    let mut offset = None;
    loop {
        let request = ScrollRequest {
            offset,
            limit: Some(PAGE),
            filter: Some(filter.clone()),
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: WithVector::Bool(true),
            order_by: None,
        };
        let (page, next) = engine::guarded("read points", || engine.scroll(request))?;
        records.extend(page);
        match next {
            Some(next) => offset = Some(next),
            None => return Ok(records),
        }
    }
}

fn restore(record: Record) -> Option<PointStruct> {
    let payload = serde_json::Value::Object(record.payload?.0);
    Some(PointStruct::new(record.id, Vectors::from(record.vector?), payload))
}

/// Marks a collection as dropped, durably, so that its directory can be removed.
pub(super) fn mark_dropped(directory: &Path) -> io::Result<()> {
    File::create(directory.join(DROPPED))?.sync_all()?;
    sync_directory(directory)
}

/// Returns whether a collection is marked as dropped.
pub(super) fn is_dropped(directory: &Path) -> bool {
    directory.join(DROPPED).exists()
}

/// Removes a collection's directory. It is renamed first, so that half of it is never opened as a collection.
pub(super) fn discard(directory: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Ok(());
    };
    let leftover = parent.join(format!("{LEFTOVER}old-{}", name.to_string_lossy()));
    remove_directory(&leftover)?;
    fs::rename(directory, &leftover)?;
    remove_directory(&leftover)
}

/// Removes what unfinished creations and removals left.
pub(super) fn sweep(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(LEFTOVER) {
            remove_directory(&entry.path())?;
        } else if is_dropped(&entry.path()) {
            discard(&entry.path())?;
        }
    }
    Ok(())
}

/// Syncs a directory, so that its entries are durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a directory with its content, if it exists.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns how many bytes a directory occupies on the disk: the engine's files are sparse, so their lengths do not tell.
pub(super) fn storage_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // The engine creates and removes files all the time: one that has gone occupies nothing.
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => storage_bytes(&entry.path()).or_else(gone)?,
            Ok(metadata) => occupied(&metadata),
            Err(error) => gone(error)?,
        };
    }
    Ok(bytes)
}

fn gone(error: io::Error) -> io::Result<u64> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(0)
    } else {
        Err(error)
    }
}

#[cfg(unix)]
fn occupied(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn occupied(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use super::super::EmbeddedOptions;
    use super::super::journal::{Journal, Record as JournalRecord, frame};
    use super::super::shard::Shard;
    use super::*;
    use crate::{CollectionKey, Point, Schema};
    use std::collections::BTreeMap;

    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target)
            } else {
                fs::copy(&path, &target).map(drop).unwrap()
            }
        }
    }

    /// Leaves what a process leaves that dies when the optimized segment is written and the old ones still exist.
    #[test]
    fn points_that_an_interrupted_optimization_left_twice_are_there_once() {
        let root = tempfile::tempdir().unwrap();
        let (directory, key) = (root.path().join("c"), CollectionKey::new("c").unwrap());
        Shard::create(&directory, &Schema { dimension: 2 }, &EmbeddedOptions::default()).unwrap();
        let shard = Shard::open(&key, &directory).unwrap();
        let point = |document: &str, chunk_index| Point {
            document_id: document.to_owned(),
            chunk_index,
            dense: vec![1.0, chunk_index as f32],
            ..Point::default()
        };
        shard
            .upsert((0..2500).map(|i| point("a", i)).chain((0..3).map(|i| point("b", i))).collect())
            .unwrap();
        let vectors = shard.vectors("a", 0..2500).unwrap();
        drop(shard);
        let segments = directory.join(SEGMENTS);
        for entry in fs::read_dir(&segments).unwrap().collect::<Vec<_>>() {
            copy(&entry.unwrap().path(), &segments.join(uuid::Uuid::new_v4().to_string()));
        }
        let (mut journal, _) = Journal::open(&directory.join("journal")).unwrap();
        for entry in [Entry::OptimizeStarted(true), Entry::DeleteDocument("b".to_owned())] {
            journal.append(&frame(&JournalRecord { entry: Some(entry) }).unwrap()).unwrap();
        }
        drop(journal);
        fs::create_dir(directory.join(UNFINISHED_SEGMENTS)).unwrap();

        let shard = Shard::open(&key, &directory).unwrap();
        assert_eq!(shard.documents().unwrap(), BTreeMap::from([("a".to_owned(), 2500)]));
        assert_eq!(shard.count(None).unwrap(), 2500);
        assert_eq!(shard.vectors("a", 0..2500).unwrap(), vectors);
        assert!(!directory.join(UNFINISHED_SEGMENTS).exists());
        assert_eq!(shard.delete_document("a").unwrap(), 2500);
        assert_eq!(shard.count(None).unwrap(), 0);
    }

    #[test]
    fn only_the_last_closed_log_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join(LOG);
        fs::create_dir(&log).unwrap();
        for name in ["closed-0", "closed-9", "closed-10", "open-3", "first-index"] {
            fs::write(log.join(name), "xx").unwrap();
        }
        assert_eq!(log_bytes(root.path()), 6);
        tidy(root.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["closed-10", "first-index", "open-3"]);
    }

    #[test]
    fn half_removed_and_half_made_collections_are_swept_away() {
        let root = tempfile::tempdir().unwrap();
        for name in ["kept", ".new-half", ".old-half", "marked"] {
            fs::create_dir_all(root.path().join(name).join("x")).unwrap();
        }
        mark_dropped(&root.path().join("marked")).unwrap();
        sweep(root.path()).unwrap();
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
    }
}
