//! Runs a plugin once over an input and describes the outcome, for `check` and `test`.
//!
//! This needs no model: a simple rule counts tokens, and vectors depend on the text's length alone.

use ibid_plugin_host::Kind;
use ibid_plugin_host::{Budget, Host, Plugin, Provided, Source, TextEmbedder, TokenCounter};
use ibid_plugin_host::{PluginError, Reason};
use ibid_types::document::{Attrs, Document, Span, Unit};
use std::fmt::Write;
use std::sync::Arc;

/// The input of a plugin; each kind has one of its own.
pub enum Input {
    /// An extractor's upload.
    Upload(Arc<Vec<u8>>),
    /// A chunker's document.
    Document(Arc<Document>),
    /// An analyzer's question with its attributes.
    Question {
        /// The question.
        query: String,
        /// Its attributes.
        attrs: Attrs,
    },
    /// A formatter's answer: the passages, and the passages that support each statement.
    Answer {
        /// The passages, in the order of their numbers.
        sources: Vec<Source>,
        /// For each statement, the indices of its passages.
        statements: Vec<Vec<usize>>,
    },
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A short summary.
    pub summary: String,
    /// The whole outcome, one item a line.
    pub listing: String,
}

/// Runs `plugin` over `input` with its kind's default budget.
///
/// # Errors
/// The host's errors; [`Reason::Host`] if the input is not for this kind.
pub async fn run(host: &Host, plugin: &Plugin, config: &str, input: &Input) -> Result<Outcome, PluginError> {
    let budget = Budget::of(plugin.kind());
    match (plugin.kind(), input) {
        (Kind::Extractor, Input::Upload(bytes)) => {
            let document = host.extract(plugin, config, bytes.clone(), &budget, |_| {}).await?;
            Ok(Outcome {
                summary: format!("{} bytes of text, {} units", document.text.len(), document.units.len()),
                listing: list_document(&document),
            })
        }
        (Kind::Chunker, Input::Document(document)) => {
            let end = u32::try_from(document.text.len()).unwrap_or(u32::MAX);
            let provided = Provided {
                tokens: Arc::new(Words),
                embedder: Some(Arc::new(Lengths)),
            };
            let pieces = host.chunk(plugin, config, document, Span::new(0, end), provided, &budget).await?;
            let covered: u64 = pieces.iter().map(|piece| u64::from(piece.at.len())).sum();
            let mut listing = String::new();
            for piece in &pieces {
                line(&mut listing, "chunk", piece.at, &document.text);
                for context in &piece.context {
                    line(&mut listing, "  context", *context, &document.text);
                }
                list_attrs(&mut listing, "  ", &piece.attrs);
            }
            Ok(Outcome {
                summary: format!("{} chunks of {covered} bytes", pieces.len()),
                listing,
            })
        }
        (Kind::Analyzer, Input::Question { query, attrs }) => {
            let plan = host.analyze(plugin, config, query, attrs, &budget).await?;
            let mut listing = String::new();
            for search in &plan.searches {
                let _ = write!(listing, "search {:?} weight {}", search.text, search.weight);
                if let Some(limit) = search.limit {
                    let _ = write!(listing, " limit {limit}");
                }
                if let Some(filter) = &search.filter {
                    let _ = write!(listing, " filter {}", serde_json::Value::Object(filter.clone()));
                }
                listing.push('\n');
            }
            list_attrs(&mut listing, "", &plan.attrs);
            Ok(Outcome {
                summary: format!("{} searches, {} attributes", plan.searches.len(), plan.attrs.len()),
                listing,
            })
        }
        (Kind::Formatter, Input::Answer { sources, statements }) => {
            let mut formatter = host.formatter(plugin, config, &budget).await?;
            let (mut listing, mut characters) = (String::new(), 0);
            let mut entered = Vec::new();
            let mut add = |what: &str, text: String| {
                characters += text.chars().count();
                let _ = writeln!(listing, "{what} {text:?}");
            };
            for statement in statements {
                let cited: Vec<Source> = statement.iter().filter_map(|index| sources.get(*index)).cloned().collect();
                for source in &cited {
                    if !entered.contains(&source.citation_id) {
                        entered.push(source.citation_id);
                        add(&format!("entry {}", source.citation_id), formatter.entry(source).await?);
                    }
                }
                let numbers: Vec<String> = cited.iter().map(|source| source.citation_id.to_string()).collect();
                add(&format!("mark {}", numbers.join(",")), formatter.mark(&cited).await?);
            }
            add("finish", formatter.finish(sources).await?);
            Ok(Outcome {
                summary: format!("{characters} characters"),
                listing,
            })
        }
        _ => Err(plugin.error(Reason::Host("this input is for another kind of plugin".into()))),
    }
}

fn list_document(document: &Document) -> String {
    let mut listing = String::new();
    for text in document.text.split_inclusive('\n') {
        let _ = writeln!(listing, "text {text:?}");
    }
    for page in &document.pages {
        let label = page.label.as_ref().map(|label| format!(" {label:?}")).unwrap_or_default();
        let _ = writeln!(listing, "page {} {}..{}{label}", page.number, page.at.start, page.at.end);
    }
    for unit in &document.units {
        let level = if unit.level == 0 {
            String::new()
        } else {
            format!(" {}", unit.level)
        };
        line(&mut listing, &format!("{}{level}", unit.kind), unit.at, &document.text);
        if let Some(title) = unit.title {
            line(&mut listing, "  title", title, &document.text);
        }
    }
    list_attrs(&mut listing, "", &document.attrs);
    listing
}

fn line(listing: &mut String, what: &str, at: Span, text: &str) {
    let _ = writeln!(listing, "{what} {}..{} {:?}", at.start, at.end, at.of(text).unwrap_or_default());
}

fn list_attrs(listing: &mut String, indent: &str, attrs: &Attrs) {
    for (key, value) in attrs {
        let _ = writeln!(listing, "{indent}{key} = {value:?}");
    }
}

/// A sentence with numbers, a date and a sign, as in reports.
pub const SENTENCE: &str = "The board met on 12 March 2019 and approved net sales of $3.4 million, 12 % more than in 2018. ";

/// Returns a megabyte of that sentence, in paragraphs of five sentences.
pub fn prose() -> String {
    format!("{}\n\n", SENTENCE.repeat(5)).repeat(2_100)
}

/// Returns a chunker's document: a text and its paragraphs.
pub fn document(text: String) -> Input {
    Input::Document(Arc::new(Document {
        units: paragraphs(&text),
        text,
        ..Document::default()
    }))
}

/// Returns the paragraphs of a text, as an extractor would.
pub fn paragraphs(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut offset = 0;
    for part in text.split("\n\n") {
        let end = offset + part.len();
        if !part.trim().is_empty() {
            units.push(Unit {
                at: Span::new(offset as u32, end as u32),
                kind: "paragraph".to_owned(),
                level: 0,
                title: None,
            });
        }
        offset = end + 2;
    }
    units
}

/// Counts about as many tokens as a model's tokenizer: one for a word, and one more for every six characters of it.
struct Words;

impl TokenCounter for Words {
    fn count(&self, text: &str) -> u32 {
        let tokens = text.split_whitespace().map(|word| 1 + word.chars().count() / 6).sum::<usize>();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// Makes a vector that depends on the text's length alone.
struct Lengths;

impl TextEmbedder for Lengths {
    fn embed(&self, texts: Vec<String>, _: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>, String> {
        let vectors = texts.iter().map(|text| {
            let angle = (text.len() % 97) as f32 / 97.0;
            vec![angle.cos(), angle.sin()]
        });
        Ok(vectors.collect())
    }
}
