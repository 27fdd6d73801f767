//! Text as words with their lines, without the code in it.

/// A paragraph, a comment or a message.
#[derive(Default)]
pub struct Prose {
    words: Vec<Word>,
}

struct Word {
    text: String,
    line: usize,
    /// Whether a blank alone parts it from the next word.
    runs_on: bool,
}

impl Prose {
    /// Reads one text, whose first line has this number.
    pub fn new(text: &str, first_line: usize) -> Self {
        let mut prose = Self::default();
        for (index, line) in text.lines().enumerate() {
            prose.push(line, first_line + index);
        }
        prose
    }

    /// The comments that begin with one of `markers`: lines that follow one another are one text, until an empty one.
    pub fn of_comments(text: &str, markers: &[&str]) -> Vec<Self> {
        let comment = |line: &str| {
            markers
                .iter()
                .find_map(|marker| line.trim_start().strip_prefix(marker).map(str::to_owned))
        };
        Self::paragraphs(text.lines().map(comment))
    }

    /// The paragraphs of a page in Markdown.
    pub fn of_markdown(text: &str) -> Vec<Self> {
        Self::paragraphs(text.lines().map(|line| Some(line.to_owned())))
    }

    /// Groups lines into texts; `None` and empty lines part them, and fenced code is left out.
    fn paragraphs(lines: impl Iterator<Item = Option<String>>) -> Vec<Self> {
        let mut all = vec![Self::default()];
        let mut fence = None;
        for (index, line) in lines.enumerate() {
            if line.is_none() {
                fence = None;
            }
            let line = line.unwrap_or_default();
            let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
            match (fence, mark) {
                (None, Some(mark)) => fence = Some(mark),
                (Some(open), mark) => {
                    fence = fence.filter(|_| mark != Some(open));
                    continue;
                }
                (None, None) => {}
            }
            if mark.is_some() || line.trim().is_empty() {
                all.push(Self::default());
            } else if let Some(last) = all.last_mut() {
                last.push(&line, index + 1);
            }
        }
        all.retain(|prose| !prose.words.is_empty());
        all
    }

    /// Adds a line. What stands between backticks is code: it is read as one word that no phrase has.
    fn push(&mut self, line: &str, number: usize) {
        for (index, part) in line.split('`').enumerate() {
            if index % 2 == 1 {
                self.add("`".to_owned(), number);
                continue;
            }
            let mut word = String::new();
            for letter in part.chars() {
                if letter.is_alphanumeric() || matches!(letter, '_' | '-' | '\'' | '’') {
                    word.push(letter);
                    continue;
                }
                self.add(std::mem::take(&mut word), number);
                if !letter.is_whitespace()
                    && let Some(last) = self.words.last_mut()
                {
                    last.runs_on = false;
                }
            }
            self.add(word, number);
        }
    }

    fn add(&mut self, word: String, line: usize) {
        if !word.is_empty() {
            self.words.push(Word {
                text: word,
                line,
                runs_on: true,
            });
        }
    }

    /// The lines where a phrase begins. Its words are in small letters, and match in any case; a first word with a capital matches as it is.
    /// With `at_end`, the phrase must end what is said: a sign follows, or nothing.
    pub fn find(&self, phrase: &[&str], at_end: bool) -> Vec<usize> {
        let matches = |window: &&[Word]| {
            let last = window.len() - 1;
            let equal = |(word, wanted): (&Word, &&str)| {
                if wanted.starts_with(char::is_uppercase) {
                    word.text == **wanted
                } else {
                    word.text.to_lowercase() == **wanted
                }
            };
            window.iter().zip(phrase).all(equal) && window.iter().take(last).all(|word| word.runs_on)
        };
        let ends = |start: usize| {
            let last = start + phrase.len() - 1;
            !at_end || last + 1 == self.words.len() || self.words.get(last).is_some_and(|word| !word.runs_on)
        };
        let windows = self.words.windows(phrase.len().max(1)).enumerate();
        windows
            .filter(|(start, window)| matches(window) && ends(*start))
            .filter_map(|(_, window)| window.first().map(|word| word.line))
            .collect()
    }

    /// Whether it is more than one word: a message, not a name.
    pub fn is_sentence(&self) -> bool {
        self.words.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_run_over_lines_but_not_over_signs() {
        let prose = Prose::new("It is\ntold. Is, told", 7);
        assert_eq!(prose.find(&["is", "told"], false), [7]);
        assert_eq!(prose.find(&["told"], false), [8, 8]);
    }

    #[test]
    fn words_are_whole() {
        let prose = Prose::new("is well-known, `is well` of is_well", 1);
        assert!(prose.find(&["is", "well"], false).is_empty());
        assert!(prose.find(&["well"], false).is_empty());
    }

    #[test]
    fn a_phrase_may_have_to_end() {
        assert_eq!(
            Prose::new("it is well.\nit is well built\nit is well", 1).find(&["is", "well"], true),
            [1, 3]
        );
    }

    #[test]
    fn capitals_count_where_the_phrase_has_them() {
        let prose = Prose::new("Who asks is the person who asks", 1);
        assert_eq!(prose.find(&["Who", "asks"], false).len(), 1);
        assert_eq!(prose.find(&["who", "asks"], false).len(), 2);
    }

    #[test]
    fn code_in_markdown_is_left_out() {
        let page = "One\ntwo\n\n```rust\ntold\n```\nthree `told`\n~~~\n```\ntold\n~~~\ntold\n";
        let found: Vec<_> = Prose::of_markdown(page)
            .iter()
            .flat_map(|prose| prose.find(&["told"], false))
            .collect();
        assert_eq!(found, [12]);
    }
}
