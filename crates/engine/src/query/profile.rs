//! What a collection's documents are called, and which of them a question is about.
//!
//! A passage seldom says of which company or year it speaks: its file's name and first page do. A question that names
//! `3M` and 2018 means one filing among many, and its own words (`3M`) are in every passage of the wrong ones. So names,
//! years and quarters are compared with the documents, not with the passages. How much a name tells is its inverse
//! document frequency: in a collection of one company's files the company's name tells nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a matching name adds to a passage's score, which is in [0,1] without it. Anything from .4 up gave the same ranks.
const NAME: f32 = 0.4;
/// What a matching year adds in documents whose name matches too.
const YEAR: f32 = 0.4;
/// What a matching year adds where no name says that the document is meant: a year may stand in a document of another one.
const YEAR_ALONE: f32 = 0.1;
/// What a matching quarter adds, where the year does.
const QUARTER: f32 = 0.15;
/// A report of the next year tells of the year as well, for comparison.
const NEAR_YEAR: f32 = 0.4;
/// A document that tells no year is neither the wrong one nor the right one.
const NO_YEAR: f32 = 0.3;
/// What a word on the first page tells, beside one of the file's name.
const OPENING: f32 = 0.5;
/// What the beginning of a name tells (`MGM` of `MGMRESORTS`), beside the whole.
const BEGINNING: f32 = 0.8;
/// Fewest letters that are taken for the beginning of a name, and the fewest of such a name.
const BEGINNING_LETTERS: (usize, usize) = (3, 6);
/// Words that together may be one of a file name (`best buy`, `BESTBUY`).
const JOINED: usize = 3;
/// A name must tell this share of what it could for its words to count as said of the document.
const SAID: f32 = 0.25;
/// The most documents that a question can prefer: what fits more fits too many to be meant.
const PREFERRED: usize = 32;

/// What a document is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Words of its file name, lower case, without years.
    name: BTreeSet<String>,
    /// Words of its title and first page.
    opening: HashSet<String>,
    /// Years that it is of.
    years: BTreeSet<u16>,
    /// Quarters (1 to 4) that it is of.
    quarters: BTreeSet<u8>,
}

impl Profile {
    /// Of a file name, and of the beginning of the document: title, first page.
    pub fn new(filename: &str, opening: &str) -> Self {
        let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
        let mut profile = Self {
            opening: words(opening).into_iter().map(|word| word.lower).collect(),
            ..Self::default()
        };
        for word in words(stem) {
            let period = Period::of(&word.lower);
            if period == Period::default() {
                if !word.lower.bytes().all(|byte| byte.is_ascii_digit()) {
                    profile.name.insert(word.lower);
                }
            } else {
                profile.years.extend(period.year);
                profile.quarters.extend(period.quarter);
            }
        }
        if profile.years.is_empty() {
            profile.years = covered_years(opening);
        }
        profile
    }
}

/// A year, a quarter or both, as they are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Period {
    year: Option<u16>,
    quarter: Option<u8>,
}

impl Period {
    /// Of a word in lower case: `2018`, `fy2018`, `fy18`, `q2`, `2q23`, `2023q2`, `q22023`. Nothing for other words.
    fn of(word: &str) -> Self {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let full = |part: &str| {
            (part.len() == 4 && digits(part))
                .then(|| part.parse().ok())
                .flatten()
                .filter(|year| (1900..2100).contains(year))
        };
        let short = |part: &str| {
            full(part).or_else(|| {
                (part.len() == 2 && digits(part))
                    .then(|| part.parse::<u16>().ok().map(|year| 2000 + year))
                    .flatten()
            })
        };
        let quarter = |part: &str| match part {
            "1" => Some(1),
            "2" => Some(2),
            "3" => Some(3),
            "4" => Some(4),
            _ => None,
        };
        if let Some(year) = full(word) {
            return Self {
                year: Some(year),
                quarter: None,
            };
        }
        if let Some(year) = ["fy", "cy"].iter().find_map(|prefix| word.strip_prefix(prefix)).and_then(short) {
            return Self {
                year: Some(year),
                quarter: None,
            };
        }
        let Some((before, after)) = word.split_once('q') else {
            return Self::default();
        };
        let (year, quarter) = match (before, after) {
            ("", after) if after.len() == 1 => (None, quarter(after)),
            ("", after) => (after.get(1..).and_then(short), after.get(..1).and_then(quarter)),
            (before, "") => (None, quarter(before)),
            (before, after) if before.len() == 1 => (short(after), quarter(before)),
            (before, after) => (short(before), quarter(after)),
        };
        let whole = quarter.is_some() && (year.is_some() || before.len() + after.len() == 1);
        if whole { Self { year, quarter } } else { Self::default() }
    }
}

/// The years that a first page says the document is of: `for the fiscal year ended December 31, 2018`.
fn covered_years(opening: &str) -> BTreeSet<u16> {
    /// Words between `ended` and the year.
    const REACH: usize = 5;
    let words = words(opening);
    let mut years = BTreeSet::new();
    for (index, word) in words.iter().enumerate() {
        if matches!(word.lower.as_str(), "ended" | "ending" | "dated") {
            let after = words.iter().skip(index + 1).take(REACH);
            years.extend(after.filter_map(|word| Period::of(&word.lower).year).take(1));
        }
    }
    years
}

struct Word {
    /// As it is written.
    text: String,
    lower: String,
}

/// Letters and digits that stand together; a possessive ending is no word.
fn words(text: &str) -> Vec<Word> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '\u{2019}'))
        .map(|word| {
            let word = word.trim_matches(['\'', '\u{2019}']);
            let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word);
            Word {
                lower: word.to_lowercase().replace(['\'', '\u{2019}'], ""),
                text: word.to_owned(),
            }
        })
        .filter(|word| !word.lower.is_empty())
        .collect()
}

/// The profiles of a collection's documents. Made once, asked by every question.
#[derive(Debug, Default)]
pub struct Profiles {
    documents: Vec<(String, Profile)>,
    /// In how many file names a word is.
    in_names: HashMap<String, u32>,
    /// On how many first pages a word is.
    in_openings: HashMap<String, u32>,
}

/// What a question says of the documents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aim {
    /// What each document adds to the score of its passages; none for those that add nothing.
    weights: BTreeMap<String, f32>,
    /// The most that one adds.
    most: f32,
    /// The documents that are meant, if these are few: to be searched by themselves as well.
    pub preferred: Vec<String>,
    /// Words of the question that name them: said of the document, they tell nothing of its passages.
    pub said: Vec<String>,
}

impl Aim {
    /// What is added for a passage of a document.
    pub fn of(&self, document_id: &str) -> f32 {
        self.weights.get(document_id).copied().unwrap_or(0.0)
    }

    /// A passage's score, in [0,1], with what its document adds; in [0,1] again.
    pub fn add(&self, document_id: &str, score: f32) -> f32 {
        (score + self.of(document_id)) / (1.0 + self.most)
    }

    /// The most that is added for any.
    pub fn most(&self) -> f32 {
        self.most
    }
}

impl Profiles {
    /// Of documents, by identifier.
    pub fn new(documents: Vec<(String, Profile)>) -> Self {
        let mut profiles = Self {
            documents,
            ..Self::default()
        };
        for (_, profile) in &profiles.documents {
            for word in &profile.name {
                *profiles.in_names.entry(word.clone()).or_default() += 1;
            }
            for word in &profile.opening {
                *profiles.in_openings.entry(word.clone()).or_default() += 1;
            }
        }
        profiles
    }

    /// A document's profile: what was read of it once need not be read again.
    pub fn get(&self, document_id: &str) -> Option<&Profile> {
        self.documents.iter().find(|(id, _)| id == document_id).map(|(_, profile)| profile)
    }

    /// What `question` says of the documents; `names` are the names in it, as the analyzer found them.
    pub fn aim(&self, question: &str, names: &[&str]) -> Aim {
        let count = self.documents.len();
        if count < 2 {
            return Aim::default();
        }
        let asked = words(question);
        let names: HashSet<String> = names.iter().flat_map(|name| words(name)).map(|word| word.lower).collect();
        let joined = joined(&asked);
        let mut periods: Vec<Period> = asked.iter().map(|word| Period::of(&word.lower)).collect();
        periods.retain(|period| *period != Period::default());
        let most = (1.0 + count as f32).ln();
        let telling = |frequency: &HashMap<String, u32>, word: &str| {
            (1.0 + count as f32 / frequency.get(word).copied().unwrap_or(1).max(1) as f32).ln() / most
        };

        let mut matches: Vec<(f32, BTreeSet<usize>)> = Vec::with_capacity(count);
        for (_, profile) in &self.documents {
            let (mut weight, mut said) = (0.0, BTreeSet::new());
            for name in &profile.name {
                if let Some(positions) = joined.get(name.as_str()) {
                    weight += telling(&self.in_names, name);
                    said.extend(positions.iter().copied());
                } else if let Some(position) = beginning(name, &asked, &names) {
                    weight += BEGINNING * telling(&self.in_names, name);
                    said.insert(position);
                }
            }
            for (position, word) in asked.iter().enumerate() {
                if names.contains(&word.lower) && !said.contains(&position) && profile.opening.contains(&word.lower) {
                    weight += OPENING * telling(&self.in_openings, &word.lower);
                    said.insert(position);
                }
            }
            matches.push((weight.min(1.0), said));
        }

        let best = matches.iter().map(|(weight, _)| *weight).fold(0.0, f32::max);
        let mut weights: Vec<(String, f32)> = Vec::with_capacity(count);
        let mut said: BTreeSet<usize> = BTreeSet::new();
        for ((id, profile), (name, positions)) in self.documents.iter().zip(&matches) {
            let share = if best > 0.0 { name / best } else { 0.0 };
            let year = YEAR_ALONE + (YEAR - YEAR_ALONE) * share * best.min(1.0);
            weights.push((
                id.clone(),
                NAME * name + year * year_fit(profile, &periods) + QUARTER * share * quarter_fit(profile, &periods),
            ));
            if *name >= SAID && share > 0.5 {
                said.extend(positions.iter().copied());
            }
        }
        let most = weights.iter().map(|(_, weight)| *weight).fold(0.0, f32::max);
        let least = weights.iter().map(|(_, weight)| *weight).fold(f32::MAX, f32::min);
        // Few of many, and far from the others: else all would be searched twice for nothing.
        let near = most - (most - least) * 0.25;
        let mut preferred: Vec<(String, f32)> = weights.iter().filter(|(_, weight)| *weight >= near).cloned().collect();
        if most - least < SAID * NAME || preferred.len() * 2 > count || preferred.len() > PREFERRED {
            preferred.clear();
        }
        // Only names are taken out of the search of passages: `returns` may be a file's name and the subject too.
        let said = said.into_iter().filter_map(|position| asked.get(position));
        let said = said
            .filter(|word| names.contains(&word.lower))
            .map(|word| word.text.clone())
            .collect();
        Aim {
            weights: weights.into_iter().filter(|(_, weight)| *weight > 0.0).collect(),
            most,
            preferred: preferred.into_iter().map(|(id, _)| id).collect(),
            said,
        }
    }
}

/// Words of the question, single and joined with their neighbours, with the positions that each is made of.
fn joined(words: &[Word]) -> HashMap<String, BTreeSet<usize>> {
    let mut joined: HashMap<String, BTreeSet<usize>> = HashMap::new();
    for start in 0..words.len() {
        let mut text = String::new();
        for (length, word) in words.iter().skip(start).take(JOINED).enumerate() {
            text.push_str(&word.lower);
            // An article or a letter alone names nothing.
            if length > 0
                || !matches!(
                    word.lower.as_str(),
                    "a" | "an" | "the" | "of" | "in" | "and" | "for" | "to" | "by" | "on"
                )
            {
                joined.entry(text.clone()).or_default().extend(start..=start + length);
            }
        }
    }
    joined
}

/// Where the question has a name's beginning, taken for a name by the analyzer.
fn beginning(name: &str, asked: &[Word], names: &HashSet<String>) -> Option<usize> {
    let (least, long) = BEGINNING_LETTERS;
    if name.len() < long || !name.chars().all(char::is_alphabetic) {
        return None;
    }
    asked
        .iter()
        .position(|word| word.lower.len() >= least && names.contains(&word.lower) && name.starts_with(&word.lower))
}

/// How well a document's years fit those asked for, in [0,1]: best the latest, since a report tells of the years before it.
fn year_fit(profile: &Profile, periods: &[Period]) -> f32 {
    let Some(latest) = periods.iter().filter_map(|period| period.year).max() else {
        return 0.0;
    };
    if profile.years.is_empty() {
        return NO_YEAR;
    }
    let fit = |year: &u16| {
        let asked = periods.iter().any(|period| period.year == Some(*year));
        match *year {
            year if year == latest => 1.0,
            year if asked || year == latest + 1 => NEAR_YEAR,
            _ => 0.0,
        }
    };
    profile.years.iter().map(fit).fold(0.0, f32::max)
}

/// How well a document's quarters fit those asked for. Who asks for none means whole years: the report of one, or of its last quarter,
/// which tells of the year as well.
fn quarter_fit(profile: &Profile, periods: &[Period]) -> f32 {
    let mut asked = periods.iter().filter_map(|period| period.quarter).peekable();
    let fits = match asked.peek() {
        None => !periods.is_empty() && (profile.quarters.is_empty() || profile.quarters.contains(&4)),
        Some(_) => asked.any(|quarter| profile.quarters.contains(&quarter)),
    };
    if fits { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collection(files: &[(&str, &str)]) -> Profiles {
        Profiles::new(
            files
                .iter()
                .map(|(file, opening)| ((*file).to_owned(), Profile::new(file, opening)))
                .collect(),
        )
    }

    fn filings() -> Profiles {
        collection(&[
            ("ACME_2017_10K.pdf", ""),
            ("ACME_2018_10K.pdf", ""),
            ("ACME_2018Q2_10Q.pdf", ""),
            ("BESTBUY_2018_10K.pdf", ""),
            ("BOLT_2018Q3_10Q.pdf", ""),
            ("BOLT_2018Q4_EARNINGS.pdf", ""),
            (
                "JOHNSON_JOHNSON_2023_8K_dated-2023-08-30.pdf",
                "Johnson & Johnson (JNJ), New York Stock Exchange",
            ),
            ("MGMRESORTS_2022Q4_EARNINGS.pdf", ""),
            (
                "annual-report.pdf",
                "Form 10-K of Widgets, Inc. for the fiscal year ended June 30, 2021",
            ),
        ])
    }

    fn best(question: &str, names: &[&str]) -> String {
        let aim = filings().aim(question, names);
        let best = aim.weights.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id.clone());
        best.unwrap_or_default()
    }

    #[test]
    fn names_years_and_quarters_tell_documents_apart() {
        for (question, names, expected) in [
            ("What was Acme's capex in FY2018?", vec!["Acme"], "ACME_2018_10K.pdf"),
            ("What was ACME's capex from 2016 to 2017?", vec!["ACME"], "ACME_2017_10K.pdf"),
            ("Acme's revenue in Q2 of FY18", vec!["Acme"], "ACME_2018Q2_10Q.pdf"),
            ("Acme's revenue in 2Q18", vec!["Acme"], "ACME_2018Q2_10Q.pdf"),
            // A year is told by its own report, or by that of its last quarter.
            ("Revenue of Bolt in 2018?", vec!["Bolt"], "BOLT_2018Q4_EARNINGS.pdf"),
            ("How many stores does Best Buy have?", vec!["Best Buy"], "BESTBUY_2018_10K.pdf"),
            ("What did JnJ gain?", vec!["JnJ"], "JOHNSON_JOHNSON_2023_8K_dated-2023-08-30.pdf"),
            ("What is MGM's EBITDAR?", vec!["MGM"], "MGMRESORTS_2022Q4_EARNINGS.pdf"),
            ("What were the sales of Widgets in 2021?", vec!["Widgets"], "annual-report.pdf"),
        ] {
            assert_eq!(best(question, &names), expected, "{question}");
        }
    }

    #[test]
    fn the_documents_that_are_meant_are_preferred_and_their_names_are_said() {
        let aim = filings().aim("What was Acme's capex in 2018?", &["Acme"]);
        assert_eq!(aim.said, ["Acme"]);
        assert!(aim.preferred.contains(&"ACME_2018_10K.pdf".to_owned()), "{aim:?}");
        assert!(!aim.preferred.contains(&"BESTBUY_2018_10K.pdf".to_owned()), "{aim:?}");
    }

    #[test]
    fn a_name_that_all_documents_have_tells_them_not_apart() {
        let same = collection(&[("acme-a.pdf", ""), ("acme-b.pdf", ""), ("acme-c.pdf", "")]);
        let aim = same.aim("What does Acme sell?", &["Acme"]);
        assert!(aim.preferred.is_empty());
        let weights: BTreeSet<u32> = aim.weights.values().map(|weight| weight.to_bits()).collect();
        assert_eq!(weights.len(), 1);
    }

    #[test]
    fn a_question_without_names_or_years_says_nothing() {
        let aim = filings().aim("how do returns work", &[]);
        assert_eq!((aim.most(), aim.preferred.len(), aim.said.len()), (0.0, 0, 0));
        assert_eq!(collection(&[("a.md", "")]).aim("a in 2020", &["a"]), Aim::default());
    }

    #[test]
    fn periods_are_read_in_the_ways_they_are_written() {
        let period = |year, quarter| Period { year, quarter };
        for (word, expected) in [
            ("2018", period(Some(2018), None)),
            ("fy2018", period(Some(2018), None)),
            ("fy22", period(Some(2022), None)),
            ("q2", period(None, Some(2))),
            ("2q", period(None, Some(2))),
            ("2023q2", period(Some(2023), Some(2))),
            ("q22023", period(Some(2023), Some(2))),
            ("2q23", period(Some(2023), Some(2))),
            ("10q", Period::default()),
            ("q", Period::default()),
            ("q7", Period::default()),
            ("1234", Period::default()),
            ("quarter", Period::default()),
            ("20185", Period::default()),
        ] {
            assert_eq!(Period::of(word), expected, "{word}");
        }
    }

    proptest! {
        #[test]
        fn any_names_and_questions_are_taken(files in prop::collection::vec("\\PC{0,24}", 0..6), question in "\\PC{0,60}", name in "\\PC{0,12}") {
            let profiles = Profiles::new(files.iter().map(|file| (file.clone(), Profile::new(file, &question))).collect());
            let aim = profiles.aim(&question, &[&name]);
            prop_assert!(aim.most().is_finite() && aim.most() <= NAME + YEAR + QUARTER + 1e-5);
            prop_assert!(files.iter().all(|file| (0.0..=aim.most() + 1e-6).contains(&aim.of(file))));
        }
    }
}
