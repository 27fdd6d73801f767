//! The glue to the plugin contract: reads the upload, writes the draft. Holds no logic.

use std::cell::RefCell;

use crate::config::Config;
use crate::failure::Failure;
use crate::sink::{Sink, Unit};

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/1",
        world: "extractor-plugin",
    });
}

use bindings::exports::ibid::plugin::extraction::{self, Guest, GuestExtractor};
use bindings::ibid::plugin::intake::{Blob, Draft};
use bindings::ibid::plugin::{log, types};

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

/// Bytes of the upload that are asked for at once.
const WINDOW: u32 = 1 << 20;

struct Plugin;

struct Extractor(RefCell<Config>);

impl Guest for Plugin {
    type Extractor = Extractor;
}

impl GuestExtractor for Extractor {
    fn open(config: String) -> Result<extraction::Extractor, types::Failure> {
        panic_words::to(|words| log::write("error", words));
        let config = Config::from_json(&config).map_err(told)?;
        Ok(extraction::Extractor::new(Extractor(RefCell::new(config))))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), types::Failure> {
        let config = self.0.borrow().clone();
        let bytes = read(source, config.limits.file_bytes).map_err(told)?;
        crate::extract(&bytes, &config, &mut Target(target)).map_err(told)
    }
}

bindings::export!(Plugin with_types_in bindings);

fn told(failure: Failure) -> types::Failure {
    types::Failure {
        code: failure.code().to_owned(),
        message: failure.to_string(),
        at: None,
    }
}

/// The whole upload, in windows: lopdf wants it in one piece.
fn read(source: &Blob, limit: u64) -> Result<Vec<u8>, Failure> {
    let length = source.len();
    if length > limit {
        return Err(Failure::LimitExceeded(format!("the file is larger than {} MiB", limit >> 20)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    loop {
        let window = source.read(bytes.len() as u64, WINDOW);
        if window.is_empty() || bytes.len() as u64 >= length {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&window);
    }
}

struct Target<'a>(&'a Draft);

impl Sink for Target<'_> {
    fn write(&mut self, text: &str) -> u32 {
        self.0.write(text)
    }

    fn begin_page(&mut self, number: u32, label: Option<&str>) {
        self.0.begin_page(number, label);
    }

    fn add_units(&mut self, units: Vec<Unit>) {
        let span = |at: crate::sink::Span| types::Span {
            start: at.start,
            end: at.end,
        };
        let units: Vec<types::Unit> = units
            .into_iter()
            .map(|unit| types::Unit {
                at: span(unit.at),
                kind: unit.kind.to_owned(),
                level: unit.level,
                title: unit.title.map(span),
            })
            .collect();
        self.0.add_units(&units);
    }

    fn add_attrs(&mut self, attrs: Vec<(&'static str, String)>) {
        let attrs: Vec<types::Attr> = attrs
            .into_iter()
            .map(|(key, value)| types::Attr {
                key: key.to_owned(),
                value,
            })
            .collect();
        self.0.add_attrs(&attrs);
    }

    fn progress(&mut self, done: f32) {
        self.0.progress(done);
    }
}

/// Bytes for those who ask for random ones: a fixed sequence.
///
/// The sandbox has no source of randomness, and reading a file needs none: lopdf draws some to pad
/// the second half of a password check's value, which no reader looks at, and to seed what only
/// writers use. The same file gives the same text this way.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(destination: *mut u8, length: usize) -> Result<(), getrandom::Error> {
    // SAFETY: getrandom passes a buffer of that length, which may be uninitialised and is only written.
    unsafe { core::ptr::write_bytes(destination, 0x5a, length) };
    Ok(())
}
