//! The plugin's face to the host: the exports of the world `extractor-plugin`.

use crate::config::Config;
use crate::reader::{Refused, read};
use std::io::{self, Read, Seek, SeekFrom};

wit_bindgen::generate!({ path: "../../wit/1", world: "extractor-plugin" });

use exports::ibid::plugin::extraction::{Extractor, Guest, GuestExtractor};
use ibid::plugin::intake::{Blob, Draft};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure, Span, Unit};

struct Component;

export!(Component);

impl Guest for Component {
    type Extractor = Docx;
}

/// The extractor: its settings are all that it keeps.
struct Docx(Config);

/// Bytes read at once.
const WINDOW: u32 = 256 << 10;

impl GuestExtractor for Docx {
    fn open(config: String) -> Result<Extractor, Failure> {
        panic_words::to(|words| log::write("error", words));
        let config = Config::parse(&config).map_err(|message| failure("INVALID_CONFIG", &message))?;
        Ok(Extractor::new(Self(config)))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), Failure> {
        let file = Upload {
            source,
            position: 0,
            start: 0,
            window: Vec::new(),
        };
        let document = read(file, &self.0, |done| target.progress(done)).map_err(|refused| match refused {
            Refused::OldOrEncrypted | Refused::NoDocument => failure("UNSUPPORTED", &refused.to_string()),
            Refused::Malformed(_) => failure("MALFORMED", &refused.to_string()),
            Refused::TooLarge(_) => failure("LIMIT_EXCEEDED", &refused.to_string()),
        })?;
        let text = &document.writer.text;
        if document.pages.is_empty() {
            target.write(text);
        }
        let ends = document.pages.iter().skip(1).copied().chain([text.len()]);
        for ((start, end), number) in document.pages.iter().copied().zip(ends).zip(1..) {
            target.begin_page(number, None);
            target.write(text.get(start..end).unwrap_or_default());
        }
        let span = |at: std::ops::Range<usize>| Span {
            start: at.start as u32,
            end: at.end as u32,
        };
        let units = document.writer.units.into_iter().map(|unit| Unit {
            at: span(unit.at),
            kind: unit.kind.to_owned(),
            level: unit.level,
            title: unit.title.map(span),
        });
        target.add_units(&units.collect::<Vec<_>>());
        let attrs = document.attrs.into_iter().map(|(key, value)| Attr {
            key: key.to_owned(),
            value,
        });
        target.add_attrs(&attrs.collect::<Vec<_>>());
        Ok(())
    }
}

/// The upload as a file. Reads whole windows, so that going back and forth in one costs nothing.
struct Upload<'a> {
    source: &'a Blob,
    position: u64,
    /// Where the window that is held starts.
    start: u64,
    window: Vec<u8>,
}

impl Read for Upload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = self.position - self.position % u64::from(WINDOW);
        if self.window.is_empty() || start != self.start {
            self.start = start;
            self.window = self.source.read(start, WINDOW);
        }
        let there = self.window.get((self.position - start) as usize..).unwrap_or_default();
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Upload<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.source.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.to_owned(),
        at: None,
    }
}
