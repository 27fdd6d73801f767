//! The glue: the exports of the world `extractor-plugin`.

use crate::{Config, columns, rows};
use exports::ibid::plugin::extraction::{Extractor, Guest, GuestExtractor};
use ibid::plugin::intake::{Blob, Draft};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure, Span, Unit};

wit_bindgen::generate!({ path: "wit", world: "extractor-plugin" });

struct Component;

export!(Component);

impl Guest for Component {
    type Extractor = Plugin;
}

struct Plugin(Config);

impl GuestExtractor for Plugin {
    fn open(config: String) -> Result<Extractor, Failure> {
        // Without this a panic is a crash without a word.
        std::panic::set_hook(Box::new(|panic| log::write("error", &panic.to_string())));
        let config = serde_json::from_str(&config).map_err(|error| failure("INVALID_CONFIG", &error.to_string()))?;
        Ok(Extractor::new(Plugin(config)))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        loop {
            let part = source.read(bytes.len() as u64, 4 << 20);
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(&part);
            target.progress(bytes.len() as f32 / source.len() as f32 / 2.0);
        }
        let text = String::from_utf8(bytes).map_err(|_| failure("MALFORMED", "The file is not UTF-8: save it as UTF-8 and upload it again."))?;
        let rows = rows(&text);
        target.write(&text);
        let span = |at: &std::ops::Range<usize>| Span {
            start: at.start as u32,
            end: at.end as u32,
        };
        // Each row is told which header it stands under: chunkers and answers keep the two together.
        let header = rows.first().map(span);
        let units: Vec<Unit> = rows
            .iter()
            .map(|row| Unit {
                at: span(row),
                kind: "table-row".into(),
                level: 0,
                title: header,
            })
            .collect();
        target.add_units(&units);
        let width = rows.first().and_then(|row| text.get(row.clone())).map_or(0, |row| columns(row, &self.0));
        target.add_attrs(&[
            Attr {
                key: "rows".into(),
                value: rows.len().saturating_sub(1).to_string(),
            },
            Attr {
                key: "columns".into(),
                value: width.to_string(),
            },
        ]);
        Ok(())
    }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        at: None,
    }
}
