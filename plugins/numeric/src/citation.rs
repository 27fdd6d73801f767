//! Formats markers, references and the list of sources.

use crate::config::Style;
use ibid_plugin::Source;

/// The longest title or heading that is written in full, in characters.
const LONGEST: usize = 100;

/// Returns the marker for citations of these numbers, in rising order and each once; empty for none.
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
        // Superscript digits follow the word directly; a narrow space separates two numbers.
        Style::Superscript => each.map(raised).collect::<Vec<_>>().join("\u{202f}"),
    }
}

/// Returns the reference for one passage: `[1] Annual report (report.pdf), p. 15, Results > Revenue`.
pub fn entry(source: &Source, style: Style) -> String {
    let mut text = match style {
        Style::Brackets => format!("[{}] ", source.citation_id),
        Style::Superscript => format!("{} ", raised(source.citation_id)),
    };
    let name = one_line(&source.name);
    match source
        .attr("title")
        .map(one_line)
        .filter(|title| !title.is_empty() && *title != name)
    {
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

/// Returns the list of sources that ends an answer, with line breaks before it; empty for none.
pub fn list(sources: &[Source], style: Style) -> String {
    let lines: String = sources.iter().map(|source| format!("\n{}", entry(source, style))).collect();
    if lines.is_empty() { lines } else { format!("\n\nSources:{lines}") }
}

/// Collapses white space to one space, and cuts texts that are too long, since titles come from documents.
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
        // The other superscript digits are consecutive from U+2070 on.
        _ => char::from_u32(0x2040 + u32::from(digit)).unwrap_or(digit),
    };
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_plugin::Attr;
    use proptest::prelude::*;

    fn source(citation_id: u32, name: &str) -> Source {
        Source {
            citation_id,
            name: name.to_owned(),
            ..Source::default()
        }
    }

    fn titled(name: &str, title: &str) -> Source {
        Source {
            attrs: vec![Attr::new("title", title)],
            ..source(1, name)
        }
    }

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
        assert_eq!(entry(&source(1, "report.pdf"), Style::Brackets), "[1] report.pdf");
        let full = Source {
            page: Some(15),
            section: vec!["Results".to_owned(), " ".to_owned(), "Net\n revenue".to_owned()],
            ..titled("report.pdf", "Annual report")
        };
        let expected = "[1] Annual report (report.pdf), p. 15, Results > Net revenue";
        assert_eq!(entry(&full, Style::Brackets), expected);
        let named = titled("report.pdf", " report.pdf");
        assert_eq!(entry(&named, Style::Superscript), "\u{b9} report.pdf");
    }

    #[test]
    fn lists_stand_apart_from_the_answer() {
        let two = [source(1, "report.pdf"), source(2, "b.md")];
        assert_eq!(list(&two, Style::Brackets), "\n\nSources:\n[1] report.pdf\n[2] b.md");
        assert_eq!(list(&[], Style::Brackets), "");
    }

    proptest! {
        #[test]
        fn entries_are_one_line_and_short(name in ".{0,200}", title in ".{0,200}") {
            let text = entry(&titled(&name, &title), Style::Brackets);
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
