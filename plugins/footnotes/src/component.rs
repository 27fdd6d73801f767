//! The plugin's face to the host: the exports of the world `citation-plugin`.

use crate::{config::Config, notes};

wit_bindgen::generate!({ path: "../../wit/1", world: "citation-plugin" });

use exports::ibid::plugin::citing::{Formatter, Guest, GuestFormatter, Source};
use ibid::plugin::log;
use ibid::plugin::types::Failure;

struct Component;

export!(Component);

impl Guest for Component {
    type Formatter = Footnotes;
}

/// The formatter: its settings are all that it keeps.
struct Footnotes(Config);

impl GuestFormatter for Footnotes {
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
        Ok(notes::mark(cited.iter().map(|source| source.citation_id)))
    }

    fn entry(&self, cited: Source) -> Result<String, Failure> {
        Ok(notes::entry(&of(&cited), &self.0))
    }

    fn finish(&self, cited: Vec<Source>) -> Result<String, Failure> {
        Ok(notes::list(cited.iter().map(of), &self.0))
    }
}

fn of(source: &Source) -> notes::Source<'_> {
    let title = source.attrs.iter().find(|attr| attr.key == "title");
    notes::Source {
        number: source.citation_id,
        name: &source.name,
        title: title.map(|attr| attr.value.as_str()),
        page: source.page,
        section: &source.section,
    }
}
