//! Removes what reasoning models write before their answer: `<think> ... </think>`.

/// Tags that some servers leave in the answer's text.
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The filter for one answer. A thought can only be at its beginning.
#[derive(Debug, Default)]
pub struct Thinking {
    state: State,
    /// Text that may be a part of a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Begin,
    Thought,
    Answer,
}

impl Thinking {
    /// Returns the part of the new text that belongs to the answer, without the white space before it.
    pub fn push(&mut self, text: &str) -> String {
        if self.state == State::Answer {
            return text.to_owned();
        }
        self.held.push_str(text);
        if self.state == State::Begin {
            let start = self.held.trim_start();
            if let Some(thought) = start.strip_prefix(OPEN) {
                self.held = thought.to_owned();
                self.state = State::Thought;
            } else if !OPEN.starts_with(start) {
                self.state = State::Answer;
                return std::mem::take(&mut self.held).trim_start().to_owned();
            }
        }
        if self.state == State::Thought {
            if let Some(at) = self.held.find(CLOSE) {
                let rest = self.held.split_off(at + CLOSE.len());
                self.held.clear();
                // White space before the answer is removed, as it is without a thought.
                self.state = State::Begin;
                return self.push(&rest);
            }
            // Only a possible beginning of the closing tag is kept.
            let mut keep = self.held.len().saturating_sub(CLOSE.len());
            while !self.held.is_char_boundary(keep) {
                keep += 1;
            }
            self.held.drain(..keep);
        }
        String::new()
    }

    /// Returns what was held back at the end: the beginning of a tag that never came.
    pub fn finish(&mut self) -> String {
        match self.state {
            State::Begin => std::mem::take(&mut self.held).trim_start().to_owned(),
            State::Thought | State::Answer => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(parts: &[&str]) -> String {
        let mut thinking = Thinking::default();
        let mut text: String = parts.iter().map(|part| thinking.push(part)).collect();
        text.push_str(&thinking.finish());
        text
    }

    #[test]
    fn thoughts_before_the_answer_are_left_out() {
        assert_eq!(read(&["<think>Hm, [1] says\n", "so.</think>\n\nIt is so."]), "It is so.");
        assert_eq!(read(&["  <thi", "nk>x</thi", "nk>", " A"]), "A");
        assert_eq!(read(&["\n It is <think>so</think>."]), "It is <think>so</think>.");
        assert_eq!(read(&["<thin"]), "<thin");
        assert_eq!(read(&["<think>without end"]), "");
        assert_eq!(read(&["", " ", "A <b> c"]), "A <b> c");
    }

    proptest! {
        #[test]
        fn how_the_stream_is_cut_changes_nothing(text in "[ \n]{0,3}(<think>[a-z<ä]{0,12}</think>)?[ a-zä<>]{0,20}", cut in 0usize..60) {
            let at = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (first, second) = text.split_at(at);
            prop_assert_eq!(read(&[first, second]), read(&[text.as_str()]));
        }
    }
}
