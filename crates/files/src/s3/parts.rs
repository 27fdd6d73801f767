//! Determines which bytes of an upload its part objects hold. No I/O.
//!
//! A part is named `START.WRITER`: the position of its first byte, and who wrote it. Each writer has a higher name than the one before. So
//! the bytes that a server writes late, after another one has taken its upload over, are recognised and ignored.

use object_store::ObjectMeta;
use object_store::path::Path;
use std::collections::BTreeMap;

/// A part object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The position of the first byte.
    pub start: u64,
    /// The position after the last byte.
    pub end: u64,
    /// The writer: `EPOCH-RANDOM`, in order of time.
    pub writer: String,
    pub path: Path,
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Returns the name of a part.
    pub(super) fn name(start: u64, writer: &str) -> String {
        format!("{start:020}.{writer}")
    }

    /// Returns the part that an object is, if it is one.
    fn of(meta: ObjectMeta) -> Option<Self> {
        let (start, writer) = meta.location.filename()?.split_once('.')?;
        let start: u64 = start.parse().ok()?;
        Some(Self {
            start,
            end: start.checked_add(meta.size)?,
            writer: writer.to_owned(),
            path: meta.location,
        })
    }
}

/// Groups a listing by uploads. Returns objects that are not parts as well.
pub(super) fn by_upload(listed: Vec<ObjectMeta>) -> BTreeMap<String, Vec<ObjectMeta>> {
    let mut uploads: BTreeMap<String, Vec<ObjectMeta>> = BTreeMap::new();
    for meta in listed {
        let mut names: Vec<_> = meta.location.parts().collect();
        names.pop();
        if let Some(id) = names.pop() {
            uploads.entry(id.as_ref().to_owned()).or_default().push(meta);
        }
    }
    uploads
}

/// The range of a part that counts, in the upload's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub part: Part,
    /// The first byte of the range.
    pub from: u64,
    /// The byte after the last one.
    pub to: u64,
}

/// Returns the segments that hold the upload from its first byte on, without a gap.
pub(super) fn chain(listed: Vec<ObjectMeta>) -> Vec<Segment> {
    let parts: Vec<Part> = listed.into_iter().filter_map(Part::of).collect();
    let (mut at, mut writer) = (0, String::new());
    let mut segments: Vec<Segment> = Vec::new();
    // Of several parts with the same byte, the last writer's counts. After a writer's first byte, earlier writers' bytes no longer count.
    while let Some(part) = parts
        .iter()
        .filter(|part| part.start <= at && at < part.end && part.writer >= writer)
        .max_by(|a, b| (&a.writer, a.end).cmp(&(&b.writer, b.end)))
    {
        let later = parts.iter().filter(|other| other.writer > part.writer && other.start > at);
        let to = later.map(|other| other.start).min().unwrap_or(part.end).min(part.end);
        segments.push(Segment {
            part: part.clone(),
            from: at,
            to,
        });
        (at, writer) = (to, part.writer.clone());
    }
    segments
}

/// Returns a name for the writer that comes after all earlier ones.
pub(super) fn next_writer(listed: &[ObjectMeta]) -> String {
    let epochs = listed.iter().filter_map(|meta| {
        let (_, writer) = meta.location.filename()?.split_once('.')?;
        writer.split('-').next()?.parse::<u64>().ok()
    });
    let epoch = epochs.max().unwrap_or(0).saturating_add(1);
    format!("{epoch:08}-{}", uuid::Uuid::new_v4().simple())
}

/// Returns the position at which the next part begins, and how many parts before it stay. Earlier parts are merged with the new bytes as
/// long as they are no longer than those, like the bits of a binary counter. So there are few parts, and each byte is sent only a few
/// times, however small the appended pieces are.
pub(super) fn merged(parts: &[Part], written: u64, most: u64) -> (usize, u64) {
    let mut kept = parts.len();
    let mut start = parts.last().map_or(0, |part| part.end);
    while let Some(last) = kept.checked_sub(1).and_then(|at| parts.get(at)) {
        if last.len() > written.saturating_sub(start) || written.saturating_sub(last.start) > most {
            break;
        }
        (kept, start) = (kept - 1, last.start);
    }
    (kept, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(start: u64, end: u64, writer: &str) -> ObjectMeta {
        ObjectMeta {
            location: Path::from(format!("x/incoming/upload_1/{}", Part::name(start, writer))),
            last_modified: Default::default(),
            size: end - start,
            e_tag: None,
            version: None,
        }
    }

    /// Returns the writers whose bytes count, byte by byte.
    fn effective_writers(objects: &[(u64, u64, &str)]) -> String {
        let objects = objects.iter().map(|(start, end, writer)| object(*start, *end, writer)).collect();
        chain(objects)
            .iter()
            .flat_map(|segment| (segment.from..segment.to).map(|_| segment.part.writer.clone()))
            .collect()
    }

    #[test]
    fn parts_hold_what_the_last_writer_wrote_without_gaps() {
        assert_eq!(effective_writers(&[]), "");
        assert_eq!(effective_writers(&[(0, 2, "1"), (2, 4, "1")]), "1111");
        assert_eq!(effective_writers(&[(2, 4, "1"), (0, 1, "1")]), "1", "a gap");
        // Merged, and the merged parts are not removed yet.
        assert_eq!(effective_writers(&[(0, 4, "1"), (2, 4, "1"), (4, 5, "1")]), "11111");
        // A response was lost: the object is longer than its writer knew when it wrote the next.
        assert_eq!(effective_writers(&[(0, 4, "1"), (2, 3, "1"), (3, 6, "1")]), "111111");
        // Taken over after two bytes, and the old writer goes on writing.
        assert_eq!(effective_writers(&[(0, 5, "1"), (2, 4, "2")]), "1122");
        assert_eq!(effective_writers(&[(0, 2, "1"), (2, 4, "2"), (4, 8, "1")]), "1122");
        assert_eq!(effective_writers(&[(0, 5, "1"), (0, 3, "2")]), "222");
    }

    #[test]
    fn many_small_parts_become_few() {
        let mut parts: Vec<Part> = Vec::new();
        let (mut sent, mut most) = (0, 0);
        for written in (1..=1024).map(|n| n * 1000) {
            let (kept, start) = merged(&parts, written, 1 << 30);
            parts.truncate(kept);
            parts.push(Part {
                start,
                end: written,
                writer: String::new(),
                path: Path::default(),
            });
            sent += written - start;
            most = most.max(parts.len());
        }
        assert!(most <= 11, "{most}");
        assert!(sent <= 1024 * 1000 * 11, "{sent}");
        // No part grows without limit.
        assert_eq!(merged(&parts, 1_025_000, 100), (1, 1_024_000));
    }
}
