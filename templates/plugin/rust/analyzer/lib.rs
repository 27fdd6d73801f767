//! Searches for the question, and for each phrase in it that stands in quotation marks.

use ibid_plugin::{Analyzer, Attr, Failure, Plan, Search, Settings};
use serde::Deserialize;

/// The settings: `config.schema.json` as a struct.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How much a phrase counts beside the whole question.
    pub phrase_weight: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { phrase_weight: 0.5 }
    }
}

impl Settings for Config {}

/// The analyzer: its settings are all that it keeps.
struct Plugin(Config);

ibid_plugin::analyzer!(Plugin);

impl Analyzer for Plugin {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn analyze(&self, question: &str, _known: &[Attr]) -> Result<Plan, Failure> {
        let phrases = phrases(question);
        // The first search is the one that `balanced` runs; `comprehensive` runs them all.
        let mut searches = vec![Search::new(question)];
        searches.extend(phrases.iter().map(|phrase| Search::new(*phrase).with_weight(self.0.phrase_weight)));
        // Entities are shown to the person who asked.
        let attrs = phrases.iter().map(|phrase| Attr::new("entity.phrase", *phrase)).collect();
        Ok(Plan { searches, attrs })
    }
}

/// The phrases in quotation marks, in order, each once. Eight at most: each costs a search.
pub fn phrases(question: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for part in question.split(['"', '“', '”', '„']).skip(1).step_by(2) {
        let phrase = part.trim();
        if !phrase.is_empty() && !found.contains(&phrase) && found.len() < 8 {
            found.push(phrase);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_stand_between_marks() {
        assert_eq!(phrases("What is “net debt” and \"EBITDA\" and “net debt”?"), ["net debt", "EBITDA"]);
        assert!(phrases("What is it?").is_empty());
        assert!(phrases("\"\"").is_empty());
    }

    #[test]
    fn phrases_are_searched_for_beside_the_question() {
        let question = "What is “net debt”?";
        let plan = Plugin::open("{}").unwrap().analyze(question, &[]).unwrap();
        assert_eq!(plan.searches, [Search::new(question), Search::new("net debt").with_weight(0.5)]);
        assert_eq!(plan.attrs, [Attr::new("entity.phrase", "net debt")]);
    }
}
