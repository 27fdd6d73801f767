//! The questions of an evaluation: JSON Lines, one object a line, as `docs/eval.md` describes them.

use super::super::CliError;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A question, and what is known of its answer. At least one of `gold` and `answer` is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Tells it from the others, also in the report of another day.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// Where the answer stands; each is one thing to find.
    pub gold: Vec<Gold>,
    /// What the answer is.
    pub answer: Option<String>,
}

/// Something to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gold {
    /// File name or identifier of the document.
    pub document: String,
    /// Where in it.
    pub place: Position,
}

/// Where in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Anywhere.
    Anywhere,
    /// On this page, counted from 1.
    Page(u32),
    /// From this to before that code point of the document's text.
    Span(u64, u64),
}

impl Question {
    /// Whether spans of text are to be found, so that their overlap can be measured.
    pub fn has_spans(&self) -> bool {
        self.gold.iter().any(|gold| matches!(gold.place, Position::Span(..)))
    }
}

/// A line as it is written. Fields beside these are for whoever keeps the set.
#[derive(Debug, Deserialize)]
struct Line {
    id: Option<String>,
    question: String,
    #[serde(flatten)]
    gold: Where,
    #[serde(default)]
    also: Vec<Where>,
    answer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Where {
    document: Option<String>,
    #[serde(default)]
    pages: Vec<u32>,
    #[serde(default)]
    spans: Vec<[u64; 2]>,
}

impl Where {
    fn gold(self) -> Result<Vec<Gold>, String> {
        let Some(document) = self.document else {
            return match self.pages.is_empty() && self.spans.is_empty() {
                true => Ok(Vec::new()),
                false => Err("`pages` and `spans` need the `document` that they are of".to_owned()),
            };
        };
        if let Some([start, end]) = self.spans.iter().find(|[start, end]| start >= end) {
            return Err(format!("the span [{start}, {end}] is empty"));
        }
        if self.pages.contains(&0) {
            return Err("pages are counted from 1".to_owned());
        }
        // Spans say more than pages; a question with both is about the spans.
        let places: Vec<Position> = match (self.spans.is_empty(), self.pages.is_empty()) {
            (false, _) => self.spans.iter().map(|[start, end]| Position::Span(*start, *end)).collect(),
            (true, false) => self
                .pages
                .iter()
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(Position::Page)
                .collect(),
            (true, true) => vec![Position::Anywhere],
        };
        let gold = |place| Gold {
            document: document.clone(),
            place,
        };
        Ok(places.into_iter().map(gold).collect())
    }
}

/// Reads a question set.
///
/// # Errors
/// [`CliError::Usage`] with the line that cannot be used; [`CliError::File`] where the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Question>, CliError> {
    let unreadable = |source| CliError::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    parse(BufReader::new(file), &path.display().to_string())
}

fn parse(reader: impl BufRead, name: &str) -> Result<Vec<Question>, CliError> {
    let mut questions = Vec::new();
    let mut ids: HashSet<String> = HashSet::new();
    for (n, line) in reader.lines().enumerate() {
        let wrong = |issue: String| CliError::Usage(format!("{name}, line {}: {issue}", n + 1));
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let line = line.trim_start_matches('\u{FEFF}').trim();
        if line.is_empty() {
            continue;
        }
        let mut question = question(line).map_err(wrong)?;
        if question.id.is_empty() {
            question.id = named(&question, &ids);
        }
        if !ids.insert(question.id.clone()) {
            return Err(wrong(format!("there is another question with the id `{}`", question.id)));
        }
        questions.push(question);
    }
    match questions.is_empty() {
        true => Err(CliError::Usage(format!("{name} holds no question"))),
        false => Ok(questions),
    }
}

fn question(line: &str) -> Result<Question, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| format!("not a question: {error}"))?;
    let text = line.question.trim().to_owned();
    if text.is_empty() {
        return Err("the question is empty".to_owned());
    }
    let mut gold = line.gold.gold()?;
    for more in line.also {
        gold.extend(more.gold()?);
    }
    let answer = line.answer.filter(|answer| !answer.trim().is_empty());
    if gold.is_empty() && answer.is_none() {
        return Err("nothing is known of its answer: give a `document` with `pages` or `spans`, or an `answer`".to_owned());
    }
    Ok(Question {
        id: line.id.unwrap_or_default(),
        text,
        gold,
        answer,
    })
}

/// A name for a question that has none: by its content, so that it is the same wherever it stands in the file.
fn named(question: &Question, taken: &HashSet<String>) -> String {
    let mut hash = Sha256::new();
    hash.update(&question.text);
    for gold in &question.gold {
        hash.update([0]);
        hash.update(format!("{gold:?}"));
    }
    let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let mut id = digest.clone();
    let mut n = 1;
    while taken.contains(&id) {
        n += 1;
        id = format!("{digest}-{n}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gold(document: &str, place: Position) -> Gold {
        Gold {
            document: document.to_owned(),
            place,
        }
    }

    #[test]
    fn what_is_to_be_found_is_understood() {
        let set = r#"
            {"id": "a", "question": " How much? ", "document": "x.pdf", "pages": [3, 2, 3], "answer": "$5", "kind": "mine"}
            {"question": "Where?", "document": "y.md", "spans": [[1, 4], [9, 12]], "also": [{"document": "z.md"}]}
            {"question": "Who?", "answer": "Nobody"}
            {"question": "Who?", "answer": "Somebody"}
        "#;
        let questions = parse(set.as_bytes(), "set").unwrap();
        assert_eq!(
            questions[0].gold,
            [gold("x.pdf", Position::Page(2)), gold("x.pdf", Position::Page(3))]
        );
        assert_eq!((questions[0].id.as_str(), questions[0].text.as_str()), ("a", "How much?"));
        assert_eq!(
            questions[1].gold,
            [
                gold("y.md", Position::Span(1, 4)),
                gold("y.md", Position::Span(9, 12)),
                gold("z.md", Position::Anywhere)
            ]
        );
        assert!(questions[1].has_spans() && !questions[0].has_spans());
        assert!(questions[2].gold.is_empty());
        // The same question twice is two questions, each with its name.
        assert_eq!(questions[3].id, format!("{}-2", questions[2].id));
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named() {
        for (line, says) in [
            ("{", "line 1: not a question"),
            (r#"{"question": "x"}"#, "nothing is known"),
            (r#"{"question": " ", "answer": "y"}"#, "is empty"),
            (r#"{"question": "x", "pages": [1]}"#, "need the `document`"),
            (r#"{"question": "x", "document": "a", "pages": [0]}"#, "from 1"),
            (r#"{"question": "x", "document": "a", "spans": [[4, 4]]}"#, "empty"),
            (r#"{"question": "x", "document": "a", "pages": "1"}"#, "line 1"),
            ("", "holds no question"),
        ] {
            let error = parse(line.as_bytes(), "set").unwrap_err();
            assert!(
                matches!(error, CliError::Usage(_)) && error.to_string().contains(says),
                "{line}: {error}"
            );
        }
        let twice = "{\"id\":\"a\",\"question\":\"x\",\"answer\":\"y\"}\n{\"id\":\"a\",\"question\":\"z\",\"answer\":\"y\"}";
        assert!(
            parse(twice.as_bytes(), "set")
                .unwrap_err()
                .to_string()
                .contains("line 2: there is another")
        );
    }

    proptest! {
        #[test]
        fn any_line_is_a_question_or_a_clear_error(line in ".*") {
            if let Err(error) = parse(line.as_bytes(), "set") {
                prop_assert!(matches!(error, CliError::Usage(_)));
            }
        }
    }
}
