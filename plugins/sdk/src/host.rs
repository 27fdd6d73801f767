//! What the host offers during a call, as traits: tests pass [`testing`](crate::testing)'s implementations.

use crate::{Attr, CodedUnit, Failure, Page, Span, Unit};
use std::io::{self, Read, Seek, SeekFrom};

/// The document that a chunker cuts. The host owns it; a plugin reads windows of it and answers with spans.
pub trait Document {
    /// Returns the length of the text in UTF-8 bytes.
    fn len(&self) -> u32;

    /// Returns whether there is no text.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the text at `at`. Ends past the text are cut to it, and an end inside a character is moved down to that character's
    /// start, so this never fails: continue where the returned text ends. Windows of 64 KiB or more are cheapest.
    fn text(&self, at: Span) -> String;

    /// Returns the units that lie wholly or partly in `within`, in order.
    fn units(&self, within: Span) -> Vec<Unit>;

    /// Returns the same as [`units`](Self::units) at a fraction of the cost, for plugins that read thousands.
    fn coded_units(&self, within: Span) -> Vec<CodedUnit>;

    /// Returns the kinds of the document's units, each once: [`CodedUnit::kind`] counts in this list.
    fn unit_kinds(&self) -> Vec<String>;

    /// Returns the pages that lie wholly or partly in `within`, in order; none where the format has none.
    fn pages(&self, within: Span) -> Vec<Page>;

    /// Returns the metadata: `title`, `author`, `language`, `filename`, `media-type`, ... as far as known.
    fn attrs(&self) -> Vec<Attr>;

    /// Counts the tokens of a text as the collection's embedder does, without special tokens (`[CLS]`, `[SEP]`).
    fn count(&self, text: &str) -> u32;

    /// Counts the tokens of each span. One call for many spans is much cheaper than many calls.
    fn count_spans(&self, spans: &[Span]) -> Vec<u32>;
}

/// A document with what the collection's embedder makes of it. Only plugins that the operator has granted `embed` get one.
pub trait SemanticDocument: Document {
    /// Returns how alike each span is to the one after it: the cosine of their vectors, from -1 to 1, one number less than spans
    /// (none for fewer than two). Pass many spans at once: they are computed in batches.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` past 20,000 spans or 8 MiB of text in one call of the plugin; `UNAVAILABLE` where the embedder cannot take the
    /// work now.
    fn neighbour_similarity(&self, spans: &[Span]) -> Result<Vec<f32>, Failure>;
}

/// The uploaded file, which an extractor reads in windows.
pub trait Upload {
    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Returns whether the file holds no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes from `offset` on, `length` of them or as many as there are. The host returns at most 4 MiB at once.
    fn read(&self, offset: u64, length: u32) -> Vec<u8>;

    /// Returns the windows of the file, each of at most `length` bytes.
    fn windows(&self, length: u32) -> Windows<'_, Self>
    where
        Self: Sized,
    {
        Windows {
            upload: self,
            offset: 0,
            length,
        }
    }

    /// Returns the file as [`Read`] and [`Seek`], for parsers that want those. It holds one window of `length` bytes.
    fn reader(&self, length: u32) -> Reader<'_, Self>
    where
        Self: Sized,
    {
        Reader {
            upload: self,
            length: length.max(1),
            position: 0,
            start: 0,
            window: Vec::new(),
        }
    }
}

/// The windows of an upload, from its start to its end.
#[derive(Debug)]
pub struct Windows<'a, U> {
    upload: &'a U,
    offset: u64,
    length: u32,
}

impl<U: Upload> Iterator for Windows<'_, U> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let window = self.upload.read(self.offset, self.length);
        self.offset += window.len() as u64;
        Some(window).filter(|window| !window.is_empty())
    }
}

/// An upload as a file. It reads whole windows, so that going back and forth in one costs nothing.
#[derive(Debug)]
pub struct Reader<'a, U> {
    upload: &'a U,
    length: u32,
    position: u64,
    /// Where the window that is held starts.
    start: u64,
    window: Vec<u8>,
}

impl<U: Upload> Read for Reader<'_, U> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = self.position - self.position % u64::from(self.length);
        if self.window.is_empty() || start != self.start {
            self.start = start;
            self.window = self.upload.read(start, self.length);
        }
        let rest = self.window.get((self.position - start) as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl<U: Upload> Seek for Reader<'_, U> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.upload.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// The document that an extractor writes, front to back. The host bounds its size and ends a call that exceeds it.
pub trait Draft {
    /// Appends text and returns its length so far in UTF-8 bytes, where the next text will start. At most 4 GiB - 1 in all.
    fn write(&mut self, text: &str) -> u32;

    /// Starts a page at the end of the text so far. It lasts until the next page or the end. Numbers count from 1 and rise.
    fn begin_page(&mut self, number: u32, label: Option<&str>);

    /// Adds units, in order; the text that they span must have been written.
    fn add_units(&mut self, units: &[Unit]);

    /// Adds metadata: `title`, `author`, `language`, `created`, `subject`, ...
    fn add_attrs(&mut self, attrs: &[Attr]);

    /// Reports how far the extraction is, from 0 to 1, to the person who waits.
    fn progress(&mut self, done: f32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::File;
    use proptest::prelude::*;

    #[test]
    fn windows_cover_a_file_once() {
        let file = File::new(b"one two three");
        let windows: Vec<Vec<u8>> = file.windows(5).collect();
        assert_eq!(windows, [b"one t".to_vec(), b"wo th".to_vec(), b"ree".to_vec()]);
        assert_eq!(File::new(b"").windows(5).count(), 0);
    }

    proptest! {
        /// The reader returns what a cursor over the same bytes does.
        #[test]
        fn a_reader_is_a_file(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            length in 1_u32..20,
            steps in prop::collection::vec((0_u8..4, 0_i64..70, 0_usize..30), 0..20),
        ) {
            let file = File::new(&bytes);
            let mut reader = file.reader(length);
            let mut cursor = io::Cursor::new(&bytes);
            for (step, offset, wanted) in steps {
                let to = match step {
                    0 => SeekFrom::Start(offset as u64),
                    1 => SeekFrom::End(offset - 65),
                    2 => SeekFrom::Current(offset - 35),
                    _ => SeekFrom::Current(0),
                };
                prop_assert_eq!(reader.seek(to).ok(), cursor.seek(to).ok());
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                (&mut reader).take(wanted as u64).read_to_end(&mut ours).unwrap();
                (&mut cursor).take(wanted as u64).read_to_end(&mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
