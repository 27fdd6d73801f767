//! The host functions of extractors: read the upload, and build the document.

use super::bindings::import::{self, types};
use super::budget::Budget;
use super::check;
use super::state::{State, Stop};
use ibid_types::document::{Attrs, Document, Page, Span, Unit};
use std::fs::File;
use std::io;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;

/// The most bytes that one `read` returns. Guests read windows; none needs more at once.
const MAX_READ_BYTES: u32 = 4 << 20;
/// The longest name of a unit's kind, and the longest page label, in bytes. Both are a word or two.
const MAX_KIND_BYTES: usize = 32;
const MAX_LABEL_BYTES: usize = 128;
/// The deepest level of a heading.
const MAX_HEADING_LEVEL: u8 = 6;
/// The smallest progress that is reported: half a per cent.
const PROGRESS_STEP: f32 = 0.005;

/// The bytes that an extractor reads. Read on blocking threads, in any order.
pub trait Blob: Send + Sync {
    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Returns whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes from `offset` on: `length` of them, or as many as there are.
    ///
    /// # Errors
    /// If they cannot be read, which ends the call that reads them.
    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>>;
}

impl Blob for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(<[u8]>::len(self));
        let end = start.saturating_add(length as usize).min(<[u8]>::len(self));
        Ok(self.get(start..end).unwrap_or_default().to_vec())
    }
}

impl Blob for Vec<u8> {
    fn len(&self) -> u64 {
        Blob::len(self.as_slice())
    }

    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        Blob::read(self.as_slice(), offset, length)
    }
}

impl Blob for bytes::Bytes {
    fn len(&self) -> u64 {
        Blob::len(self.as_ref())
    }

    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        Blob::read(self.as_ref(), offset, length)
    }
}

/// A file with the length that it had when it was opened: one that grows meanwhile is read up to that length, one that shrinks is an error.
pub struct FileBlob {
    file: File,
    length: u64,
}

impl FileBlob {
    /// Makes a blob of the file's present content.
    ///
    /// # Errors
    /// If the file's length cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

impl Blob for FileBlob {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        let left = self.length.saturating_sub(offset).min(u64::from(length));
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX)];
        read_exact_at(&self.file, &mut bytes, offset)?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let read = file.seek_read(bytes, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = bytes.get_mut(read..).unwrap_or_default();
        offset += read as u64;
    }
    Ok(())
}

/// The types behind a guest's `blob` and `draft` handles. A call has one of each, so the handles carry nothing.
pub enum BlobHandle {}
/// See [`BlobHandle`].
pub enum DraftHandle {}

/// The upload and the document of an extractor's call.
pub struct Intake {
    source: Arc<dyn Blob>,
    draft: Draft,
    progress: Box<dyn Fn(f32) + Send + Sync>,
    reported: f32,
}

impl Intake {
    pub fn new(source: Arc<dyn Blob>, budget: &Budget, progress: impl Fn(f32) + Send + Sync + 'static) -> Self {
        Self {
            source,
            draft: Draft::new(budget.output_bytes, budget.output_items),
            progress: Box::new(progress),
            reported: 0.0,
        }
    }

    /// Returns the document when the extractor has finished.
    pub fn finish(&mut self) -> Document {
        std::mem::replace(&mut self.draft, Draft::new(0, 0)).finish()
    }

    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Stop> {
        let length = length.min(MAX_READ_BYTES);
        let mut bytes = self
            .source
            .read(offset, length)
            .map_err(|error| Stop::Host(format!("the upload cannot be read: {error}")))?;
        bytes.truncate(length as usize);
        Ok(bytes)
    }

    fn progress(&mut self, done: f32) {
        // NaN is no progress. Progress that falls back is not reported, since it would look like an error.
        let done = done.clamp(0.0, 1.0);
        if done >= self.reported + PROGRESS_STEP || (done == 1.0 && self.reported < 1.0) {
            self.reported = done;
            (self.progress)(done);
        }
    }
}

impl import::intake::Host for State {}

impl import::intake::HostBlob for State {
    fn len(&mut self, _: Resource<BlobHandle>) -> Result<u64> {
        Ok(self.intake()?.source.len())
    }

    fn read(&mut self, _: Resource<BlobHandle>, offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(self.intake()?.read(offset, length)?)
    }

    fn drop(&mut self, _: Resource<BlobHandle>) -> Result<()> {
        Ok(())
    }
}

impl import::intake::HostDraft for State {
    fn write(&mut self, _: Resource<DraftHandle>, text: String) -> Result<u32> {
        Ok(self.intake()?.draft.write(&text)?)
    }

    fn begin_page(&mut self, _: Resource<DraftHandle>, number: u32, label: Option<String>) -> Result<()> {
        Ok(self.intake()?.draft.begin_page(number, label)?)
    }

    fn add_units(&mut self, _: Resource<DraftHandle>, units: Vec<types::Unit>) -> Result<()> {
        Ok(self.intake()?.draft.add_units(units)?)
    }

    fn add_attrs(&mut self, _: Resource<DraftHandle>, attrs: Vec<types::Attr>) -> Result<()> {
        Ok(self.intake()?.draft.add_attrs(attrs)?)
    }

    fn progress(&mut self, _: Resource<DraftHandle>, done: f32) -> Result<()> {
        self.intake()?.progress(done);
        Ok(())
    }

    fn drop(&mut self, _: Resource<DraftHandle>) -> Result<()> {
        Ok(())
    }
}

/// A document under construction. Checks every addition, so that it is always valid.
struct Draft {
    text: String,
    units: Vec<Unit>,
    pages: Vec<Page>,
    attrs: Attrs,
    bytes_left: usize,
    items_left: usize,
    max_bytes: usize,
    max_items: usize,
}

impl Draft {
    fn new(max_bytes: usize, max_items: usize) -> Self {
        // Offsets are 32 bits wide.
        let max_bytes = max_bytes.min(u32::MAX as usize);
        Self {
            text: String::new(),
            units: Vec::new(),
            pages: Vec::new(),
            attrs: Vec::new(),
            bytes_left: max_bytes,
            items_left: max_items,
            max_bytes,
            max_items,
        }
    }

    fn spend(&mut self, bytes: usize, items: usize) -> Result<(), Stop> {
        let Some(bytes_left) = self.bytes_left.checked_sub(bytes) else {
            return Err(Stop::Limit(format!(
                "a document's text and metadata may have {} bytes",
                self.max_bytes
            )));
        };
        let Some(items_left) = self.items_left.checked_sub(items) else {
            return Err(Stop::Limit(format!(
                "a document may have {} units, pages and values",
                self.max_items
            )));
        };
        (self.bytes_left, self.items_left) = (bytes_left, items_left);
        Ok(())
    }

    /// Returns the length of the text, which `spend` keeps below 2^32.
    fn length(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }

    fn write(&mut self, text: &str) -> Result<u32, Stop> {
        self.spend(text.len(), 0)?;
        self.text.push_str(text);
        Ok(self.length())
    }

    fn begin_page(&mut self, number: u32, label: Option<String>) -> Result<(), Stop> {
        let label_bytes = label.as_ref().map_or(0, String::len);
        if label_bytes > MAX_LABEL_BYTES {
            return Err(Stop::Invalid(format!(
                "the label of page {number} is longer than {MAX_LABEL_BYTES} bytes"
            )));
        }
        let last = self.pages.last().map_or(0, |page| page.number);
        if number <= last {
            return Err(Stop::Invalid(format!(
                "page {number} begins after page {last}; numbers count from 1 and rise"
            )));
        }
        self.spend(label_bytes, 1)?;
        self.close_page();
        let here = self.length();
        self.pages.push(Page {
            at: Span::new(here, here),
            number,
            label,
        });
        Ok(())
    }

    fn close_page(&mut self) {
        let end = self.length();
        if let Some(page) = self.pages.last_mut() {
            page.at.end = end;
        }
    }

    fn add_units(&mut self, units: Vec<types::Unit>) -> Result<(), Stop> {
        self.spend(units.iter().map(|unit| unit.kind.len()).sum(), units.len())?;
        self.units.reserve(units.len());
        for unit in units {
            let unit = Unit::from(unit);
            let number = self.units.len();
            self.check_unit(&unit)
                .map_err(|why| Stop::Invalid(format!("unit {number} {why}")))?;
            self.units.push(unit);
        }
        Ok(())
    }

    fn check_unit(&self, unit: &Unit) -> Result<(), String> {
        let Span { start, end } = unit.at;
        let is_word = !unit.kind.is_empty() && unit.kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if !is_word || unit.kind.len() > MAX_KIND_BYTES {
            return Err("has a kind that is not lower case words joined by `-`".into());
        }
        let kind = &unit.kind;
        check::span(unit.at, &self.text).map_err(|why| format!("({kind}) is not in the text: {why}"))?;
        if let Some(title) = unit.title {
            check::span(title, &self.text).map_err(|why| format!("({kind}) has a title that is not in the text: {why}"))?;
        }
        if kind == "heading" && !(1..=MAX_HEADING_LEVEL).contains(&unit.level) {
            return Err(format!("is a heading of level {}; levels are 1 to {MAX_HEADING_LEVEL}", unit.level));
        }
        if let Some(last) = self.units.last()
            && (start < last.at.start || (start == last.at.start && end > last.at.end))
        {
            return Err(format!(
                "({kind}, {start}..{end}) comes after ({}, {}..{}); units are ordered by their start, wider ones first",
                last.kind, last.at.start, last.at.end
            ));
        }
        Ok(())
    }

    fn add_attrs(&mut self, attrs: Vec<types::Attr>) -> Result<(), Stop> {
        let attrs = check::attrs(attrs).map_err(|why| Stop::Invalid(format!("in the metadata {why}")))?;
        self.spend(check::size(&attrs), attrs.len())?;
        self.attrs.extend(attrs);
        Ok(())
    }

    fn finish(mut self) -> Document {
        self.close_page();
        self.text.shrink_to_fit();
        Document {
            text: self.text,
            units: self.units,
            pages: self.pages,
            attrs: self.attrs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn unit(start: u32, end: u32, kind: &str, level: u8) -> types::Unit {
        types::Unit {
            at: types::Span { start, end },
            kind: kind.into(),
            level,
            title: None,
        }
    }

    #[test]
    fn pages_last_until_the_next_or_the_end() {
        let mut draft = Draft::new(100, 10);
        draft.write("front").unwrap();
        draft.begin_page(1, Some("i".into())).unwrap();
        assert_eq!(draft.write("one"), Ok(8));
        draft.begin_page(3, None).unwrap();
        draft.write("three").unwrap();
        let pages = draft.finish().pages;
        let seen: Vec<_> = pages.iter().map(|page| (page.number, page.at.start, page.at.end)).collect();
        assert_eq!(seen, [(1, 5, 8), (3, 8, 13)]);
    }

    #[test]
    fn what_breaks_the_contract_is_named() {
        let check = |act: &dyn Fn(&mut Draft) -> Result<(), Stop>, expected: &str| {
            let mut draft = Draft::new(100, 10);
            draft.write("# aé").unwrap();
            let stop = act(&mut draft).unwrap_err().to_string();
            assert!(stop.contains(expected), "{stop}");
        };
        check(&|d| d.add_units(vec![unit(0, 9, "paragraph", 0)]), "reaches past");
        check(&|d| d.add_units(vec![unit(0, 4, "paragraph", 0)]), "cuts the character at 4");
        check(&|d| d.add_units(vec![unit(0, 3, "heading", 0)]), "level 0");
        check(&|d| d.add_units(vec![unit(0, 3, "Heading", 1)]), "kind");
        check(
            &|d| d.add_units(vec![unit(2, 3, "quote", 0), unit(0, 3, "quote", 0)]),
            "unit 1 (quote, 0..3) comes after",
        );
        check(
            &|d| d.add_units(vec![unit(0, 2, "list", 0), unit(0, 3, "quote", 0)]),
            "wider ones first",
        );
        check(&|d| d.begin_page(0, None), "count from 1");
        check(
            &|d| d.begin_page(2, None).and_then(|()| d.begin_page(2, None)),
            "page 2 begins after page 2",
        );
        check(&|d| d.begin_page(1, Some("x".repeat(129))), "label");
        check(&|d| d.write(&"x".repeat(96)).map(drop), "may have 100 bytes");
        check(&|d| d.add_units(vec![unit(0, 0, "quote", 0); 11]), "may have 10 units");
        check(
            &|d| {
                d.add_attrs(vec![types::Attr {
                    key: "Title".into(),
                    value: String::new(),
                }])
            },
            "`Title`",
        );
    }

    #[test]
    fn progress_only_rises() {
        let reported = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = reported.clone();
        let mut intake = Intake::new(Arc::new(Vec::new()), &Budget::of(crate::Kind::Extractor), move |done| {
            seen.lock().unwrap().push(done);
        });
        for done in [0.0, 0.5, f32::NAN, 0.2, 0.5001, f32::INFINITY, 1.0] {
            intake.progress(done);
        }
        assert_eq!(*reported.lock().unwrap(), [0.5, 1.0]);
    }

    #[test]
    fn blobs_read_what_there_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let blobs: [Box<dyn Blob>; 3] = [
            Box::new(b"0123456789".to_vec()),
            Box::new(bytes::Bytes::from_static(b"0123456789")),
            Box::new(FileBlob::new(file).unwrap()),
        ];
        for blob in blobs {
            assert_eq!(blob.len(), 10);
            assert_eq!(blob.read(2, 3).unwrap(), b"234");
            assert_eq!(blob.read(8, 100).unwrap(), b"89");
            assert_eq!(blob.read(10, 1).unwrap(), b"");
            assert_eq!(blob.read(u64::MAX, u32::MAX).unwrap(), b"");
        }
    }
}
