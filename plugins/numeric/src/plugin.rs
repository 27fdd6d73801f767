//! The citation formatter that the host calls.

use crate::{citation, config::Config};
use ibid_plugin::{Failure, Formatter, Settings, Source};

ibid_plugin::formatter!(Numeric);

/// The formatter. It has no state but its settings.
struct Numeric(Config);

impl Formatter for Numeric {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn mark(&self, cited: &[Source]) -> Result<String, Failure> {
        Ok(citation::mark(cited.iter().map(|source| source.citation_id), self.0.style))
    }

    fn entry(&self, cited: &Source) -> Result<String, Failure> {
        Ok(citation::entry(cited, self.0.style))
    }

    fn finish(&self, cited: &[Source]) -> Result<String, Failure> {
        if !self.0.list {
            return Ok(String::new());
        }
        Ok(citation::list(cited, self.0.style))
    }
}
