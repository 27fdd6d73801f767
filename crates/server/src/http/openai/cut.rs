//! Where an answer ends before its end: at a text that the client named, or at so many tokens. No I/O.

/// Why an answer was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A text came that ends it.
    Stop,
    /// It has as many tokens as it may have.
    Length,
}

impl Reason {
    /// As `finish_reason` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Looks for texts that end an answer. What may be the beginning of one is held back until more is known.
#[derive(Debug, Default)]
pub(super) struct Stops {
    texts: Vec<String>,
    held: String,
}

impl Stops {
    /// Ends at the first of these, none of them empty.
    pub fn new(texts: Vec<String>) -> Self {
        Self {
            texts,
            held: String::new(),
        }
    }

    /// Takes a piece; gives what may go out, and whether the answer ends there.
    pub fn take(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self.texts.iter().filter_map(|text| self.held.find(text.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        // The longest end of it that begins one of the texts.
        let begins = |at: &usize| {
            let end = self.held.get(*at..).unwrap_or_default();
            self.texts.iter().any(|text| text.starts_with(end))
        };
        let keep = self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What is held back, once nothing more comes.
    pub fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::Stops;
    use proptest::prelude::*;

    fn run(stops: &[String], pieces: &[String]) -> (String, bool) {
        let mut cut = Stops::new(stops.to_vec());
        let mut out = String::new();
        for piece in pieces {
            let (text, ends) = cut.take(piece);
            out.push_str(&text);
            if ends {
                return (out, true);
            }
        }
        out.push_str(&cut.rest());
        (out, false)
    }

    #[test]
    fn what_may_begin_a_stop_is_held_back_and_no_more() {
        let mut cut = Stops::new(vec!["END".to_owned(), "§§".to_owned()]);
        assert_eq!(cut.take("a E"), ("a ".to_owned(), false));
        assert_eq!(cut.take("N"), (String::new(), false));
        assert_eq!(cut.take("Z §"), ("ENZ ".to_owned(), false));
        assert_eq!(cut.take("§ b"), (String::new(), true));
    }

    proptest! {
        /// However an answer is cut into pieces, it ends where the whole text has the first stop.
        #[test]
        fn an_answer_ends_at_the_first_stop(
            pieces in proptest::collection::vec("[abé ]{0,4}", 0..12),
            stops in proptest::collection::vec("[abé]{1,3}", 0..3),
        ) {
            let whole = pieces.concat();
            let first = stops.iter().filter_map(|stop| whole.find(stop.as_str())).min();
            let (out, ended) = run(&stops, &pieces);
            prop_assert_eq!(ended, first.is_some());
            // A stop that is whole sooner may begin later than one that it interrupts.
            match first {
                Some(at) => prop_assert!(whole.starts_with(&out) && out.len() >= at && stops.iter().all(|stop| !out.contains(stop.as_str()))),
                None => prop_assert_eq!(out, whole),
            }
        }
    }
}
