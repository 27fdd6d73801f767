//! The plugin's face to the host: the exports of the world `extractor-plugin`.

use crate::config::Config;
use crate::reader::{Page, Reader};
use ibid_encoding::{Refused, read_text};

wit_bindgen::generate!({ path: "../../wit/1", world: "extractor-plugin" });

use exports::ibid::plugin::extraction::{Extractor, Guest, GuestExtractor};
use ibid::plugin::intake::{Blob, Draft};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure, Span, Unit};

struct Component;

export!(Component);

impl Guest for Component {
    type Extractor = Html;
}

/// The extractor: its settings are all that it keeps.
struct Html(Config);

/// Bytes read at once.
const WINDOW: u32 = 256 << 10;

impl GuestExtractor for Html {
    fn open(config: String) -> Result<Extractor, Failure> {
        panic_words::to(|words| log::write("error", words));
        let config = Config::parse(&config).map_err(|message| failure("INVALID_CONFIG", &message))?;
        Ok(Extractor::new(Self(config)))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), Failure> {
        let mut page = read(source, target, &self.0)?;
        // A page that is all menu, or has one without an end, is better read whole than lost.
        if page.swallowed || page.writer.text.is_empty() {
            page = read(source, target, &Config { navigation: true })?;
        }
        target.write(&page.writer.text);
        let span = |at: std::ops::Range<usize>| Span {
            start: at.start as u32,
            end: at.end as u32,
        };
        let units: Vec<Unit> = page
            .writer
            .units
            .into_iter()
            .map(|unit| Unit {
                at: span(unit.at),
                kind: unit.kind.to_owned(),
                level: unit.level,
                title: unit.title.map(span),
            })
            .collect();
        target.add_units(&units);
        let attrs = page.attrs.into_iter().map(|(key, value)| Attr {
            key: key.to_owned(),
            value,
        });
        target.add_attrs(&attrs.collect::<Vec<_>>());
        Ok(())
    }
}

fn read(source: &Blob, target: &Draft, config: &Config) -> Result<Page, Failure> {
    let len = source.len();
    let mut reader = Reader::new(config);
    let pass_on = |text: &str, done: u64| {
        reader.push(text);
        target.progress(done as f32 / len.max(1) as f32);
        true
    };
    read_text(|offset| source.read(offset, WINDOW), pass_on).map_err(|refused| match refused {
        Refused::Binary => failure(
            "UNSUPPORTED",
            "This looks like a binary file, not a web page: upload it with its own file type.",
        ),
        Refused::Stopped | Refused::Changed => failure("MALFORMED", "The file changed while it was read."),
    })?;
    Ok(reader.finish())
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.to_owned(),
        at: None,
    }
}
