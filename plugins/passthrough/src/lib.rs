//! Searches for the question as it is: the smallest query analyzer, and a starting point for new ones.

use ibid_plugin::{Analyzer, Attr, Failure, Plan, Search};

ibid_plugin::analyzer!(Passthrough);

/// The analyzer. It has no settings.
struct Passthrough;

impl Analyzer for Passthrough {
    fn open(_: &str) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn analyze(&self, question: &str, known: &[Attr]) -> Result<Plan, Failure> {
        Ok(Plan {
            searches: vec![Search::new(question)],
            // Keep the client's language; nothing else is known.
            attrs: known.iter().filter(|attr| attr.key == "language").cloned().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_search_and_the_language_is_kept() {
        let known = [Attr::new("mode", "speed"), Attr::new("language", "de")];
        let plan = Passthrough.analyze("Was kostet es?", &known).unwrap();
        assert_eq!(plan.searches, [Search::new("Was kostet es?")]);
        assert_eq!(plan.attrs, [Attr::new("language", "de")]);
    }
}
