//! Divides a file into windows that can be parsed separately, so that memory does not grow with the file.
//!
//! A window ends before a line that starts a block of its own, whatever is above it: a heading or a word, after a blank line, not indented,
//! and outside fenced code. A file that is smaller than a window is one window.

/// The size in bytes above which a window ends at the next possible line.
const ENOUGH: usize = 256 << 10;
/// The largest window in bytes, which is cut anywhere if necessary.
const MOST: usize = 512 << 10;

/// The part of a file that is not yet parsed.
#[derive(Debug, Default)]
pub struct Windows {
    text: String,
    /// The number of scanned bytes of `text`: whole lines.
    scanned: usize,
    after_blank: bool,
    /// The open fence: its character and length.
    fence: Option<(u8, usize)>,
}

impl Windows {
    /// Appends the next piece of the file.
    pub fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// Returns the next window, if one is complete; `at_end` makes the rest a window.
    pub fn next(&mut self, at_end: bool) -> Option<String> {
        while self.scanned < MOST
            && let Some(line) = self.text.get(self.scanned..).and_then(|rest| rest.split_inclusive('\n').next())
            && line.ends_with('\n')
        {
            if self.scanned >= ENOUGH && self.fence.is_none() && self.after_blank && starts_anew(line) {
                return Some(self.cut(self.scanned));
            }
            self.fence = fence_after(line, self.fence);
            self.after_blank = line.trim().is_empty();
            self.scanned += line.len();
        }
        if self.text.len() >= MOST {
            let most = self.text.floor_char_boundary(MOST);
            return Some(self.cut(if self.scanned > 0 { self.scanned.min(most) } else { most }));
        }
        (at_end && !self.text.is_empty()).then(|| self.cut(self.text.len()))
    }

    fn cut(&mut self, len: usize) -> String {
        let rest = self.text.split_off(len);
        self.scanned = 0;
        std::mem::replace(&mut self.text, rest)
    }
}

fn starts_anew(line: &str) -> bool {
    let word = line.trim_start_matches('#');
    let marks = line.len() - word.len();
    match marks {
        0 => word.starts_with(char::is_alphabetic),
        1..=6 => word.starts_with(' '),
        _ => false,
    }
}

fn fence_after(line: &str, open: Option<(u8, usize)>) -> Option<(u8, usize)> {
    let content = line.trim_start_matches(' ');
    let mark = content.bytes().next().filter(|byte| matches!(byte, b'`' | b'~'));
    let Some(mark) = mark.filter(|_| line.len() - content.len() <= 3) else {
        return open;
    };
    let info = content.trim_start_matches(char::from(mark));
    let len = content.len() - info.len();
    match open {
        Some((byte, least)) => {
            if byte == mark && len >= least && info.trim().is_empty() {
                None
            } else {
                open
            }
        }
        None => (len >= 3 && !(mark == b'`' && info.contains('`'))).then_some((mark, len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(text: &str) -> Vec<String> {
        let mut windows = Windows::default();
        let mut found = Vec::new();
        let characters: Vec<char> = text.chars().collect();
        for piece in characters.chunks(100_000) {
            windows.push(&piece.iter().collect::<String>());
            found.extend(std::iter::from_fn(|| windows.next(false)));
        }
        found.extend(std::iter::from_fn(|| windows.next(true)));
        assert!(found.concat() == text);
        assert!(found.iter().all(|window| window.len() <= MOST && !window.is_empty()));
        found
    }

    #[test]
    fn small_files_are_one_window() {
        assert_eq!(windows("# a\n\nb\n"), ["# a\n\nb\n"]);
        assert!(windows("").is_empty());
    }

    #[test]
    fn windows_start_with_a_block() {
        let text = "# Heading\n\nA paragraph.\n\n- an item\n\n  more of it\n\n```\n\nA line of code\n```\n\n".repeat(20_000);
        let found = windows(&text);
        assert!(found.len() > 3);
        assert!(
            found
                .iter()
                .all(|window| window.starts_with("# Heading") || window.starts_with("A paragraph"))
        );
    }

    #[test]
    fn monotonous_files_are_cut_all_the_same() {
        for character in ["\n", "a", "#", "|", "é", "`", "~~~\n"] {
            assert!(windows(&character.repeat(3_000_000 / character.len())).len() >= 3, "{character}");
        }
    }

    #[test]
    fn fences() {
        assert_eq!(fence_after("```rust\n", None), Some((b'`', 3)));
        assert_eq!(fence_after("``` a`b\n", None), None);
        assert_eq!(fence_after("~~~\n", Some((b'`', 3))), Some((b'`', 3)));
        assert_eq!(fence_after("````  \n", Some((b'`', 3))), None);
        assert_eq!(fence_after("    ```\n", None), None);
    }
}
