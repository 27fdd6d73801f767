//! The plugin's face to the host: the exports of the world `citation-plugin`.

use crate::{citation, config::Config};

wit_bindgen::generate!({ path: "../../wit/1", world: "citation-plugin" });

use exports::ibid::plugin::citing::{Formatter, Guest, GuestFormatter, Source};
use ibid::plugin::log;
use ibid::plugin::types::Failure;

struct Component;

export!(Component);

impl Guest for Component {
    type Formatter = AuthorPage;
}

/// The formatter: its settings are all that it keeps.
struct AuthorPage(Config);

impl GuestFormatter for AuthorPage {
    fn open(config: String) -> Result<Formatter, Failure> {
        panic_words::to(|words| log::write("error", words));
        let config = Config::parse(&config).map_err(|message| Failure {
            code: "INVALID_CONFIG".to_owned(),
            message,
            at: None,
        })?;
        Ok(Formatter::new(Self(config)))
    }

    fn mark(&self, cited: Vec<Source>) -> Result<String, Failure> {
        Ok(citation::mark(&all(&cited), &self.0))
    }

    fn entry(&self, cited: Source) -> Result<String, Failure> {
        Ok(of(&cited).entry(&self.0))
    }

    fn finish(&self, cited: Vec<Source>) -> Result<String, Failure> {
        if !self.0.list {
            return Ok(String::new());
        }
        Ok(citation::list(&all(&cited), &self.0))
    }
}

fn all(cited: &[Source]) -> Vec<citation::Source<'_>> {
    cited.iter().map(of).collect()
}

fn of(source: &Source) -> citation::Source<'_> {
    let told = |key: &str| source.attrs.iter().find(|attr| attr.key == key).map(|attr| attr.value.as_str());
    citation::Source {
        name: &source.name,
        title: told("title"),
        author: told("author"),
        created: told("created"),
        page: source.page,
    }
}
