//! The extractor that the host calls.

use crate::{blocks::Block, reader::Reader};
use ibid_encoding::copy_text;
use ibid_plugin::{Attr, Draft, Extractor, Failure, NoSettings, Settings, Unit, Upload};

ibid_plugin::extractor!(Markdown);

/// The extractor. It has no state and no settings.
struct Markdown;

impl Extractor for Markdown {
    fn open(config: &str) -> Result<Self, Failure> {
        NoSettings::parse(config).map(|_| Self)
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
        let mut reader = Reader::new();
        let decoded = copy_text(
            upload,
            draft,
            "Markdown",
            |_| None,
            |draft, text| {
                draft.add_units(&units(reader.push(text)));
            },
        )?;
        let (last, attrs) = reader.finish();
        draft.add_units(&units(last));
        let mut attrs: Vec<Attr> = attrs.into_iter().map(Attr::from).collect();
        attrs.extend(decoded.attrs());
        draft.add_attrs(&attrs);
        Ok(())
    }
}

fn units(blocks: Vec<Block>) -> Vec<Unit> {
    let unit = |block: Block| Unit::new(block.kind, block.at).with_level(block.level).with_title(block.title);
    blocks.into_iter().map(unit).collect()
}
