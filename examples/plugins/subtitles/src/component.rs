//! The glue: the exports of the world `extractor-plugin`.

use crate::{Config, cues, paragraphs};
use exports::ibid::plugin::extraction::{Extractor, Guest, GuestExtractor};
use ibid::plugin::intake::{Blob, Draft};
use ibid::plugin::log;
use ibid::plugin::types::{Failure, Span, Unit};

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
        let text =
            String::from_utf8(bytes).map_err(|_| failure("MALFORMED", "The file is not UTF-8: save it as UTF-8 and upload it again."))?;
        let paragraphs = paragraphs(&cues(&text), &self.0);
        if paragraphs.is_empty() {
            return Err(failure("MALFORMED", "The file holds no cue: is it WebVTT or SubRip?"));
        }
        let mut page = 0;
        let mut at = 0;
        for paragraph in &paragraphs {
            let minute = u32::try_from(paragraph.start / 60_000).unwrap_or(u32::MAX);
            let number = (minute / self.0.minutes_per_page.max(1)).saturating_add(1);
            // A file may be out of order; pages may not.
            if number > page {
                page = number;
                let first = (page - 1) * self.0.minutes_per_page.max(1);
                target.begin_page(page, Some(&format!("{:02}:{:02}", first / 60, first % 60)));
            }
            let start = at;
            let end = start + paragraph.text.len() as u32;
            at = target.write(&format!("{}\n\n", paragraph.text));
            target.add_units(&[Unit {
                at: Span { start, end },
                kind: "paragraph".into(),
                level: 0,
                title: None,
            }]);
        }
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
