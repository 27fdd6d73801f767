//! The citation formatter that the host calls.

use crate::{citation, config::Config};
use ibid_plugin::{Failure, Formatter, Settings, Source};

ibid_plugin::formatter!(AuthorPage);

/// The formatter. It has no state but its settings.
struct AuthorPage(Config);

impl Formatter for AuthorPage {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn mark(&self, cited: &[Source]) -> Result<String, Failure> {
        Ok(citation::mark(&all(cited), &self.0))
    }

    fn entry(&self, cited: &Source) -> Result<String, Failure> {
        Ok(of(cited).entry(&self.0))
    }

    fn finish(&self, cited: &[Source]) -> Result<String, Failure> {
        if !self.0.list {
            return Ok(String::new());
        }
        Ok(citation::list(&all(cited), &self.0))
    }
}

fn all(cited: &[Source]) -> Vec<citation::Source<'_>> {
    cited.iter().map(of).collect()
}

fn of(source: &Source) -> citation::Source<'_> {
    citation::Source {
        name: &source.name,
        title: source.attr("title"),
        author: source.attr("author"),
        created: source.attr("created"),
        page: source.page,
    }
}
