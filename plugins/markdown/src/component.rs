//! The plugin's face to the host: the exports of the world `extractor-plugin`.

use crate::{blocks::Block, config::Config, reader::Reader};
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
    type Extractor = Markdown;
}

/// The extractor. It has no state and no settings.
struct Markdown;

/// Bytes read at once.
const WINDOW: u32 = 256 << 10;

impl GuestExtractor for Markdown {
    fn open(config: String) -> Result<Extractor, Failure> {
        panic_words::to(|words| log::write("error", words));
        Config::parse(&config).map_err(|message| failure("INVALID_CONFIG", &message))?;
        Ok(Extractor::new(Self))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), Failure> {
        let len = source.len();
        let mut reader = Reader::new();
        let mut room = u32::MAX;
        let read = |offset| source.read(offset, WINDOW);
        let encoding = read_text(read, |text, done| {
            match room.checked_sub(text.len() as u32) {
                Some(left) => room = left,
                None => return false,
            }
            target.write(text);
            target.add_units(&units(reader.push(text)));
            target.progress(done as f32 / len.max(1) as f32);
            true
        })
        .map_err(|refused| match refused {
            Refused::Binary => failure(
                "UNSUPPORTED",
                "This looks like a binary file, not Markdown: upload it with its own file type.",
            ),
            Refused::Stopped => failure("LIMIT_EXCEEDED", "The text is longer than 4 GiB: split it."),
            Refused::Changed => failure("MALFORMED", "The file changed while it was read."),
        })?;
        let (last, attrs) = reader.finish();
        target.add_units(&units(last));
        let mut attrs: Vec<Attr> = attrs
            .into_iter()
            .map(|(key, value)| Attr {
                key: key.to_owned(),
                value,
            })
            .collect();
        if encoding != Encoding::Utf8 {
            attrs.push(Attr {
                key: "encoding".to_owned(),
                value: encoding.name().to_owned(),
            });
        }
        target.add_attrs(&attrs);
        Ok(())
    }
}

fn units(blocks: Vec<Block>) -> Vec<Unit> {
    let unit = |block: Block| Unit {
        at: span(block.at),
        kind: block.kind.to_owned(),
        level: block.level,
        title: block.title.map(span),
    };
    blocks.into_iter().map(unit).collect()
}

fn span(at: Range<usize>) -> Span {
    Span {
        start: at.start as u32,
        end: at.end as u32,
    }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.to_owned(),
        at: None,
    }
}
