//! An analyzer that misbehaves as its configuration says.

use exports::ibid::plugin::analysis::{Analyzer, Guest, GuestAnalyzer, Plan, Search};
use ibid::plugin::types::{Attr, Failure};
use std::hint::black_box;

wit_bindgen::generate!({ path: "../../../wit/1", world: "analyzer-plugin" });

struct Hostile;

struct Instance {
    config: String,
}

impl Guest for Hostile {
    type Analyzer = Instance;
}

impl GuestAnalyzer for Instance {
    fn open(config: String) -> Result<Analyzer, Failure> {
        Ok(Analyzer::new(Instance { config }))
    }

    fn analyze(&self, query: String, mut attrs: Vec<Attr>) -> Result<Plan, Failure> {
        let what = self.config.split('"').nth(3).unwrap_or("");
        let mut search = Search {
            text: query,
            weight: 1.0,
            filter: None,
            limit: None,
        };
        let mut count = 1;
        match what {
            "loop" => loop {
                black_box(());
            },
            "none" => count = 0,
            "many" => count = 1_000,
            "nan" => search.weight = f32::NAN,
            "infinite" => search.weight = f32::INFINITY,
            "negative" => search.weight = -1.0,
            "blank" => search.text = " \n".into(),
            "long" => search.text = "x".repeat(4 << 20),
            "filter" => search.filter = Some("[]".into()),
            "limit" => search.limit = Some(0),
            "narrow" => search.filter = Some(r#"{"document_id":"d1"}"#.into()),
            _ => {}
        }
        attrs.push(Attr {
            key: "intent".into(),
            value: "factual".into(),
        });
        Ok(Plan {
            searches: vec![search; count],
            attrs,
        })
    }
}

export!(Hostile);
