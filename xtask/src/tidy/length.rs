//! Rule `length`: a Rust file has at most 500 lines.

use super::offence::{Offence, Rule};
use super::tree::File;

/// Lines that a file may have.
const MOST: usize = 500;

/// Lines at a file's top where the reason for a longer one may stand.
const FIRST: usize = 5;

/// Checks one Rust file.
pub fn check(file: &File) -> Option<Offence> {
    let lines = file.text.lines().count();
    let has_reason = |line: &str| line.strip_prefix("// long:").is_some_and(|reason| !reason.trim().is_empty());
    if lines <= MOST || file.text.lines().take(FIRST).any(has_reason) {
        return None;
    }
    let remedy = format!("split it, or say why it is long in one of its first {FIRST} lines: `// long: reason`");
    Some(Offence::new(
        Rule::Length,
        &file.path,
        lines,
        format!("the file has {lines} lines, more than {MOST}"),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str, lines: usize) -> Option<String> {
        check(&File::new("src/a.rs", &format!("{head}\n{}", "\n".repeat(lines - 1)))).map(|offence| offence.what)
    }

    #[test]
    fn long_files_need_a_reason() {
        assert_eq!(of("//! A.", 500), None);
        assert_eq!(of("//! A.", 501).as_deref(), Some("the file has 501 lines, more than 500"));
        assert_eq!(of("// long: one table", 501), None);
        assert!(of("// long:", 501).is_some());
    }
}
