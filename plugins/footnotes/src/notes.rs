//! Footnotes, as Markdown's widespread extension writes them.

use crate::config::Config;

/// A passage that is cited.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Number of the citation, from 1.
    pub number: u32,
    /// File name.
    pub name: &'a str,
    /// The document's title, where it has one.
    pub title: Option<&'a str>,
    /// Page of the passage, from 1.
    pub page: Option<u32>,
    /// Headings above it, outermost first.
    pub section: &'a [String],
}

/// `[^1][^2]`, without white space: a footnote's mark clings to its statement.
pub fn mark(numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|number| format!("[^{number}]")).collect()
}

/// `Annual report (report.pdf), p. 15, Results > Sales`, on one line.
pub fn entry(source: &Source<'_>, config: &Config) -> String {
    let mut entry = match source.title.map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("{title} ({})", source.name),
        None => source.name.to_owned(),
    };
    if let Some(page) = source.page {
        entry.push_str(&format!(", p. {page}"));
    }
    if config.section && !source.section.is_empty() {
        entry.push_str(&format!(", {}", source.section.join(" > ")));
    }
    // A note ends with its line.
    entry.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The notes that end an answer; nothing where nothing is cited.
pub fn list<'a>(cited: impl Iterator<Item = Source<'a>>, config: &Config) -> String {
    let notes: Vec<String> = cited
        .map(|source| format!("[^{}]: {}", source.number, entry(&source, config)))
        .collect();
    if notes.is_empty() {
        String::new()
    } else {
        format!("\n\n{}", notes.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_and_notes_belong_together() {
        let section = ["Results".to_owned(), "Sales".to_owned()];
        let source = Source {
            number: 2,
            name: "report.pdf",
            title: Some(" Annual\nreport "),
            page: Some(15),
            section: &section,
        };
        let config = Config::default();
        assert_eq!(mark([1, 2].into_iter()), "[^1][^2]");
        assert_eq!(
            list([source].into_iter(), &config),
            "\n\n[^2]: Annual report (report.pdf), p. 15, Results > Sales"
        );
        let plain = Source {
            title: None,
            page: None,
            ..source
        };
        assert_eq!(entry(&plain, &Config { section: false }), "report.pdf");
        assert_eq!(list(std::iter::empty(), &config), "");
    }

    proptest! {
        #[test]
        fn a_note_is_one_line(title in ".{0,100}|\n+", heading in "(?s).{0,50}") {
            let section = [heading];
            let source = Source { number: 1, name: "a b.pdf", title: Some(&title), page: None, section: &section };
            prop_assert_eq!(list([source].into_iter(), &Config::default()).trim_start_matches('\n').lines().count(), 1);
        }
    }
}
