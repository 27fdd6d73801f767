//! The glue: the exports of the world `analyzer-plugin`.

use crate::{Config, phrases};
use exports::ibid::plugin::analysis::{Analyzer, Guest, GuestAnalyzer, Plan, Search};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure};

wit_bindgen::generate!({ path: "wit", world: "analyzer-plugin" });

struct Component;

export!(Component);

impl Guest for Component {
    type Analyzer = Plugin;
}

struct Plugin(Config);

impl GuestAnalyzer for Plugin {
    fn open(config: String) -> Result<Analyzer, Failure> {
        // Without this a panic is a crash without a word.
        std::panic::set_hook(Box::new(|panic| log::write("error", &panic.to_string())));
        let config = serde_json::from_str(&config).map_err(|error| Failure {
            code: "INVALID_CONFIG".into(),
            message: error.to_string(),
            at: None,
        })?;
        Ok(Analyzer::new(Plugin(config)))
    }

    fn analyze(&self, query: String, _known: Vec<Attr>) -> Result<Plan, Failure> {
        let search = |text: &str, weight| Search {
            text: text.to_owned(),
            weight,
            filter: None,
            limit: None,
        };
        let phrases = phrases(&query);
        // The first search is the one that `balanced` runs; `comprehensive` runs them all.
        let mut searches = vec![search(&query, 1.0)];
        searches.extend(phrases.iter().map(|phrase| search(phrase, self.0.phrase_weight)));
        // Entities are shown to the person who asked.
        let attrs = phrases.iter().map(|phrase| Attr {
            key: "entity.phrase".into(),
            value: (*phrase).into(),
        });
        Ok(Plan {
            searches,
            attrs: attrs.collect(),
        })
    }
}
