//! Formats footnotes in the syntax of Markdown's common extension.

use crate::config::Config;
use ibid_plugin::Source;

/// Returns the marker: `[^1][^2]`, without white space before it.
pub fn mark(cited: &[Source]) -> String {
    cited.iter().map(|source| format!("[^{}]", source.citation_id)).collect()
}

/// Returns the reference on one line: `Annual report (report.pdf), p. 15, Results > Sales`.
pub fn entry(source: &Source, config: &Config) -> String {
    let mut entry = match source.attr("title").map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("{title} ({})", source.name),
        None => source.name.clone(),
    };
    if let Some(page) = source.page {
        entry.push_str(&format!(", p. {page}"));
    }
    if config.section && !source.section.is_empty() {
        entry.push_str(&format!(", {}", source.section.join(" > ")));
    }
    // A note ends at the end of its line.
    entry.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the notes at the end of an answer; none without citations.
pub fn list(cited: &[Source], config: &Config) -> String {
    let notes: Vec<String> = cited
        .iter()
        .map(|source| format!("[^{}]: {}", source.citation_id, entry(source, config)))
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
    use ibid_plugin::Attr;
    use proptest::prelude::*;
    use std::slice;

    #[test]
    fn marks_and_notes_belong_together() {
        let source = Source {
            citation_id: 2,
            name: "report.pdf".to_owned(),
            page: Some(15),
            section: vec!["Results".to_owned(), "Sales".to_owned()],
            attrs: vec![Attr::new("title", " Annual\nreport ")],
            ..Source::default()
        };
        let first = Source {
            citation_id: 1,
            ..source.clone()
        };
        let config = Config::default();
        assert_eq!(mark(&[first, source.clone()]), "[^1][^2]");
        assert_eq!(
            list(slice::from_ref(&source), &config),
            "\n\n[^2]: Annual report (report.pdf), p. 15, Results > Sales"
        );
        let plain = Source {
            attrs: Vec::new(),
            page: None,
            ..source
        };
        assert_eq!(entry(&plain, &Config { section: false }), "report.pdf");
        assert_eq!(list(&[], &config), "");
    }

    proptest! {
        #[test]
        fn a_note_is_one_line(title in ".{0,100}|\n+", heading in "(?s).{0,50}") {
            let attrs = vec![Attr::new("title", title)];
            let source = Source { citation_id: 1, name: "a b.pdf".to_owned(), section: vec![heading], attrs, ..Source::default() };
            prop_assert_eq!(list(&[source], &Config::default()).trim_start_matches('\n').lines().count(), 1);
        }
    }
}
