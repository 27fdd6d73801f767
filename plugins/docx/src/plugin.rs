//! The extractor that the host calls.

use crate::config::Config;
use crate::reader::{Refused, read};
use ibid_plugin::{Attr, Draft, Extractor, Failure, Settings, Unit, Upload};

ibid_plugin::extractor!(Docx);

/// The extractor. It has no state but its settings.
struct Docx(Config);

/// The bytes that are read at once.
const WINDOW: u32 = 256 << 10;

impl Extractor for Docx {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
        let document = read(upload.reader(WINDOW), &self.0, |done| draft.progress(done)).map_err(|refused| match refused {
            Refused::OldOrEncrypted | Refused::NoDocument => Failure::unsupported(refused.to_string()),
            Refused::Malformed(_) => Failure::malformed(refused.to_string()),
            Refused::TooLarge(_) => Failure::limit_exceeded(refused.to_string()),
        })?;
        let text = &document.writer.text;
        if document.pages.is_empty() {
            draft.write(text);
        }
        let ends = document.pages.iter().skip(1).copied().chain([text.len()]);
        for ((start, end), number) in document.pages.iter().copied().zip(ends).zip(1..) {
            draft.begin_page(number, None);
            draft.write(text.get(start..end).unwrap_or_default());
        }
        draft.add_units(&document.writer.units.into_iter().map(Unit::from).collect::<Vec<_>>());
        draft.add_attrs(&document.attrs.into_iter().map(Attr::from).collect::<Vec<_>>());
        Ok(())
    }
}
