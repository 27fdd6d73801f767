//! Searches for the question, and for each phrase in it that stands in quotation marks.

#[cfg(target_arch = "wasm32")]
mod component;

use serde::Deserialize;

/// The settings: `config.schema.json` in Rust.
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
}
