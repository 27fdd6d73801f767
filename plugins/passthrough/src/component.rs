//! The whole plugin: the exports of the world `analyzer-plugin`.

wit_bindgen::generate!({ path: "../../wit/1", world: "analyzer-plugin" });

use exports::ibid::plugin::analysis::{Analyzer, Guest, GuestAnalyzer, Plan, Search};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure};

struct Component;

export!(Component);

impl Guest for Component {
    type Analyzer = Passthrough;
}

/// The analyzer. It has no settings.
struct Passthrough;

impl GuestAnalyzer for Passthrough {
    fn open(_: String) -> Result<Analyzer, Failure> {
        panic_words::to(|words| log::write("error", words));
        Ok(Analyzer::new(Self))
    }

    fn analyze(&self, query: String, known: Vec<Attr>) -> Result<Plan, Failure> {
        let search = Search {
            text: query,
            weight: 1.0,
            filter: None,
            limit: None,
        };
        Ok(Plan {
            searches: vec![search],
            // What the client said of the language is worth keeping; of the rest nothing is known.
            attrs: known.into_iter().filter(|attr| attr.key == "language").collect(),
        })
    }
}
