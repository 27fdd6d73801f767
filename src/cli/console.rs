//! Standard output and standard error, and what may be shown on a terminal.

use super::CliError;
use std::io::{IsTerminal, Write};

/// Writes to standard output at once.
///
/// # Errors
/// [`CliError::Output`], also when the reader has gone.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Writes a line to standard output.
///
/// # Errors
/// As [`print`].
pub fn line(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// Writes JSON, indented, to standard output.
///
/// # Errors
/// As [`print`].
pub fn json(value: &serde_json::Value) -> Result<(), CliError> {
    line(&format!("{value:#}"))
}

/// Writes a line to standard error. That it cannot be written is no reason to fail.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard error without a line break.
pub fn note_part(text: &str) {
    let mut err = std::io::stderr();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Whether a person sees standard error as it is written.
pub fn shows_progress() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether standard error may be coloured: see no-color.org.
pub fn colours() -> bool {
    shows_progress() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard output may be coloured: a terminal, and see no-color.org.
pub fn colours_output() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a person sits there: standard input and standard error are a terminal's.
pub fn is_conversation() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The text in bold, where standard error may be coloured.
pub fn bold(text: &str) -> String {
    match colours() {
        true => format!("\x1b[1m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// The program as the user called it, for commands that messages suggest.
pub fn program() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "ibid".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The text without control characters, which could move the cursor or fake output: it comes from
/// documents and file names that anyone may have written. Line breaks and tabs stay.
pub fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_bidi_control(*c)))
        .collect()
}

/// Characters that make a terminal show what follows in another order.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text on one line, blanks collapsed, at most `most` characters; what is left out shows as `…`.
pub fn shorten(text: &str, most: usize) -> String {
    let line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    // Cutting between words reads better, if that does not cost much.
    let kept = match kept.rsplit_once(' ') {
        Some((words, rest)) if rest.chars().count() < 20 => words,
        _ => kept.as_str(),
    };
    format!("{}…", kept.trim_end())
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 chunk`, `2 chunks`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// A size for people: `812 B`, `1.4 MB` (powers of ten).
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 99.5 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Rows with their columns aligned, numbers to the right where `right` says so.
pub fn table(heads: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], i: usize| row.get(i).cloned().unwrap_or_default();
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|i| {
            rows.iter()
                .chain([&heads])
                .map(|row| cell(row, i).chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in [&heads].into_iter().chain(rows) {
        let cells = widths.iter().enumerate().map(|(i, width)| match right.contains(&i) {
            true => format!("{:>width$}", cell(row, i)),
            false => format!("{:<width$}", cell(row, i)),
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_removed() {
        assert_eq!(clean("a\u{1b}[2Jb\u{9b}c\r\n\td\u{202e}e"), "a[2Jbc\n\tde");
    }

    #[test]
    fn long_texts_end_at_a_word() {
        assert_eq!(shorten("one  two\nthree", 40), "one two three");
        assert_eq!(shorten("one two three", 9), "one two…");
        assert_eq!(shorten(&"x".repeat(50), 10), format!("{}…", "x".repeat(9)));
        assert_eq!(shorten("ÄÖÜäöü", 3), "ÄÖ…");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1234567), "1,234,567");
        assert_eq!(count(1, "chunk"), "1 chunk");
        assert_eq!(count(4000, "chunk"), "4,000 chunks");
        assert_eq!(size(812), "812 B");
        assert_eq!(size(1_440_000), "1.4 MB");
        assert_eq!(size(999_900), "1.0 MB");
        assert_eq!(size(250_000_000), "250 MB");
    }

    #[test]
    fn tables_align() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "234".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &[1], &rows), "NAME    N\na       1\nlong  234\n");
    }
}
