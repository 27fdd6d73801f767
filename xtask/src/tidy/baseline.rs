//! The offences that are known and not mended yet: how many each file may have. Their number may only fall.

use std::collections::BTreeMap;

use super::offence::{Offence, Rule};

/// Where the baseline is, relative to the repository's root.
pub const PATH: &str = "xtask/tidy-baseline.txt";

const HEAD: &str = "# Offences that `cargo xtask tidy` passes over until they are mended: a rule, a file, how many.
# Written by `cargo xtask tidy --update`, which lets no rule's total grow. The goal is an empty list.
";

/// Offences of a rule in a file.
type Counts = BTreeMap<(Rule, String), usize>;

/// The known offences.
#[derive(Default)]
pub struct Baseline {
    counts: Counts,
}

impl Baseline {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut counts = Counts::new();
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            let entry = match line.split(' ').collect::<Vec<_>>().as_slice() {
                [rule, path, count] => rule_of(rule)
                    .zip(count.parse().ok())
                    .map(|(rule, count)| ((rule, (*path).to_owned()), count)),
                _ => None,
            };
            let (key, count) = entry.ok_or_else(|| format!("{PATH}:{}: expected `rule path count`", index + 1))?;
            counts.insert(key, count);
        }
        Ok(Self { counts })
    }

    /// The baseline that these offences are, as text.
    pub fn render(offences: &[Offence]) -> String {
        let entries = count(offences)
            .into_iter()
            .map(|((rule, path), count)| format!("{} {path} {count}\n", rule.name()));
        std::iter::once(HEAD.to_owned()).chain(entries).collect()
    }

    /// The offences that count: those of rules without a baseline, of files with more than their number, and numbers that are too high.
    pub fn apply(&self, offences: Vec<Offence>) -> Vec<Offence> {
        let found = count(&offences);
        let allowed = |key: &(Rule, String)| self.counts.get(key).copied().unwrap_or_default();
        let is_new = |offence: &Offence| {
            let key = (offence.rule, offence.path.clone());
            found.get(&key).is_none_or(|count| *count > allowed(&key))
        };
        let mut left: Vec<Offence> = offences.into_iter().filter(is_new).collect();
        for (line, (key, count)) in self.counts.iter().enumerate() {
            let now = found.get(key).copied().unwrap_or_default();
            if now < *count {
                let what = format!("{} has {now} offences against `{}`, and {count} are listed", key.1, key.0.name());
                let line = HEAD.lines().count() + line + 1;
                left.push(Offence::new(
                    Rule::Baseline,
                    PATH,
                    line,
                    what,
                    "lower the number: cargo xtask tidy --update",
                ));
            }
        }
        left
    }

    /// The rules of which there are more offences now than the baseline lists: by those, it may not be written again.
    pub fn grown(&self, offences: &[Offence]) -> Vec<Rule> {
        let total = |counts: &Counts, rule| {
            counts
                .iter()
                .filter(|((of, _), _)| *of == rule)
                .map(|(_, count)| count)
                .sum::<usize>()
        };
        let found = count(offences);
        Rule::ALL
            .into_iter()
            .filter(|rule| total(&found, *rule) > total(&self.counts, *rule))
            .collect()
    }
}

fn rule_of(name: &str) -> Option<Rule> {
    Rule::ALL.into_iter().find(|rule| rule.has_baseline() && rule.name() == name)
}

fn count(offences: &[Offence]) -> Counts {
    let mut counts = Counts::new();
    for offence in offences.iter().filter(|offence| offence.rule.has_baseline()) {
        *counts.entry((offence.rule, offence.path.clone())).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offences(rule: Rule, path: &str, count: usize) -> Vec<Offence> {
        (1..=count)
            .map(|line| Offence::new(rule, path, line, "it is wrong", "mend it"))
            .collect()
    }

    fn baseline(found: &[Offence]) -> Baseline {
        Baseline::parse(&Baseline::render(found)).unwrap()
    }

    #[test]
    fn known_offences_pass() {
        let found = offences(Rule::Names, "src/a.rs", 2);
        assert!(baseline(&found).apply(found).is_empty());
    }

    #[test]
    fn one_more_shows_all_of_the_file() {
        let known = baseline(&offences(Rule::Names, "src/a.rs", 2));
        assert_eq!(known.apply(offences(Rule::Names, "src/a.rs", 3)).len(), 3);
        assert_eq!(
            known
                .apply([offences(Rule::Names, "src/a.rs", 2), offences(Rule::Words, "src/a.rs", 1)].concat())
                .len(),
            1
        );
    }

    #[test]
    fn a_number_that_is_too_high_is_an_offence() {
        let known = baseline(&[offences(Rule::Length, "a.rs", 1), offences(Rule::Names, "b.rs", 2)].concat());
        let left = known.apply([offences(Rule::Length, "a.rs", 1), offences(Rule::Names, "b.rs", 1)].concat());
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].rule, left[0].line), (Rule::Baseline, HEAD.lines().count() + 2));
        assert_eq!(known.apply(offences(Rule::Length, "a.rs", 1)).len(), 1, "a file that is gone");
    }

    #[test]
    fn it_may_move_but_not_grow() {
        let known = baseline(&offences(Rule::Names, "src/a.rs", 2));
        assert!(known.grown(&offences(Rule::Names, "crates/a/src/a.rs", 2)).is_empty());
        assert_eq!(known.grown(&offences(Rule::Names, "src/a.rs", 3)), [Rule::Names]);
        assert_eq!(known.grown(&offences(Rule::Length, "src/a.rs", 1)), [Rule::Length]);
    }

    #[test]
    fn other_rules_have_none() {
        assert!(Baseline::parse("sleep src/a.rs 1\n").is_err());
        assert_eq!(Baseline::default().apply(offences(Rule::Sleep, "src/a.rs", 1)).len(), 1);
        assert_eq!(Baseline::render(&offences(Rule::Sleep, "src/a.rs", 1)), HEAD);
    }
}
