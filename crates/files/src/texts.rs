//! Extracted texts: a directory for each document, with the plain text and its structure as JSON.

use super::{FileError, Result, blocking};
use ibid_types::document::{Attrs, Document, Page, Span, Unit};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The layout of `document.json` that this version writes and reads.
const VERSION: u32 = 1;

/// The file of a document's text.
pub(super) const TEXT: &str = "text";
/// The file of everything else.
pub(super) const STRUCTURE: &str = "document.json";

/// The content of `document.json`: a document without its text.
#[derive(Serialize, Deserialize)]
struct Structure<'a> {
    version: u32,
    text_bytes: u64,
    attrs: Cow<'a, Attrs>,
    pages: Cow<'a, [Page]>,
    units: Cow<'a, [Unit]>,
}

fn directory(texts: &Path, id: &str) -> Result<PathBuf> {
    blocking::check_id(id)?;
    Ok(texts.join(id))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = blocking::private()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(FileError::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::io(path))
}

/// Returns the content of `document.json` of a document.
pub(super) fn structure(id: &str, document: &Document) -> Result<Vec<u8>> {
    let structure = Structure {
        version: VERSION,
        text_bytes: document.text.len() as u64,
        attrs: Cow::Borrowed(&document.attrs),
        pages: Cow::Borrowed(&document.pages),
        units: Cow::Borrowed(&document.units),
    };
    serde_json::to_vec(&structure).map_err(|_| FileError::Damaged(id.to_owned()))
}

/// Stores a document: writes a temporary directory, syncs it, and renames it.
pub(super) fn write(texts: &Path, id: &str, document: &Document) -> Result<()> {
    let target = directory(texts, id)?;
    let json = structure(id, document)?;
    // Names with a dot are never documents; the next start removes what a crash leaves of them.
    let fresh = texts.join(format!(".new-{}", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        blocking::create_directory(&fresh)?;
        write_file(&fresh.join(TEXT), document.text.as_bytes())?;
        write_file(&fresh.join(STRUCTURE), &json)?;
        blocking::sync_directory(&fresh)?;
        put(texts, &fresh, &target)
    })();
    if written.is_err() {
        // The first error counts; a second one here most likely has the same cause.
        let _ = blocking::remove(&fresh);
    }
    written
}

/// Renames a directory to its final path. Removes the old one first: a document is rewritten only while its extraction is not recorded yet,
/// so a crash in between only means another extraction.
fn put(texts: &Path, fresh: &Path, target: &Path) -> Result<()> {
    let old = texts.join(format!(".old-{}", uuid::Uuid::new_v4().simple()));
    match fs::rename(target, &old) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(FileError::io(target)(error)),
    }
    fs::rename(fresh, target).map_err(FileError::io(target))?;
    blocking::sync_directory(texts)?;
    blocking::remove(&old)?;
    Ok(())
}

/// Opens the text.
pub(super) fn open(texts: &Path, id: &str) -> Result<File> {
    let path = directory(texts, id)?.join(TEXT);
    File::open(&path).map_err(FileError::absent(&path, "text", id))
}

/// Opens the files of a text.
pub(super) fn files(texts: &Path, id: &str) -> Result<Vec<(&'static str, File)>> {
    let directory = directory(texts, id)?;
    let open = |name| {
        let path = directory.join(name);
        let file = File::open(&path).map_err(FileError::absent(&path, "text", id))?;
        Ok((name, file))
    };
    [TEXT, STRUCTURE].into_iter().map(open).collect()
}

/// Reads the text and the structure.
pub(super) fn read(texts: &Path, id: &str) -> Result<Document> {
    let directory = directory(texts, id)?;
    let path = directory.join(STRUCTURE);
    let json = fs::read(&path).map_err(FileError::absent(&path, "text", id))?;
    let path = directory.join(TEXT);
    let text = fs::read(&path).map_err(FileError::absent(&path, "text", id))?;
    let damaged = || FileError::Damaged(id.to_owned());
    let structure: Structure<'_> = serde_json::from_slice(&json).map_err(|_| damaged())?;
    if structure.version != VERSION || structure.text_bytes != text.len() as u64 {
        return Err(damaged());
    }
    Ok(Document {
        text: String::from_utf8(text).map_err(|_| damaged())?,
        units: structure.units.into_owned(),
        pages: structure.pages.into_owned(),
        attrs: structure.attrs.into_owned(),
    })
}

/// Reads parts of the text.
pub(super) fn read_spans(texts: &Path, id: &str, spans: &[Span]) -> Result<Vec<String>> {
    let path = directory(texts, id)?.join(TEXT);
    let file = open(texts, id)?;
    let length = file.metadata().map_err(FileError::io(&path))?.len();
    let mut parts = Vec::with_capacity(spans.len());
    for span in spans {
        let invalid = || FileError::InvalidSpan {
            start: span.start.into(),
            end: span.end.into(),
        };
        if span.start > span.end || u64::from(span.end) > length {
            return Err(invalid());
        }
        let mut bytes = vec![0; span.len() as usize];
        let read = blocking::read_at(&file, &mut bytes, span.start.into()).map_err(FileError::io(&path))?;
        if read < bytes.len() {
            return Err(FileError::Damaged(id.to_owned()));
        }
        // If the end is inside a character, the bytes are not valid UTF-8. An empty span has no bytes to check.
        parts.push(String::from_utf8(bytes).map_err(|_| invalid())?);
    }
    Ok(parts)
}

/// Returns the byte span of a range of code points.
pub(super) fn span_of_chars(texts: &Path, id: &str, chars: Range<u64>) -> Result<Span> {
    let path = directory(texts, id)?.join(TEXT);
    let file = open(texts, id)?;
    let mut buffer = vec![0; 256 * 1024];
    // A code point begins at each byte that is no continuation (10xxxxxx).
    let (mut offset, mut begun) = (0_u64, 0_u64);
    let (mut start, mut end) = (None, None);
    while start.is_none() || end.is_none() {
        let read = blocking::read_at(&file, &mut buffer, offset).map_err(FileError::io(&path))?;
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        for (byte, at) in part.iter().zip(offset..) {
            if byte & 0xc0 != 0x80 {
                if begun == chars.start {
                    start = start.or(Some(at));
                }
                if begun == chars.end {
                    end = end.or(Some(at));
                }
                begun += 1;
            }
        }
        offset = offset.saturating_add(read as u64);
    }
    // Only where the text ended first is one of them still open; `offset` is its length then.
    let start = start.unwrap_or(offset);
    let end = end.unwrap_or(offset).max(start);
    let narrow = |at: u64| u32::try_from(at).map_err(|_| FileError::InvalidSpan { start, end });
    Ok(Span::new(narrow(start)?, narrow(end)?))
}

/// Removes a document's text; durable once it returns.
pub(super) fn remove(texts: &Path, id: &str) -> Result<bool> {
    let target = directory(texts, id)?;
    // Out of sight in one step, so that a crash leaves no half of it behind.
    let old = texts.join(format!(".old-{}", uuid::Uuid::new_v4().simple()));
    match fs::rename(&target, &old) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(FileError::io(&target)(error)),
    }
    blocking::remove(&old)?;
    blocking::sync_directory(texts)?;
    Ok(true)
}

/// Documents that have a text.
pub(super) fn list(texts: &Path) -> Result<Vec<String>> {
    let mut names = blocking::names(texts)?;
    names.retain(|name| blocking::check_id(name).is_ok());
    names.sort();
    Ok(names)
}

/// Removes what writes and removals that were cut off left behind.
pub(super) fn sweep(texts: &Path) -> Result<usize> {
    let mut gone = 0;
    for name in blocking::names(texts)? {
        if name.starts_with(".new-") || name.starts_with(".old-") {
            gone += usize::from(blocking::remove(&texts.join(name))?);
        }
    }
    Ok(gone)
}
