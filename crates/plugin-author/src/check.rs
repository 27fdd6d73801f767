//! Tests a component as a server would: the implementation of `ibid plugin check`.
//!
//! The host is the server's, with the default budgets of a pipeline. The samples are inputs that often break plugins: nothing, one
//! character, scripts without spaces or from right to left, characters of four bytes, one endless line, a megabyte. A failure that the
//! plugin reports is accepted; a crash, an exceeded limit or an invalid result is not.

use super::try_plugin::{self, Input};
use ibid_plugin_host::Kind;
use ibid_plugin_host::{Host, MAX_COMPONENT_BYTES, Source};
use ibid_plugin_host::{PluginError, Reason};
use ibid_types::document::Span;
use std::sync::Arc;
use std::time::Duration;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check: `contract`, `size`, `schema`, `empty configuration`, or a sample's name.
    pub name: String,
    /// Whether it passed.
    pub good: bool,
    /// The result in words.
    pub detail: String,
}

/// The results of all checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// The longest call.
    pub longest: Duration,
    /// The most memory that a call had, in bytes.
    pub peak_memory_bytes: u64,
}

impl Report {
    /// Returns whether all checks passed.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.good)
    }
}

/// Checks a component with its default settings.
///
/// # Errors
/// If the host itself fails.
pub async fn check(host: &Host, component: &[u8]) -> Result<Report, PluginError> {
    let mut findings = Vec::new();
    let mut find = |name: &str, outcome: Result<String, String>| {
        let good = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|why| why);
        findings.push(Finding {
            name: name.to_owned(),
            good,
            detail,
        });
    };
    let (loading, bytes) = (host.clone(), component.to_vec());
    let loaded = tokio::task::spawn_blocking(move || loading.load(&bytes)).await;
    let loaded = loaded.map_err(|error| PluginError::of_file(Reason::Host(error.to_string())))?;
    let plugin = match loaded {
        Ok(plugin) => plugin,
        Err(error) => {
            find("contract", Err(error.to_string()));
            return Ok(Report {
                findings,
                longest: Duration::ZERO,
                peak_memory_bytes: 0,
            });
        }
    };
    let imports: Vec<String> = plugin.contract().imports.iter().map(|import| import.name.clone()).collect();
    let imports = if imports.is_empty() {
        "nothing".to_owned()
    } else {
        imports.join(", ")
    };
    find("contract", Ok(format!("{} that imports {imports}", plugin.kind().with_article())));
    let size = format!("{:.1} MB of {} MiB", component.len() as f64 / 1e6, MAX_COMPONENT_BYTES >> 20);
    find("size", Ok(size));
    let schema = &plugin.manifest().config_schema;
    match jsonschema::validator_for(schema) {
        Err(error) => find("schema", Err(format!("it is not a JSON Schema: {error}"))),
        Ok(validator) => {
            find("schema", Ok("a valid JSON Schema".to_owned()));
            let none = serde_json::json!({});
            let empty = validator.validate(&none).map(|()| "it admits one".to_owned());
            find(
                "empty configuration",
                empty.map_err(|error| format!("a plugin must work without settings: {error}")),
            );
        }
    }
    for (name, sample) in samples(plugin.kind()) {
        let input = sample.input(plugin.kind());
        let first = try_plugin::run(host, &plugin, "{}", &input).await;
        let again = try_plugin::run(host, &plugin, "{}", &input).await;
        let outcome = match (first, again) {
            (Err(error), _) if matches!(error.reason, Reason::Host(_) | Reason::Busy(_)) => return Err(error),
            (first, again) if first != again => Err("two equal calls had different results".to_owned()),
            (Ok(outcome), _) => Ok(outcome.summary),
            (Err(error), _) if error.failure_code().is_some() && plugin.kind() == Kind::Extractor => Ok(error.to_string()),
            (Err(error), _) => Err(error.to_string()),
        };
        find(name, outcome);
    }
    let stats = plugin.stats();
    Ok(Report {
        findings,
        longest: stats.max,
        peak_memory_bytes: stats.peak_memory_bytes,
    })
}

/// A sample, before it is converted to the input of a kind.
enum Sample {
    Text(String),
    Bytes(Vec<u8>),
}

impl Sample {
    fn input(self, kind: Kind) -> Input {
        let text = match self {
            Sample::Bytes(bytes) => return Input::Upload(Arc::new(bytes)),
            Sample::Text(text) => text,
        };
        match kind {
            Kind::Extractor => Input::Upload(Arc::new(text.into_bytes())),
            Kind::Chunker => try_plugin::document(text),
            Kind::Analyzer => Input::Question {
                query: text,
                attrs: vec![("mode".into(), "comprehensive".into())],
            },
            Kind::Formatter => {
                let source = |citation_id, page| Source {
                    citation_id,
                    document_id: "doc_1".to_owned(),
                    name: format!("{text}.pdf"),
                    at: Span::new(0, 1),
                    page,
                    section: vec![text.clone()],
                    attrs: vec![("title".to_owned(), text.clone()), ("author".to_owned(), text.clone())],
                };
                Input::Answer {
                    sources: vec![source(1, Some(4)), source(2, None)],
                    statements: vec![vec![0], vec![0, 1]],
                }
            }
        }
    }
}

fn samples(kind: Kind) -> Vec<(&'static str, Sample)> {
    let text = |name, text: &str| (name, Sample::Text(text.to_owned()));
    let mut all = vec![
        text("one character", "x"),
        text("Chinese", "董事会于2019年批准了预算。净销售额为三百四十万美元。"),
        text("Arabic", "وافق المجلس على الميزانية في عام 2019. بلغ صافي المبيعات ٣٫٤ مليون."),
        text("emoji and accents", "👩‍👩‍👧 e\u{301}te\u{301} 🇩🇪 Zürich\r\n\r\n\tnaïve"),
        text("quotation marks and braces", "“Was ist { \"x\": [1, 2] }”? \\n %s <b>"),
    ];
    match kind {
        Kind::Chunker => {
            all.insert(0, text("empty", ""));
            all.push(text("white space", " \n\n\t \r\n"));
            all.push(("one endless line", Sample::Text("x".repeat(100_000))));
            all.push(("a megabyte of prose", Sample::Text(try_plugin::prose())));
        }
        Kind::Extractor => {
            all.insert(0, text("empty", ""));
            all.push((
                "binary rubbish",
                Sample::Bytes((0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
            ));
            all.push(("a megabyte of prose", Sample::Text(try_plugin::SENTENCE.repeat(11_000))));
        }
        // A question has at most 8,192 characters.
        Kind::Analyzer => all.push((
            "the longest question",
            Sample::Text(try_plugin::SENTENCE.repeat(100).chars().take(8_192).collect()),
        )),
        Kind::Formatter => {}
    }
    all
}
