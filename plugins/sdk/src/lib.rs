//! The SDK for authors of [Ibid](https://crates.io/crates/ibid) plugins in Rust.
//!
//! A plugin is a WebAssembly component that does one stage of a pipeline. Its author writes a struct, implements the trait of its kind,
//! and names it in the kind's macro:
//!
//! | kind | trait | macro | gets | returns |
//! | --- | --- | --- | --- | --- |
//! | extractor | [`Extractor`] | [`extractor!`] | an [`Upload`] | text, pages, units and metadata, written to a [`Draft`] |
//! | chunker | [`Chunker`] | [`chunker!`] | a [`Document`] | [`Piece`]s |
//! | chunker that uses the embedder | [`SemanticChunker`] | [`semantic_chunker!`] | a [`SemanticDocument`] | [`Piece`]s |
//! | analyzer | [`Analyzer`] | [`analyzer!`] | a question | a [`Plan`] of searches |
//! | citation formatter | [`Formatter`] | [`formatter!`] | the cited [`Source`]s | markers, references, the end of the answer |
//!
//! The macro does the rest: it exports the plugin to the host, and reports the message of a panic before it ends the call. For anything
//! but WebAssembly it only checks that the trait is implemented, so a plugin's tests run natively; [`testing`] has the host's side in
//! memory.
//!
//! Positions in a text are [`Span`]s in UTF-8 bytes. Errors are [`Failure`]s. [`Settings`] reads the JSON object that a pipeline gives.
//! [`log`] writes to the server's log. There is no clock, no file, no network and no source of randomness.
//!
//! # A chunker
//!
//! ```
//! use ibid_plugin::{Chunker, Document, Failure, Piece, Settings, Span};
//! use serde::Deserialize;
//!
//! /// Makes chunks of so many lines.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! struct ByLines {
//!     lines: usize,
//! }
//!
//! impl Default for ByLines {
//!     fn default() -> Self {
//!         Self { lines: 10 }
//!     }
//! }
//!
//! impl Settings for ByLines {
//!     fn check(&self) -> Result<(), String> {
//!         match self.lines {
//!             0 => Err("lines: must be at least 1".to_owned()),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! impl Chunker for ByLines {
//!     fn open(config: &str) -> Result<Self, Failure> {
//!         Self::parse(config)
//!     }
//!
//!     fn chunk(&self, document: &impl Document, within: Span) -> Result<Vec<Piece>, Failure> {
//!         let text = document.text(within);
//!         let lines: Vec<&str> = text.split_inclusive('\n').collect();
//!         let mut start = 0;
//!         let mut pieces = Vec::new();
//!         for chunk in lines.chunks(self.lines) {
//!             let end = start + chunk.iter().map(|line| line.len()).sum::<usize>();
//!             pieces.push(Piece::new(Span::from(start..end).shifted(within.start)));
//!             start = end;
//!         }
//!         Ok(pieces)
//!     }
//! }
//!
//! ibid_plugin::chunker!(ByLines);
//!
//! # fn main() {
//! use ibid_plugin::testing::Text;
//!
//! let document = Text::new("one\ntwo\nthree\n");
//! let chunker = ByLines::open(r#"{"lines": 2}"#).unwrap();
//! let pieces = chunker.chunk(&document, document.span()).unwrap();
//! assert_eq!(document.get(pieces[0].at), Some("one\ntwo\n"));
//! assert_eq!(document.get(pieces[1].at), Some("three\n"));
//! assert!(ByLines::open(r#"{"lines": 0}"#).is_err());
//! # }
//! ```
//!
//! # A chunker that uses the embedder
//!
//! ```
//! use ibid_plugin::{Failure, Piece, SemanticChunker, SemanticDocument, Span, Unit};
//!
//! /// Joins paragraphs that are alike.
//! struct BySubject;
//!
//! impl SemanticChunker for BySubject {
//!     fn open(_: &str) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn chunk(&self, document: &impl SemanticDocument, within: Span) -> Result<Vec<Piece>, Failure> {
//!         let paragraphs: Vec<Span> = document.units(within).iter().map(|unit| unit.at).collect();
//!         let similar = document.neighbour_similarity(&paragraphs)?;
//!         let mut pieces: Vec<Piece> = Vec::new();
//!         for (index, at) in paragraphs.iter().enumerate() {
//!             let is_alike = index > 0 && similar.get(index - 1).is_some_and(|similar| *similar >= 0.5);
//!             match pieces.last_mut().filter(|_| is_alike) {
//!                 Some(last) => last.at.end = at.end,
//!                 None => pieces.push(Piece::new(*at)),
//!             }
//!         }
//!         Ok(pieces)
//!     }
//! }
//!
//! ibid_plugin::semantic_chunker!(BySubject);
//!
//! # fn main() {
//! use ibid_plugin::testing::Text;
//!
//! let text = Text::new("the tax rose\n\nthe tax fell\n\nit rained");
//! let text = ["the tax rose", "the tax fell", "it rained"].iter().fold(text, |text, part| text.with_unit("paragraph", 0, part));
//! let pieces = BySubject.chunk(&text, text.span()).unwrap();
//! assert_eq!(pieces, [Piece::new(0_u32..26), Piece::new(28_u32..37)]);
//! # }
//! ```
//!
//! # An extractor
//!
//! ```
//! use ibid_plugin::{Attr, Draft, Extractor, Failure, Unit, Upload};
//!
//! /// Reads text files; each line is a paragraph.
//! struct Lines;
//!
//! impl Extractor for Lines {
//!     fn open(_: &str) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
//!         let mut bytes = Vec::new();
//!         for window in upload.windows(4 << 20) {
//!             bytes.extend_from_slice(&window);
//!             draft.progress(bytes.len() as f32 / upload.len() as f32);
//!         }
//!         let text = String::from_utf8(bytes).map_err(|_| Failure::malformed("The file is not UTF-8: save it as UTF-8."))?;
//!         let mut lines = 0;
//!         for line in text.lines() {
//!             let end = draft.write(line);
//!             draft.add_units(&[Unit::new("paragraph", end - line.len() as u32..end)]);
//!             draft.write("\n");
//!             lines += 1;
//!         }
//!         draft.add_attrs(&[Attr::new("lines", lines.to_string())]);
//!         Ok(())
//!     }
//! }
//!
//! ibid_plugin::extractor!(Lines);
//!
//! # fn main() {
//! use ibid_plugin::testing::{Collected, File};
//!
//! let mut draft = Collected::default();
//! Lines.extract(&File::new("one\ntwo\n"), &mut draft).unwrap();
//! assert_eq!((draft.text.as_str(), draft.attr("lines")), ("one\ntwo\n", Some("2")));
//! assert_eq!(draft.at(draft.units[1].at), Some("two"));
//! let failure = Lines.extract(&File::new([0xff]), &mut draft).unwrap_err();
//! assert_eq!(failure.code, "MALFORMED");
//! # }
//! ```
//!
//! # An analyzer
//!
//! ```
//! use ibid_plugin::{Analyzer, Attr, Failure, Plan, Search};
//!
//! /// Searches for the question, and for what stands before its comma.
//! struct Clauses;
//!
//! impl Analyzer for Clauses {
//!     fn open(_: &str) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn analyze(&self, question: &str, known: &[Attr]) -> Result<Plan, Failure> {
//!         let mut searches = vec![Search::new(question)];
//!         searches.extend(question.split_once(',').map(|(clause, _)| Search::new(clause).with_weight(0.5)));
//!         let language = Attr::find(known, "language").unwrap_or("en");
//!         Ok(Plan {
//!             searches,
//!             attrs: vec![Attr::new("language", language)],
//!         })
//!     }
//! }
//!
//! ibid_plugin::analyzer!(Clauses);
//!
//! # fn main() {
//! let plan = Clauses.analyze("Of the fees, which is due first?", &[]).unwrap();
//! assert_eq!((plan.searches.len(), plan.searches[1].text.as_str()), (2, "Of the fees"));
//! # }
//! ```
//!
//! # A citation formatter
//!
//! ```
//! use ibid_plugin::{Failure, Formatter, Source};
//!
//! /// Names the file in braces.
//! struct Braces;
//!
//! impl Formatter for Braces {
//!     fn open(_: &str) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn mark(&self, cited: &[Source]) -> Result<String, Failure> {
//!         Ok(cited.iter().map(|source| format!(" {{{}}}", source.name)).collect())
//!     }
//!
//!     fn entry(&self, cited: &Source) -> Result<String, Failure> {
//!         Ok(format!("{}, {}", cited.attr("author").unwrap_or("unknown"), cited.name))
//!     }
//! }
//!
//! ibid_plugin::formatter!(Braces);
//!
//! # fn main() {
//! let source = Source {
//!     citation_id: 1,
//!     name: "fees.pdf".to_owned(),
//!     ..Source::default()
//! };
//! assert_eq!(Braces.mark(&[source]), Ok(" {fees.pdf}".to_owned()));
//! # }
//! ```

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings;
mod export;
mod failure;
mod heap;
mod host;
mod kinds;
pub mod log;
#[cfg(any(target_arch = "wasm32", test))]
mod panics;
mod results;
mod settings;
pub mod testing;
mod types;

pub use failure::Failure;
pub use heap::Heap;
pub use host::{Document, Draft, Reader, SemanticDocument, Upload, Windows};
pub use kinds::{Analyzer, Chunker, Extractor, Formatter, SemanticChunker};
pub use results::{Piece, Plan, Search, Source};
pub use settings::{NoSettings, Settings};
pub use types::{Attr, CodedUnit, Page, Span, Unit};
