//! Finds the citation markers in a model's answer while it is streamed: `[1]`, `[1, 3]`, `[1][2]`, `[2-4]`.
//!
//! The stream may cut a marker anywhere, so text that might become one is held back until that is decided. Brackets in code (`` `a[1]` ``,
//! fenced blocks) are not markers.

/// The longest marker, in characters; longer ones are text.
const LONGEST: usize = 48;
/// The most numbers in one marker, so that `[1-999]` does not flood the answer.
const MOST: usize = 20;
/// The most digits of a number: `[2024]` is a year.
const DIGITS: usize = 3;

/// An element of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Text, without the markers and the spaces before them. Not empty.
    Text(String),
    /// The passages that are cited here, each once, in order of mention. Not empty.
    Cited(Vec<u32>),
}

/// Whether the stream is inside code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    None,
    /// Between this many backticks; ends at the end of the line at the latest.
    Inline(usize),
    /// In a block fenced by at least this many.
    Fenced(usize),
}

/// The parser. [`LONGEST`] and the size of one input bound its memory.
#[derive(Debug)]
pub struct Markers {
    found: Vec<Found>,
    text: String,
    /// Spaces, which are removed if a marker follows.
    space: String,
    /// Text that may become a marker, beginning with its bracket.
    open: String,
    /// Numbers of adjacent markers.
    cited: Vec<u32>,
    code: Code,
    /// The number of backticks in a row just seen.
    ticks: usize,
    /// Whether they began a line.
    ticks_begin_line: bool,
    /// Whether this line has only spaces so far.
    line_begins: bool,
}

impl Default for Markers {
    fn default() -> Self {
        Self {
            found: Vec::new(),
            text: String::new(),
            space: String::new(),
            open: String::new(),
            cited: Vec::new(),
            code: Code::None,
            ticks: 0,
            ticks_begin_line: false,
            line_begins: true,
        }
    }
}

impl Markers {
    /// Adds `text`, and returns the elements that are complete.
    pub fn push(&mut self, text: &str) -> Vec<Found> {
        for c in text.chars() {
            self.next(c);
        }
        self.take()
    }

    /// Returns the rest at the end.
    pub fn finish(&mut self) -> Vec<Found> {
        self.not_a_marker();
        self.end_group();
        self.text.push_str(&std::mem::take(&mut self.space));
        self.take()
    }

    fn take(&mut self) -> Vec<Found> {
        // The marker may continue, so no text can follow it yet.
        if !self.text.is_empty() {
            self.found.push(Found::Text(std::mem::take(&mut self.text)));
        }
        std::mem::take(&mut self.found)
    }

    fn next(&mut self, c: char) {
        if c == '`' && self.open.is_empty() {
            if self.ticks == 0 {
                self.ticks_begin_line = self.line_begins;
            }
            self.ticks += 1;
            self.write(c);
            return;
        }
        self.end_ticks();
        if self.code != Code::None {
            self.write(c);
            if c == '\n' && matches!(self.code, Code::Inline(_)) {
                self.code = Code::None;
            }
            return;
        }
        if !self.open.is_empty() {
            return self.in_marker(c);
        }
        match c {
            '[' | '【' => self.open.push(c),
            ' ' | '\t' | '\u{a0}' => self.space.push(c),
            _ => self.write(c),
        }
    }

    fn in_marker(&mut self, c: char) {
        if matches!(c, ']' | '】') {
            self.open.push(c);
            match numbers(&self.open) {
                Some(numbers) => {
                    self.open.clear();
                    self.space.clear();
                    for number in numbers {
                        if !self.cited.contains(&number) && self.cited.len() < MOST {
                            self.cited.push(number);
                        }
                    }
                    self.line_begins = false;
                }
                None => self.not_a_marker(),
            }
            return;
        }
        let may_go_on = c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | ';' | '-' | '–' | '^' | '#' | '&' | '.');
        if may_go_on && self.open.chars().count() < LONGEST {
            self.open.push(c);
        } else {
            self.not_a_marker();
            self.next(c);
        }
    }

    /// Adds the held text to the output.
    fn not_a_marker(&mut self) {
        for c in std::mem::take(&mut self.open).chars() {
            self.write(c);
        }
    }

    fn write(&mut self, c: char) {
        self.end_group();
        self.text.push_str(&std::mem::take(&mut self.space));
        self.text.push(c);
        self.line_begins = c == '\n' || self.line_begins && c.is_whitespace();
    }

    fn end_group(&mut self) {
        if !self.cited.is_empty() {
            if !self.text.is_empty() {
                self.found.push(Found::Text(std::mem::take(&mut self.text)));
            }
            self.found.push(Found::Cited(std::mem::take(&mut self.cited)));
        }
    }

    /// Processes the end of a run of backticks: it opens code, closes it, or is part of it (CommonMark, code spans and fences).
    fn end_ticks(&mut self) {
        let run = std::mem::take(&mut self.ticks);
        if run == 0 {
            return;
        }
        self.code = match self.code {
            Code::None if run >= 3 && self.ticks_begin_line => Code::Fenced(run),
            Code::None => Code::Inline(run),
            Code::Inline(opened) if run == opened => Code::None,
            Code::Fenced(opened) if run >= opened && self.ticks_begin_line => Code::None,
            code => code,
        };
    }
}

/// Returns the numbers of a marker with its brackets, or `None` if it is not a marker.
fn numbers(marker: &str) -> Option<Vec<u32>> {
    let inner = marker.trim_matches(['[', ']', '【', '】']).trim().to_ascii_lowercase();
    let mut inner = inner.as_str();
    for word in ["passages", "passage", "sources", "source", "docs", "doc", "^", "#"] {
        if let Some(rest) = inner.strip_prefix(word) {
            inner = rest.trim_start();
            break;
        }
    }
    let mut numbers = Vec::new();
    let parts = inner.replace(" and ", ",").replace(['&', ';'], ",");
    for part in parts.split(',').flat_map(|part| {
        let part = part.trim();
        // `1 3` is two numbers, `1 - 3` is a range.
        match part.contains(['-', '–']) {
            true => vec![part],
            false if part.is_empty() => vec![part],
            false => part.split_whitespace().collect(),
        }
    }) {
        match part.split_once(['-', '–']) {
            None => numbers.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last || last - first >= MOST as u32 {
                    return None;
                }
                numbers.extend(first..=last);
            }
        }
    }
    Some(numbers).filter(|numbers| !numbers.is_empty())
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim().trim_start_matches(['^', '#']);
    (1..=DIGITS).contains(&text.len()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes texts unchanged, and citations as `<1,2>`.
    fn read<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
        let mut markers = Markers::default();
        let mut found: Vec<Found> = parts.into_iter().flat_map(|part| markers.push(part)).collect();
        found.extend(markers.finish());
        let shown = found.into_iter().map(|found| match found {
            Found::Text(text) => {
                assert!(!text.is_empty());
                text
            }
            Found::Cited(numbers) => format!("<{}>", numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        });
        shown.collect()
    }

    #[test]
    fn markers_are_read_in_all_their_forms() {
        for (written, wanted) in [
            ("The gain was $20 billion [1].", "The gain was $20 billion<1>."),
            ("Both agree.[1, 3] Next", "Both agree.<1,3> Next"),
            ("Both agree [1][2].", "Both agree<1,2>."),
            ("Both agree [1] [2], and more [1].", "Both agree<1,2>, and more<1>."),
            ("Several [2-4] and [7–8]", "Several<2,3,4> and<7,8>"),
            ("Twice [1][1]", "Twice<1>"),
            ("In words [Passage 2], [source 3; 4] [1 and 2]", "In words<2>,<3,4,1,2>"),
            ("Wide【1】and foot[^2]", "Wide<1>and foot<2>"),
            ("At the end [1]", "At the end<1>"),
            ("[1] says so", "<1> says so"),
            ("line [1]\nnext", "line<1>\nnext"),
        ] {
            assert_eq!(read([written]), wanted);
        }
    }

    #[test]
    fn what_is_no_marker_stays() {
        for written in [
            "[sic]",
            "[2024]",
            "an [open bracket",
            "[]",
            "[ ]",
            "[1-2024]",
            "[5-2]",
            "[a1]",
            "[x] [y]",
            "[[",
            "f(x)[i]",
            "[1,]",
            "[1.2]",
            "array `a[1]` here",
            "``a[1] ` b[2]``",
            "```\nx[1]\n```\n",
            "  ```rust\nlet y = x[1];\n  ``` ",
            "[a very long bracket that goes on and on and on without an end in sight]",
        ] {
            assert_eq!(read([written]), written);
        }
    }

    #[test]
    fn after_code_markers_count_again() {
        assert_eq!(read(["`a[1]` is set [2]. "]), "`a[1]` is set<2>. ");
        assert_eq!(read(["```\nx[1]\n```\nSo it is [2]."]), "```\nx[1]\n```\nSo it is<2>.");
        assert_eq!(read(["a lone ` tick\nand [2]"]), "a lone ` tick\nand<2>");
        assert_eq!(read(["[[1]]"]), "[<1>]");
    }

    #[test]
    fn no_memory_is_held_for_what_never_ends() {
        let mut markers = Markers::default();
        let long = "[1".repeat(10_000);
        markers.push(&long);
        assert!(markers.open.len() + markers.text.len() <= 4 * LONGEST);
    }

    proptest! {
        #[test]
        fn how_the_stream_is_cut_changes_nothing(
            text in "([a-c .\n`]|\\[1\\]|\\[2, 3\\]|\\[|\\]|[0-9]|```|【4】){0,60}", cuts in prop::collection::vec(0usize..80, 0..8)
        ) {
            let whole = read([text.as_str()]);
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort_unstable();
            let parts: Vec<String> = cuts.windows(2).map(|cut| chars[cut[0]..cut[1]].iter().collect()).collect();
            prop_assert_eq!(read(parts.iter().map(String::as_str)), whole);
        }

        #[test]
        fn text_without_brackets_is_untouched(text in "[^\\[【]{0,200}") {
            prop_assert_eq!(read([text.as_str()]), text);
        }
    }
}
