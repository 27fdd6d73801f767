//! The rules that every answer on `/ws/query` keeps, checked message by message.

use super::{Is, has};
use serde_json::Value;
use std::collections::BTreeSet;

/// A query's messages, sorted.
pub struct Answered {
    /// `data` of each `status`.
    pub statuses: Vec<Value>,
    /// `data` of each `token`.
    pub tokens: Vec<Value>,
    /// `data` of each `citation`.
    pub citations: Vec<Value>,
    /// `data` of `complete`.
    pub complete: Value,
    /// The tokens, joined.
    pub text: String,
}

const STAGES: [&str; 3] = ["analyzing_query", "retrieving_documents", "generating_response"];
const INTENTS: [&str; 6] = ["factual", "analytical", "comparative", "procedural", "verification", "exploratory"];

/// Sorts the messages of a query that must have been completed, and checks all that holds of every answer:
/// the guide's fields and types, `status* (citation | token)* complete`, stages in order, progress that never
/// decreases, positions from 0 without gaps, one last token, citations numbered from 1 and no later than
/// their markers.
pub fn answered(messages: &[Value]) -> Answered {
    let mut answer = Answered {
        statuses: Vec::new(),
        tokens: Vec::new(),
        citations: Vec::new(),
        complete: Value::Null,
        text: String::new(),
    };
    for message in messages {
        has(message, &[("type", Is::Text), ("request_id", Is::Text), ("data", Is::Object)]);
        assert!(answer.complete.is_null(), "a message after the end: {message}");
        let data = message["data"].clone();
        match message["type"].as_str() {
            Some("status") => answer.status(data),
            Some("token") => answer.token(data),
            Some("citation") => answer.citation(data),
            Some("complete") => answer.complete = data,
            _ => panic!("not part of an answer: {message}"),
        }
    }
    answer.end();
    answer
}

impl Answered {
    fn status(&mut self, data: Value) {
        has(&data, &[("stage", Is::Text), ("progress", Is::Share), ("message", Is::Text)]);
        assert!(
            self.tokens.is_empty() && self.citations.is_empty(),
            "a status after the answer began: {data}"
        );
        let stage = |status: &Value| {
            STAGES
                .iter()
                .position(|stage| status["stage"] == *stage)
                .unwrap_or_else(|| panic!("no such stage: {status}"))
        };
        if let Some(last) = self.statuses.last() {
            assert!(stage(last) <= stage(&data), "stages out of order: {last}, {data}");
            assert!(
                last["progress"].as_f64() <= data["progress"].as_f64(),
                "progress goes back: {last}, {data}"
            );
        } else {
            assert_eq!(stage(&data), 0, "{data}");
        }
        self.statuses.push(data);
    }

    fn token(&mut self, data: Value) {
        has(
            &data,
            &[("content", Is::AnyText), ("position", Is::Count), ("is_complete", Is::Bool)],
        );
        assert_eq!(data["position"], self.tokens.len(), "a gap: {data}");
        assert!(
            self.tokens.last().is_none_or(|last| last["is_complete"] == false),
            "a token after the last: {data}"
        );
        self.text.push_str(data["content"].as_str().unwrap_or_default());
        for number in markers(&self.text) {
            assert!(
                number <= self.citations.len(),
                "the marker [{number}] comes before its citation: {:?}",
                self.text
            );
        }
        self.tokens.push(data);
    }

    fn citation(&mut self, data: Value) {
        let guide = [
            ("citation_id", Is::Count),
            ("source", Is::Text),
            ("confidence", Is::Share),
            ("content", Is::Text),
        ];
        let beyond = [
            ("char_start", Is::Count),
            ("char_end", Is::Count),
            ("document_id", Is::Text),
            ("chunk_id", Is::Text),
            ("section", Is::Texts),
            ("formatted", Is::Text),
        ];
        has(&data, &guide);
        has(&data, &beyond);
        assert!(
            data.get("page").is_none_or(|page| page.as_u64().is_some_and(|page| page > 0)),
            "{data}"
        );
        self.citations.push(data);
        assert_eq!(
            self.citations.last().map(|citation| citation["citation_id"].clone()),
            Some(self.citations.len().into()),
            "numbered from 1, in order"
        );
    }

    fn end(&self) {
        let complete = &self.complete;
        has(
            complete,
            &[
                ("total_time", Is::Number),
                ("tokens_generated", Is::Count),
                ("sources_used", Is::Count),
                ("processing_mode", Is::Text),
                ("query_analysis", Is::Object),
                ("status", Is::Text),
                ("query_id", Is::Text),
                ("timings", Is::Object),
            ],
        );
        let analysis = &complete["query_analysis"];
        has(analysis, &[("intent", Is::Text), ("entities", Is::Texts), ("detail", Is::Object)]);
        assert!(INTENTS.iter().any(|intent| analysis["intent"] == *intent), "{analysis}");
        assert_eq!(complete["status"], "completed", "{complete}");
        assert_eq!(complete["sources_used"], self.citations.len(), "{complete}");
        let mut stages: Vec<&str> = self.statuses.iter().filter_map(|status| status["stage"].as_str()).collect();
        // A stage may tell more than once how far it is.
        stages.dedup();
        assert_eq!(stages, STAGES);
        if let Some(last) = self.tokens.last() {
            assert_eq!(last["is_complete"], true, "the last token does not say so: {last}");
            assert_eq!(complete["tokens_generated"], self.tokens.len(), "{complete}");
        }
        let places: BTreeSet<String> = self
            .citations
            .iter()
            .map(|c| format!("{} {} {}", c["document_id"], c["char_start"], c["char_end"]))
            .collect();
        assert_eq!(places.len(), self.citations.len(), "a quotation is cited under two numbers");
    }

    /// The numbers in the text's markers.
    pub fn markers(&self) -> BTreeSet<usize> {
        markers(&self.text)
    }
}

/// The numbers `n` of all `[n]` in a text.
pub fn markers(text: &str) -> BTreeSet<usize> {
    text.split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']')?.0.parse().ok())
        .collect()
}
