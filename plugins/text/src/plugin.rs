//! The extractor that the host calls.

use crate::paragraphs::Paragraphs;
use ibid_encoding::{copy_text, xml_declaration};
use ibid_plugin::{Draft, Extractor, Failure, NoSettings, Settings, Unit, Upload};
use std::ops::Range;

ibid_plugin::extractor!(Text);

/// The extractor. It has no state and no settings.
struct Text;

impl Extractor for Text {
    fn open(config: &str) -> Result<Self, Failure> {
        NoSettings::parse(config).map(|_| Self)
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
        let mut paragraphs = Paragraphs::new();
        let decoded = copy_text(upload, draft, "text", xml_declaration, |draft, text| {
            draft.add_units(&units(paragraphs.push(text)));
        })?;
        draft.add_units(&units(paragraphs.finish()));
        draft.add_attrs(&decoded.attrs());
        Ok(())
    }
}

fn units(paragraphs: impl IntoIterator<Item = Range<u32>>) -> Vec<Unit> {
    paragraphs.into_iter().map(|at| Unit::new("paragraph", at)).collect()
}
