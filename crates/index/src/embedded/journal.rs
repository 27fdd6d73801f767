//! A collection's journal: the acknowledged updates since the engine's last flush.
//!
//! The engine (qdrant-edge 0.7) keeps its newest points in memory until it is flushed, and a flush fsyncs a dozen files. It writes a log of
//! its own, but neither replays nor trims it. So every update is appended here before it is acknowledged, replayed when the collection is
//! opened, and dropped after a flush.
//!
//! The file is a sequence of frames: length (u32, little endian), FNV-1a hash of the body (u64), body (a [`Record`] in Protocol Buffers). A
//! frame that is truncated or does not match its hash ends the journal: it was never acknowledged.

use super::super::types::Point;
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const HEADER: usize = 12;

/// One entry.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    #[prost(oneof = "Entry", tags = "1, 2, 3")]
    pub entry: Option<Entry>,
}

/// An update.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Entry {
    /// These points were stored.
    #[prost(message, tag = "1")]
    Upsert(Points),
    /// This document's points were removed.
    #[prost(string, tag = "2")]
    DeleteDocument(String),
    /// The engine began to rewrite its segments. Without a later flush, the directory may contain points twice.
    #[prost(bool, tag = "3")]
    OptimizeStarted(bool),
}

/// Points, in a message of their own because a `oneof` cannot repeat.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Points {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Point>,
}

/// An open journal, positioned at its end.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    length: u64,
}

impl Journal {
    /// Opens or creates the journal, and returns its entries. A truncated frame at the end is removed.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, length) = decode(&bytes);
        if length < bytes.len() as u64 {
            tracing::info!(
                kept = length,
                cut = bytes.len() as u64 - length,
                "the index journal ends with a truncated frame, which is dropped"
            );
            file.set_len(length)?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok((Self { file, length }, entries))
    }

    /// Returns its size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Appends a frame, which from now on survives the end of this process.
    pub(super) fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(frame) {
            // Half a frame in the middle would hide all that follows.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Makes the appended frames durable against a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Removes all entries, durably.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        if self.length > 0 {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.length = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Returns the frame of a record.
pub(super) fn frame(record: &Record) -> io::Result<Vec<u8>> {
    let length = record.encoded_len();
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a batch of points of more than 4 GiB");
    let prefix = u32::try_from(length).map_err(|_| too_long())?;
    let mut frame = vec![0; HEADER];
    frame.reserve(length);
    record.encode(&mut frame).map_err(io::Error::other)?;
    let hash = frame.get(HEADER..).map_or(0, fnv1a);
    let mut header = prefix.to_le_bytes().to_vec();
    header.extend_from_slice(&hash.to_le_bytes());
    frame.splice(..HEADER, header);
    Ok(frame)
}

/// Returns the complete records at the start of `bytes`, and how many bytes they take.
fn decode(bytes: &[u8]) -> (Vec<Entry>, u64) {
    let mut entries = Vec::new();
    let mut read = 0;
    while let Some((entry, length)) = bytes.get(read..).and_then(decode_one) {
        entries.extend(entry);
        read += length;
    }
    (entries, read as u64)
}

fn decode_one(bytes: &[u8]) -> Option<(Option<Entry>, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (hash, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length)?;
    if fnv1a(body) != u64::from_le_bytes(*hash) {
        return None;
    }
    let record = Record::decode(body).ok()?;
    Some((record.entry, HEADER + length))
}

/// Returns the 64-bit FNV-1a hash, which is enough to detect a torn write.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deletion(name: &str) -> Entry {
        Entry::DeleteDocument(name.to_owned())
    }

    fn bytes(entries: &[Entry]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|entry| {
                frame(&Record {
                    entry: Some(entry.clone()),
                })
                .unwrap()
            })
            .collect()
    }

    #[test]
    fn what_was_appended_is_read_back_and_a_reset_forgets_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found, []);
        journal.append(&bytes(&[deletion("a")])).unwrap();
        journal.append(&bytes(&[deletion("b")])).unwrap();
        drop(journal);
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found, [deletion("a"), deletion("b")]);
        journal.reset().unwrap();
        journal.append(&bytes(&[deletion("c")])).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1, [deletion("c")]);
    }

    proptest! {
        #[test]
        fn a_journal_cut_anywhere_keeps_its_whole_records(names in prop::collection::vec(".{0,20}", 0..6), cut in 0usize..200) {
            let entries: Vec<_> = names.iter().map(|name| deletion(name)).collect();
            let whole = bytes(&entries);
            let cut = cut.min(whole.len());
            let (found, length) = decode(&whole[..cut]);
            prop_assert!(length as usize <= cut);
            prop_assert_eq!(&found[..], &entries[..found.len()]);
            prop_assert!(found.len() == entries.len() || bytes(&entries[..=found.len()]).len() > cut);
        }

        #[test]
        fn rubbish_is_no_journal_and_no_panic(rubbish in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, length) = decode(&rubbish);
            prop_assert!(length as usize <= rubbish.len());
        }
    }
}
