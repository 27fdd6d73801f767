//! A formatter that misbehaves as its configuration says.

use exports::ibid::plugin::citing::{Formatter, Guest, GuestFormatter, Source};
use ibid::plugin::types::Failure;
use std::cell::Cell;
use std::hint::black_box;

wit_bindgen::generate!({ path: "../../../wit/1", world: "citation-plugin" });

struct Hostile;

struct Instance {
    config: String,
    marks: Cell<u32>,
}

impl Guest for Hostile {
    type Formatter = Instance;
}

impl GuestFormatter for Instance {
    fn open(config: String) -> Result<Formatter, Failure> {
        Ok(Formatter::new(Instance {
            config,
            marks: Cell::new(0),
        }))
    }

    fn mark(&self, cited: Vec<Source>) -> Result<String, Failure> {
        self.marks.set(self.marks.get() + 1);
        let what = self.config.split('"').nth(3).unwrap_or("");
        match (what, self.marks.get()) {
            ("loop", 2) => loop {
                black_box(());
            },
            ("panic-first", 1) | ("panic", 2) => panic!("on purpose"),
            ("fail", 2) => Err(Failure {
                code: "NO_STYLE".into(),
                message: "Not this one.".into(),
                at: None,
            }),
            ("long", 2) => Ok("x".repeat(2_000)),
            _ => {
                let numbers: Vec<String> = cited.iter().map(|source| source.citation_id.to_string()).collect();
                Ok(format!(" [{}; mark {}]", numbers.join(", "), self.marks.get()))
            }
        }
    }

    fn entry(&self, cited: Source) -> Result<String, Failure> {
        let page = cited.page.map(|page| format!(", p. {page}")).unwrap_or_default();
        Ok(format!("{}{page}, {}", cited.name, cited.section.join(" > ")))
    }

    fn finish(&self, cited: Vec<Source>) -> Result<String, Failure> {
        Ok(format!("\n{} sources, {} marks", cited.len(), self.marks.get()))
    }
}

export!(Hostile);
