//! Markers, references and the list of sources, as text.
//!
//! Depends on the configuration only.

use crate::config::Style;

/// A passage that is cited: what of the host's `source` this formatter makes use of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Number of the citation in this answer, from 1.
    pub number: u32,
    /// File name.
    pub name: &'a str,
    /// The document's title, if it has one.
    pub title: Option<&'a str>,
    /// Page, from 1, if the format has pages.
    pub page: Option<u32>,
    /// Headings above the passage, outermost first.
    pub section: &'a [String],
}

/// Longest title or heading that is written whole, in characters.
const LONGEST: usize = 100;

/// The marker for citations of these numbers, in rising order and each once; empty for none.
pub fn mark(numbers: impl IntoIterator<Item = u32>, style: Style) -> String {
    let mut numbers: Vec<u32> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let each = numbers.into_iter();
    match style {
        Style::Brackets => {
            let markers: String = each.map(|number| format!("[{number}]")).collect();
            if markers.is_empty() { markers } else { format!(" {markers}") }
        }
        // Raised digits follow the word itself; a narrow space keeps two numbers from reading as one.
        Style::Superscript => each.map(raised).collect::<Vec<_>>().join("\u{202f}"),
    }
}

/// The reference for one passage: `[1] Annual report (report.pdf), p. 15, Results > Revenue`.
pub fn entry(source: &Source, style: Style) -> String {
    let mut text = match style {
        Style::Brackets => format!("[{}] ", source.number),
        Style::Superscript => format!("{} ", raised(source.number)),
    };
    let name = one_line(source.name);
    match source.title.map(one_line).filter(|title| !title.is_empty() && *title != name) {
        Some(title) => text.push_str(&format!("{title} ({name})")),
        None => text.push_str(&name),
    }
    if let Some(page) = source.page {
        text.push_str(&format!(", p. {page}"));
    }
    let section: Vec<String> = source
        .section
        .iter()
        .map(|part| one_line(part))
        .filter(|part| !part.is_empty())
        .collect();
    if !section.is_empty() {
        text.push_str(", ");
        text.push_str(&section.join(" > "));
    }
    text
}

/// A list of all sources to end an answer with, line breaks before it included; empty for none.
pub fn list<'a>(sources: impl IntoIterator<Item = Source<'a>>, style: Style) -> String {
    let lines: String = sources.into_iter().map(|source| format!("\n{}", entry(&source, style))).collect();
    if lines.is_empty() { lines } else { format!("\n\nSources:{lines}") }
}

/// White space runs become one space, and what is too long is cut: titles come from documents.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}\u{2026}", line.get(..end).unwrap_or_default().trim_end()),
        None => line,
    }
}

fn raised(number: u32) -> String {
    let digit = |digit| match digit {
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        // The other raised digits stand in a row from U+2070 on.
        _ => char::from_u32(0x2040 + u32::from(digit)).unwrap_or(digit),
    };
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOURCE: Source = Source {
        number: 1,
        name: "report.pdf",
        title: None,
        page: None,
        section: &[],
    };

    #[test]
    fn marks() {
        assert_eq!(mark([1], Style::Brackets), " [1]");
        assert_eq!(mark([12, 3, 3], Style::Brackets), " [3][12]");
        assert_eq!(mark([], Style::Brackets), "");
        assert_eq!(mark([1], Style::Superscript), "\u{b9}");
        assert_eq!(mark([40, 23], Style::Superscript), "\u{b2}\u{b3}\u{202f}\u{2074}\u{2070}");
    }

    #[test]
    fn entries_say_what_is_known() {
        assert_eq!(entry(&SOURCE, Style::Brackets), "[1] report.pdf");
        let section = ["Results".to_owned(), " ".to_owned(), "Net\n revenue".to_owned()];
        let full = Source {
            title: Some("Annual report"),
            page: Some(15),
            section: &section,
            ..SOURCE
        };
        let expected = "[1] Annual report (report.pdf), p. 15, Results > Net revenue";
        assert_eq!(entry(&full, Style::Brackets), expected);
        let named = Source {
            title: Some(" report.pdf"),
            ..SOURCE
        };
        assert_eq!(entry(&named, Style::Superscript), "\u{b9} report.pdf");
    }

    #[test]
    fn lists_stand_apart_from_the_answer() {
        let two = [
            SOURCE,
            Source {
                number: 2,
                name: "b.md",
                ..SOURCE
            },
        ];
        assert_eq!(list(two, Style::Brackets), "\n\nSources:\n[1] report.pdf\n[2] b.md");
        assert_eq!(list([], Style::Brackets), "");
    }

    proptest! {
        #[test]
        fn entries_are_one_line_and_short(name in ".{0,200}", title in ".{0,200}") {
            let text = entry(&Source { name: &name, title: Some(&title), ..SOURCE }, Style::Brackets);
            prop_assert!(!text.contains('\n') && text.starts_with("[1] "));
            prop_assert!(text.chars().count() <= 2 * (LONGEST + 1) + 10);
        }

        #[test]
        fn marks_hold_each_number(numbers in prop::collection::vec(1_u32..300, 1..5)) {
            let brackets = mark(numbers.clone(), Style::Brackets);
            for number in numbers {
                let marker = format!("[{number}]");
                prop_assert!(brackets.contains(&marker));
            }
        }
    }
}
