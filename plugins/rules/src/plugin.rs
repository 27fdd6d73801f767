//! The analyzer that the host calls.

use crate::{
    config::Config,
    entities::entities,
    intent::intent,
    language::language,
    searches::{Effort, searches},
    words::words,
};
use ibid_plugin::{Analyzer, Attr, Failure, Plan, Search, Settings};

ibid_plugin::analyzer!(Rules);

/// The analyzer. It has no state but its settings.
struct Rules(Config);

impl Analyzer for Rules {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn analyze(&self, question: &str, known: &[Attr]) -> Result<Plan, Failure> {
        let words = words(question);
        let language = Attr::find(known, "language").or_else(|| language(question, &words));
        let (intent, sure) = intent(question, &words);
        let entities = entities(&words, language);

        let mut attrs = vec![Attr::new("intent", intent.name()), Attr::new("confidence", format!("{sure:.2}"))];
        attrs.extend(language.map(|language| Attr::new("language", language)));
        for entity in &entities {
            let text = question.get(entity.at.clone()).unwrap_or_default();
            attrs.push(Attr::new(format!("entity.{}", entity.kind), text));
        }
        let effort = match Attr::find(known, "mode") {
            Some("speed" | "balanced") => Effort::Balanced,
            _ => Effort::Full,
        };
        let searches = searches(question, &words, intent, &entities, language, effort, &self.0);
        Ok(Plan {
            searches: searches
                .into_iter()
                .map(|(text, weight)| Search::new(text).with_weight(weight))
                .collect(),
            attrs,
        })
    }
}
