//! Rule `head`: a module head does not list what the module uses; manifests and `use` say that, and are right.

use super::offence::{Offence, Rule};
use super::prose::Prose;
use super::tree::File;

/// What such sentences say, in small letters.
const PHRASES: &[&[&str]] = &[&["may", "depend", "on"], &["depends", "on"]];

/// Checks the `//!` comments of one Rust file.
pub fn check(file: &File) -> Vec<Offence> {
    let mut offences = Vec::new();
    for prose in Prose::of_comments(&file.text, &["//!"]) {
        for phrase in PHRASES {
            for line in prose.find(phrase, false) {
                let what = format!("the module head says what it \"{}\"", phrase.join(" "));
                offences.push(Offence::new(
                    Rule::Head,
                    &file.path,
                    line,
                    what,
                    "delete the sentence: the manifest says it, and `layers` checks it",
                ));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<usize> {
        check(&File::new("src/a.rs", text))
            .into_iter()
            .map(|offence| offence.line)
            .collect()
    }

    #[test]
    fn sentences_are_found_across_lines() {
        assert_eq!(of("//! Reads. May depend\n//! on nothing.\n//!\n//! Depends on `b`.\n"), [1, 4]);
        assert_eq!(of("//! Nothing else depends on it.\n"), [1]);
    }

    #[test]
    fn other_comments_may_say_it() {
        assert!(of("//! Reads.\n\n/// Depends on the clock.\nfn a() {}\n// May depend on b.\n").is_empty());
    }
}
