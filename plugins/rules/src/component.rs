//! The plugin's face to the host: the exports of the world `analyzer-plugin`.

use crate::{
    config::Config,
    entities::entities,
    intent::intent,
    language::language,
    searches::{Effort, searches},
    words::words,
};

wit_bindgen::generate!({ path: "../../wit/1", world: "analyzer-plugin" });

use exports::ibid::plugin::analysis::{Analyzer, Guest, GuestAnalyzer, Plan, Search};
use ibid::plugin::log;
use ibid::plugin::types::{Attr, Failure};

struct Component;

export!(Component);

impl Guest for Component {
    type Analyzer = Rules;
}

/// The analyzer: its settings are all that it keeps.
struct Rules(Config);

impl GuestAnalyzer for Rules {
    fn open(config: String) -> Result<Analyzer, Failure> {
        panic_words::to(|words| log::write("error", words));
        let config = Config::parse(&config).map_err(|message| Failure {
            code: "INVALID_CONFIG".to_owned(),
            message,
            at: None,
        })?;
        Ok(Analyzer::new(Self(config)))
    }

    fn analyze(&self, query: String, known: Vec<Attr>) -> Result<Plan, Failure> {
        let told = |key: &str| known.iter().find(|attr| attr.key == key).map(|attr| attr.value.as_str());
        let words = words(&query);
        let language = told("language").or_else(|| language(&query, &words));
        let (intent, sure) = intent(&query, &words);
        let entities = entities(&words, language);

        let mut attrs = vec![attr("intent", intent.name()), attr("confidence", &format!("{sure:.2}"))];
        attrs.extend(language.map(|language| attr("language", language)));
        for entity in &entities {
            let text = query.get(entity.at.clone()).unwrap_or_default();
            attrs.push(attr(&format!("entity.{}", entity.kind), text));
        }
        let effort = match told("mode") {
            Some("speed" | "balanced") => Effort::Balanced,
            _ => Effort::Full,
        };
        let searches = searches(&query, &words, intent, &entities, language, effort, &self.0);
        let search = |(text, weight)| Search {
            text,
            weight,
            filter: None,
            limit: None,
        };
        Ok(Plan {
            searches: searches.into_iter().map(search).collect(),
            attrs,
        })
    }
}

fn attr(key: &str, value: &str) -> Attr {
    Attr {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}
