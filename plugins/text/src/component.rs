//! The plugin's face to the host: the exports of the world `extractor-plugin`.

use crate::{config::Config, paragraphs::Paragraphs};
use ibid_encoding::{Encoding, Refused, read_text};
use std::ops::Range;

wit_bindgen::generate!({ path: "../../wit/1", world: "extractor-plugin" });

use exports::ibid::plugin::extraction::{Extractor, Guest, GuestExtractor};
use ibid::plugin::intake::{Blob, Draft};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure, Span, Unit};

struct Component;

export!(Component);

impl Guest for Component {
    type Extractor = Text;
}

/// The extractor. It has no state and no settings.
struct Text;

/// Bytes read at once: a text of nothing but tiny paragraphs then still needs little memory.
const WINDOW: u32 = 256 << 10;

impl GuestExtractor for Text {
    fn open(config: String) -> Result<Extractor, Failure> {
        panic_words::to(|words| log::write("error", words));
        Config::parse(&config).map_err(|message| failure("INVALID_CONFIG", &message))?;
        Ok(Extractor::new(Self))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), Failure> {
        let len = source.len();
        let mut paragraphs = Paragraphs::new();
        let mut room = u32::MAX;
        let read = |offset| source.read(offset, WINDOW);
        let encoding = read_text(read, |text, done| {
            match room.checked_sub(text.len() as u32) {
                Some(left) => room = left,
                None => return false,
            }
            target.write(text);
            target.add_units(&units(paragraphs.push(text)));
            target.progress(done as f32 / len.max(1) as f32);
            true
        })
        .map_err(|refused| match refused {
            Refused::Binary => failure(
                "UNSUPPORTED",
                "This looks like a binary file, not text: upload it with its own file type.",
            ),
            Refused::Stopped => failure("LIMIT_EXCEEDED", "The text is longer than 4 GiB: split it."),
            Refused::Changed => failure("MALFORMED", "The file changed while it was read."),
        })?;
        target.add_units(&units(paragraphs.finish()));
        if encoding != Encoding::Utf8 {
            let value = encoding.name().to_owned();
            target.add_attrs(&[Attr {
                key: "encoding".to_owned(),
                value,
            }]);
        }
        Ok(())
    }
}

fn units(paragraphs: impl IntoIterator<Item = Range<u32>>) -> Vec<Unit> {
    paragraphs
        .into_iter()
        .map(|at| Unit {
            at: Span {
                start: at.start,
                end: at.end,
            },
            kind: "paragraph".to_owned(),
            level: 0,
            title: None,
        })
        .collect()
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.to_owned(),
        at: None,
    }
}
