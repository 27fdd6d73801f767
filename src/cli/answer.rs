//! A query's messages, put together to an answer. Knows the protocol, prints nothing.

use super::console::{clean, shorten};
use serde_json::{Value, json};

/// Characters of a quotation that are shown.
const QUOTATION: usize = 240;

/// What a message means for whoever shows the answer.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// A stage began: for people.
    Status(String),
    /// The next piece of the answer.
    Text(String),
    /// Nothing to show now.
    Quiet,
    /// The answer is whole.
    Complete,
    /// The server stopped because it was asked to.
    Cancelled,
    /// It ended with an error.
    Failed {
        /// Stable code.
        code: String,
        /// For people.
        message: String,
    },
}

/// The answer so far.
#[derive(Debug, Default)]
pub struct Answer {
    request_id: String,
    text: String,
    citations: Vec<Value>,
    complete: Value,
}

impl Answer {
    /// An answer to the query with this `request_id`.
    pub fn to(request_id: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            ..Self::default()
        }
    }

    /// Takes a message of the socket; those of other requests and of unknown types mean nothing here.
    pub fn take(&mut self, message: &Value) -> Step {
        // An error with no request_id answers a message that could not be read: there is only ours.
        if message
            .get("request_id")
            .is_some_and(|id| !id.is_null() && id.as_str() != Some(self.request_id.as_str()))
        {
            return Step::Quiet;
        }
        let data = message.get("data").unwrap_or(&Value::Null);
        let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
        match message.get("type").and_then(Value::as_str).unwrap_or_default() {
            "status" => Step::Status(clean(text("message"))),
            "token" => {
                self.text.push_str(text("content"));
                Step::Text(clean(text("content")))
            }
            "citation" => {
                self.citations.push(data.clone());
                Step::Quiet
            }
            "complete" => {
                self.complete = data.clone();
                if text("status") == "cancelled" {
                    Step::Cancelled
                } else {
                    Step::Complete
                }
            }
            "error" => Step::Failed {
                code: clean(text("code")),
                message: clean(text("message")),
            },
            _ => Step::Quiet,
        }
    }

    /// The query that it answers.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Whether any text has come.
    pub fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Whether the text ends with a line break.
    pub fn ends_line(&self) -> bool {
        self.text.ends_with('\n')
    }

    /// The sources: `[1] file.pdf, page 4: “quotation…”`, in the order of their numbers.
    pub fn sources(&self) -> Vec<String> {
        let mut citations: Vec<&Value> = self.citations.iter().collect();
        citations.sort_by_key(|citation| citation.get("citation_id").and_then(Value::as_u64));
        citations.into_iter().map(source).collect()
    }

    /// What the server had to do without, for people.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.complete.get("warnings").and_then(Value::as_array);
        let messages = warnings
            .into_iter()
            .flatten()
            .filter_map(|warning| warning.get("message")?.as_str());
        messages.map(clean).collect()
    }

    /// `3 sources, 0.8 s, balanced`.
    pub fn summary(&self) -> String {
        let sources = super::console::count(self.citations.len() as u64, "source");
        let time = self.complete.get("total_time").and_then(Value::as_f64).unwrap_or_default();
        let mode = self
            .complete
            .get("processing_mode")
            .and_then(Value::as_str)
            .map(|mode| format!(", {}", clean(mode)));
        format!("{sources}, {time:.1} s{}", mode.unwrap_or_default())
    }

    /// All of it, for programs.
    pub fn to_json(&self, question: &str) -> Value {
        json!({ "question": question, "answer": self.text, "citations": self.citations, "complete": self.complete })
    }
}

fn source(citation: &Value) -> String {
    let text = |key: &str| citation.get(key).and_then(Value::as_str).unwrap_or_default();
    let id = citation.get("citation_id").and_then(Value::as_u64).unwrap_or_default();
    format!("[{id}] {}: “{}”", place(citation), shorten(text("content"), QUOTATION))
}

/// `file.pdf, page 4`, of an object with `source` and perhaps `page`.
pub fn place(at: &Value) -> String {
    let file = shorten(at.get("source").and_then(Value::as_str).unwrap_or("unknown source"), 120);
    match at.get("page").and_then(Value::as_u64) {
        Some(page) => format!("{file}, page {page}"),
        None => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, data: Value) -> Value {
        json!({ "type": kind, "request_id": "r1", "data": data })
    }

    #[test]
    fn messages_become_an_answer_with_sources() {
        let mut answer = Answer::to("r1");
        assert_eq!(
            answer.take(&message(
                "status",
                json!({"stage": "analyzing_query", "progress": 0.1, "message": "Analyzing"})
            )),
            Step::Status("Analyzing".to_owned())
        );
        let citation = json!({"citation_id": 2, "source": "b\u{1b}[31m.md", "confidence": 0.5, "content": "two"});
        assert_eq!(answer.take(&message("citation", citation)), Step::Quiet);
        let citation = json!({"citation_id": 1, "source": "a.pdf", "page": 4, "confidence": 0.9, "content": "one\n  line"});
        assert_eq!(answer.take(&message("citation", citation)), Step::Quiet);
        for (position, piece) in ["It is", " 21 [1]."].into_iter().enumerate() {
            let token = json!({"content": piece, "position": position, "is_complete": position == 1});
            assert_eq!(answer.take(&message("token", token)), Step::Text(piece.to_owned()));
        }
        let complete = json!({"status": "completed", "total_time": 0.84, "sources_used": 2, "processing_mode": "balanced"});
        assert_eq!(answer.take(&message("complete", complete)), Step::Complete);
        assert_eq!(answer.sources(), ["[1] a.pdf, page 4: “one line”", "[2] b[31m.md: “two”"]);
        assert_eq!(answer.summary(), "2 sources, 0.8 s, balanced");
        assert_eq!(answer.to_json("q")["answer"], "It is 21 [1].");
    }

    #[test]
    fn endings_are_told_apart() {
        let mut answer = Answer::to("r1");
        assert_eq!(answer.take(&message("complete", json!({"status": "cancelled"}))), Step::Cancelled);
        assert_eq!(
            answer.take(&json!({"type": "error", "request_id": null, "data": {"code": "INVALID_MESSAGE", "message": "no"}})),
            Step::Failed {
                code: "INVALID_MESSAGE".to_owned(),
                message: "no".to_owned()
            }
        );
        assert_eq!(
            answer.take(&json!({"type": "token", "request_id": "other", "data": {"content": "x"}})),
            Step::Quiet
        );
        assert_eq!(
            answer.take(&json!({"type": "from_the_future", "request_id": "r1", "data": {}})),
            Step::Quiet
        );
        assert!(!answer.has_text());
    }
}
