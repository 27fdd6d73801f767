//! The extractor that the host calls.

use crate::charset;
use crate::config::Config;
use crate::reader::{Page, Reader};
use ibid_encoding::{Decoded, read_upload};
use ibid_plugin::{Attr, Draft, Extractor, Failure, Settings, Unit, Upload};

ibid_plugin::extractor!(Html);

/// The extractor: its settings are all that it keeps.
struct Html(Config);

impl Extractor for Html {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
        let (mut page, decoded) = read(upload, draft, &self.0)?;
        // A page that is all menu, or has one without an end, is better read whole than lost.
        if page.swallowed || page.writer.text.is_empty() {
            (page, _) = read(upload, draft, &Config { navigation: true })?;
        }
        draft.write(&page.writer.text);
        draft.add_units(&page.writer.units.into_iter().map(Unit::from).collect::<Vec<_>>());
        draft.add_attrs(&page.attrs.into_iter().map(Attr::from).collect::<Vec<_>>());
        draft.add_attrs(&decoded.attrs());
        Ok(())
    }
}

fn read(upload: &impl Upload, draft: &mut impl Draft, config: &Config) -> Result<(Page, Decoded), Failure> {
    let mut reader = Reader::new(config);
    let decoded = read_upload(upload, "a web page", charset::declared, |text, done| {
        reader.push(text);
        draft.progress(done);
        true
    })?;
    Ok((reader.finish(), decoded))
}
