//! The glue: the exports of the world `citation-plugin`.

use crate::{Config, letters};
use exports::ibid::plugin::citing::{Formatter, Guest, GuestFormatter, Source};
use ibid::plugin::log;
use ibid::plugin::types::Failure;

wit_bindgen::generate!({ path: "wit", world: "citation-plugin" });

struct Component;

export!(Component);

impl Guest for Component {
    type Formatter = Plugin;
}

struct Plugin(Config);

impl GuestFormatter for Plugin {
    fn open(config: String) -> Result<Formatter, Failure> {
        // Without this a panic is a crash without a word.
        std::panic::set_hook(Box::new(|panic| log::write("error", &panic.to_string())));
        let config = serde_json::from_str(&config).map_err(|error| Failure {
            code: "INVALID_CONFIG".into(),
            message: error.to_string(),
            at: None,
        })?;
        Ok(Formatter::new(Plugin(config)))
    }

    /// Follows each statement, with the passages that support it.
    fn mark(&self, cited: Vec<Source>) -> Result<String, Failure> {
        let letters: Vec<String> = cited.iter().map(|source| letters(source.citation_id, &self.0)).collect();
        Ok(format!(" [{}]", letters.join(", ")))
    }

    /// The reference for a list of sources, as clients show it.
    fn entry(&self, cited: Source) -> Result<String, Failure> {
        let page = cited.page.map(|page| format!(", p. {page}")).unwrap_or_default();
        Ok(format!("[{}] {}{page}", letters(cited.citation_id, &self.0), cited.name))
    }

    /// Ends the answer. Empty: the clients have the references.
    fn finish(&self, _cited: Vec<Source>) -> Result<String, Failure> {
        Ok(String::new())
    }
}
