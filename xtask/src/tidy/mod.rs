//! `cargo xtask tidy`: the repository's own rules, one module each, over the files as they lie in the working tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use baseline::Baseline;
use offence::{Offence, Rule};
use tree::File;
use workspace::Workspace;

mod baseline;
mod glossary;
mod heads;
mod layers;
mod length;
mod manifests;
mod names;
mod offence;
mod prose;
mod script;
mod sleeps;
mod source;
mod tree;
mod words;
mod workspace;

/// The folder of this crate. Its tables and tests are full of what the word rules forbid.
const OWN_FOLDER: &str = "xtask/";

/// What was found.
pub struct Report {
    offences: Vec<Offence>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.offences.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut by_rule: BTreeMap<Rule, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for offence in &self.offences {
            writeln!(f, "{offence}")?;
            let (count, files) = by_rule.entry(offence.rule).or_default();
            *count += 1;
            files.insert(&offence.path);
        }
        if self.offences.is_empty() {
            return write!(f, "tidy: nothing is wrong");
        }
        write!(f, "tidy: {} offences", self.offences.len())?;
        by_rule
            .iter()
            .try_for_each(|(rule, (count, files))| write!(f, "\n  {:8} {count:5} in {} files", rule.name(), files.len()))
    }
}

/// Checks the repository that the current directory is in; with `update`, writes its baseline again first.
pub fn run(update: bool) -> Result<Report, String> {
    let workspace = Workspace::load()?;
    let files = tree::read(&workspace.root)?;
    let mut offences = [layers::check(&workspace), manifests::check(&workspace), check_files(&files)?].concat();
    let path = workspace.root.join(baseline::PATH);
    let mut known = read_baseline(&path)?;
    if update {
        let grown = known.as_ref().map(|known| known.grown(&offences)).unwrap_or_default();
        if !grown.is_empty() {
            let rules: Vec<_> = grown.into_iter().map(Rule::name).collect();
            return Err(format!(
                "the baseline may only shrink, and there are new offences against: {}",
                rules.join(", ")
            ));
        }
        let text = Baseline::render(&offences);
        std::fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        known = Some(Baseline::parse(&text)?);
    }
    offences = known.unwrap_or_default().apply(offences);
    offences.sort();
    Ok(Report { offences })
}

/// Reads the baseline; none if there is no such file.
fn read_baseline(path: &Path) -> Result<Option<Baseline>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Baseline::parse(&text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Checks what needs no more than the files.
fn check_files(files: &[File]) -> Result<Vec<Offence>, String> {
    let mut offences = Vec::new();
    for file in files {
        if file.extension() == "rs" {
            offences.extend(length::check(file));
            if !file.path.starts_with(OWN_FOLDER) {
                offences.extend(heads::check(file));
            }
        } else {
            offences.extend(words::check_page(file));
        }
    }
    for source in source::parse(files)? {
        offences.extend(sleeps::check(&source));
        if !source.file.path.starts_with(OWN_FOLDER) {
            offences.extend(names::check(&source));
            offences.extend(words::check_source(&source));
        }
    }
    Ok(offences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_files_is_applied() {
        let files = [
            File::new("src/a.rs", "//! Depends on b.\n/// It is told.\nfn told() {}\n"),
            File::new("tests/a.rs", &format!("fn a() {{\n    sleep(b);\n}}\n{}", "\n".repeat(500))),
            File::new("README.md", "It is told.\n"),
        ];
        let mut offences = check_files(&files).unwrap();
        offences.sort();
        let lines: Vec<_> = offences
            .iter()
            .map(|offence| format!("{}:{} {}", offence.path, offence.line, offence.rule.name()))
            .collect();
        assert_eq!(
            lines,
            [
                "README.md:1 words",
                "src/a.rs:1 head",
                "src/a.rs:2 words",
                "src/a.rs:3 names",
                "tests/a.rs:2 sleep",
                "tests/a.rs:503 length",
            ]
        );
    }

    #[test]
    fn the_report_says_where_what_and_how_many() {
        let offences = vec![Offence::new(Rule::Head, "src/a.rs", 3, "it is wrong", "mend it")];
        let report = Report { offences };
        assert_eq!(
            report.to_string(),
            "src/a.rs:3: it is wrong; mend it [head]\ntidy: 1 offences\n  head         1 in 1 files"
        );
    }

    #[test]
    fn its_own_tables_are_left_out() {
        let files = [File::new("xtask/src/a.rs", "//! Depends on b, as is told.\nfn told() {}\n")];
        assert!(check_files(&files).unwrap().is_empty());
    }
}
