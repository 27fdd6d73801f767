//! The citation formatter that the host calls.

use crate::{config::Config, notes};
use ibid_plugin::{Failure, Formatter, Settings, Source};

ibid_plugin::formatter!(Footnotes);

/// The formatter. It has no state but its settings.
struct Footnotes(Config);

impl Formatter for Footnotes {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn mark(&self, cited: &[Source]) -> Result<String, Failure> {
        Ok(notes::mark(cited))
    }

    fn entry(&self, cited: &Source) -> Result<String, Failure> {
        Ok(notes::entry(cited, &self.0))
    }

    fn finish(&self, cited: &[Source]) -> Result<String, Failure> {
        Ok(notes::list(cited, &self.0))
    }
}
