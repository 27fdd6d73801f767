//! Figures: whether a question asks for one, how many a text has, and which of a table row's the question means.

use std::collections::BTreeSet;
use std::ops::Range;

/// Returns whether a question asks for a figure.
pub fn asks_for_figure(question: &str) -> bool {
    const CUES: &[&str] = &[
        "amount",
        "assets",
        "average",
        "balance",
        "billion",
        "billions",
        "capital expenditure",
        "capital expenditures",
        "cash flow",
        "cash flows",
        "cashflow",
        "cost",
        "costs",
        "debt",
        "dividends",
        "earnings",
        "expense",
        "expenses",
        "how big",
        "how high",
        "how large",
        "how many",
        "how much",
        "income",
        "liabilities",
        "margin",
        "margins",
        "million",
        "millions",
        "number",
        "percent",
        "percentage",
        "price",
        "prices",
        "profit",
        "profits",
        "rate",
        "rates",
        "ratio",
        "ratios",
        "revenue",
        "revenues",
        "sales",
        "total",
        "value of",
        "wie viel",
        "wie hoch",
        "combien",
        "сколько",
    ];
    let words: Vec<String> = question
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let line = format!(" {} ", words.join(" "));
    CUES.iter().any(|cue| line.contains(&format!(" {cue} "))) || ["多少", "いくら", "几", "كم"].iter().any(|cue| question.contains(cue))
}

/// Returns the share of a text's words that are figures, without years: about a fifth in prose about figures, a third and more in tables.
pub fn density(text: &str) -> f32 {
    let (mut all, mut figures) = (0_u32, 0_u32);
    for word in words_of(text).filter_map(|word| text.get(word)) {
        all += 1;
        let bare = word.trim_end_matches([',', '.', ')', ':']);
        let is_year =
            bare.len() == 4 && (bare.starts_with("19") || bare.starts_with("20")) && bare.bytes().all(|byte| byte.is_ascii_digit());
        figures += u32::from(!is_year && word.bytes().any(|byte| byte.is_ascii_digit()));
    }
    figures as f32 / all.max(1) as f32
}

/// A row of a table: its label, and its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The range of its label, at the start of the row.
    pub label: Range<usize>,
    /// The ranges of its figures, in order, with their signs: `$ (1,577)` is `(1,577)`.
    pub figures: Vec<Range<usize>>,
}

/// Parses a table row; `None` if the text has no label, or no figures at its end.
pub fn row(text: &str) -> Option<Row> {
    let mut figures: Vec<Range<usize>> = Vec::new();
    let mut label = 0..0;
    let mut words = 0;
    for word in words_of(text) {
        let part = text.get(word.clone())?;
        if let Some(figure) = figure(part) {
            figures.push(word.start + figure.start..word.start + figure.end);
        } else if is_mark(part) {
            // A currency sign, a dash, a cell's border.
        } else {
            // Words after figures mean that the text is prose with figures in it, such as `Note 3 Leases`.
            figures.clear();
            label = if words == 0 { word.clone() } else { label.start..word.end };
            words += 1;
        }
    }
    let has_letters = text.get(label.clone())?.chars().any(char::is_alphabetic);
    (has_letters && !figures.is_empty()).then_some(Row { label, figures })
}

fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let base = text.as_ptr() as usize;
    text.split(|c: char| c.is_whitespace() || c == '|')
        .filter(|word| !word.is_empty())
        .map(move |word| {
            let start = word.as_ptr() as usize - base;
            start..start + word.len()
        })
}

/// Returns the range of the figure in a word: `1,577`, `(1,577)`, `12.5%`, `$4.3`, `-7`.
fn figure(word: &str) -> Option<Range<usize>> {
    let start = word.len() - word.trim_start_matches(['$', '€', '£', '¥']).len();
    let body = word.get(start..)?.trim_end_matches(['*', '†']);
    let digits = body.bytes().any(|byte| byte.is_ascii_digit());
    let plain = body.chars().all(|c| {
        c.is_ascii_digit()
            || matches!(
                c,
                ',' | '.' | '(' | ')' | '-' | '−' | '–' | '%' | '+' | '$' | '€' | '£' | '\'' | '\u{a0}'
            )
    });
    // A bracket that closes without being opened in this word belongs to the label: `Total (note 23)`.
    let opened = !body.contains(')') || body.contains('(');
    (digits && plain && opened).then_some(start..start + body.len())
}

fn is_mark(word: &str) -> bool {
    word.chars()
        .all(|c| matches!(c, '$' | '€' | '£' | '¥' | '%' | '—' | '–' | '-' | ')' | '(' | '*'))
}

/// Returns the years of a table's columns: those in the last line before the row that has as many years as the row has figures. `above` is
/// the text before the row, its table's header last.
pub fn columns(above: &str, figures: usize) -> Option<Vec<u16>> {
    /// The most lines of a table between its header and a row.
    const REACH: usize = 60;
    let mut headers = above.lines().rev().take(REACH).map(years);
    let columns = headers.find(|years| years.len() == figures && figures > 0)?;
    // Two columns of one year differ by something else.
    let distinct = columns.iter().collect::<BTreeSet<_>>().len() == columns.len();
    distinct.then_some(columns)
}

/// Returns the years that a question names: `2018`, `FY2018`, `FY18`.
pub fn years_asked(question: &str) -> Vec<u16> {
    let mut years = Vec::new();
    for word in question.split(|c: char| !c.is_alphanumeric()) {
        let lower = word.to_lowercase();
        let fiscal = lower.strip_prefix("fy").or_else(|| lower.strip_prefix("cy"));
        let digits = fiscal.unwrap_or(&lower);
        let year = match digits.parse::<u16>() {
            Ok(year) if digits.len() == 4 && (1900..2100).contains(&year) => year,
            Ok(year) if digits.len() == 2 && fiscal.is_some() => 2000 + year,
            _ => continue,
        };
        if !years.contains(&year) {
            years.push(year);
        }
    }
    years
}

/// Returns the years in a line, in order. None for a line that has figures other than dates.
fn years(line: &str) -> Vec<u16> {
    let mut years = Vec::new();
    for word in line.split(|c: char| !(c.is_alphanumeric() || c == ',' || c == '.')) {
        let word = word.trim_matches([',', '.']);
        let digits = word.strip_prefix("FY").or_else(|| word.strip_prefix("fy")).unwrap_or(word);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // `1,577` and `12.5` belong to a row.
            if word.bytes().any(|byte| byte.is_ascii_digit()) && word.contains([',', '.']) {
                return Vec::new();
            }
            continue;
        }
        match digits.parse::<u16>() {
            Ok(year) if digits.len() == 4 && (1900..2100).contains(&year) => years.push(year),
            // A day of the month.
            Ok(day) if day <= 31 => {}
            _ => return Vec::new(),
        }
    }
    years
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(&str, Vec<&str>)> {
        row(text).map(|row| (&text[row.label], row.figures.into_iter().map(|range| &text[range]).collect()))
    }

    #[test]
    fn questions_for_figures_are_recognised() {
        for (question, expected) in [
            ("How much did Acme pay?", true),
            ("Are the gross margins stable?", true),
            ("Wie hoch war der Umsatz?", true),
            ("売上高はいくらですか", true),
            ("Which operations were generated?", false),
            ("Who signed the contract?", false),
            ("", false),
        ] {
            assert_eq!(asks_for_figure(question), expected, "{question}");
        }
    }

    #[test]
    fn figures_are_counted_and_years_are_none() {
        for (text, expected) in [
            ("Net sales 32,765 31,657", 0.5),
            ("| Net sales | $ 32,765 | 3.5% |", 0.4),
            ("In 2018, and (since 1999) too.", 0.0),
            ("19995 and 20 men", 0.5),
            ("", 0.0),
        ] {
            assert_eq!(density(text), expected, "{text}");
        }
    }

    #[test]
    fn a_row_is_a_label_and_its_figures() {
        assert_eq!(
            read("Purchases of property, plant and equipment (PP&E) (1,577) (1,373) (1,420)"),
            Some((
                "Purchases of property, plant and equipment (PP&E)",
                vec!["(1,577)", "(1,373)", "(1,420)"]
            ))
        );
        assert_eq!(
            read("Net sales $ 32,765 $31,657 — 3.5%"),
            Some(("Net sales", vec!["32,765", "31,657", "3.5%"]))
        );
        assert_eq!(
            read("| Total (note 23) | 223 | 222 |"),
            Some(("Total (note 23)", vec!["223", "222"]))
        );
        assert_eq!(read("In 2018 we sold 12 units to friends."), None);
        assert_eq!(read("2018 2017 2016"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn columns_are_of_the_years_above_them() {
        let above =
            "Consolidated Statement of Cash Flows\nYears ended December 31\n(Millions) 2018 2017 2016\nNet income 5,363 4,869 5,058";
        assert_eq!(columns(above, 3), Some(vec![2018, 2017, 2016]));
        assert_eq!(columns(above, 2), None);
        assert_eq!(
            columns("December 31, 2018 December 31, 2017\nCash 2,853 3,053", 2),
            Some(vec![2018, 2017])
        );
        assert_eq!(columns("2018 2018 2017 2017\nSales 1 2 3 4", 4), None);
        assert_eq!(columns("", 1), None);
    }

    #[test]
    fn years_are_read_in_the_ways_they_are_asked_for() {
        assert_eq!(years_asked("capex from FY2016 to FY17, not 12 or 20185"), [2016, 2017]);
    }

    proptest! {
        #[test]
        fn rows_stand_in_their_text(text in "[a-zA-Z0-9 ,.()$€%|—ä字-]{0,80}") {
            if let Some(row) = row(&text) {
                prop_assert!(text.get(row.label.clone()).is_some());
                prop_assert!(row.figures.iter().all(|range| range.start >= row.label.end && text.get(range.clone()).is_some_and(|part| !part.is_empty())));
            }
            let _ = columns(&text, 2);
        }
    }
}
