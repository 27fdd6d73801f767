//! One thing that is wrong, and where.

use std::fmt;

/// A rule of the repository. Its name stands in the report and in the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    Layers,
    Length,
    Sleep,
    Head,
    Names,
    Words,
    Manifest,
    Baseline,
}

impl Rule {
    pub const ALL: [Self; 8] = [
        Self::Layers,
        Self::Length,
        Self::Sleep,
        Self::Head,
        Self::Names,
        Self::Words,
        Self::Manifest,
        Self::Baseline,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Length => "length",
            Self::Sleep => "sleep",
            Self::Head => "head",
            Self::Names => "names",
            Self::Words => "words",
            Self::Manifest => "manifest",
            Self::Baseline => "baseline",
        }
    }

    /// Whether the baseline may hold offences against it.
    pub fn has_baseline(self) -> bool {
        matches!(self, Self::Length | Self::Names | Self::Words)
    }
}

/// An offence against a rule. `path` is relative to the repository's root, with `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    pub path: String,
    pub line: usize,
    pub rule: Rule,
    pub what: String,
    pub remedy: String,
}

impl Offence {
    pub fn new(rule: Rule, path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}; {} [{}]",
            self.path,
            self.line,
            self.what,
            self.remedy,
            self.rule.name()
        )
    }
}
