//! Runs a project's fixtures in the server's host: the implementation of `ibid plugin test`.
//!
//! Each folder in `fixtures/` is one call of the plugin:
//!
//! * `input.*`: an extractor's upload; a chunker's text, in which a form feed ends a page; an analyzer's question; for a
//!   formatter, `input.json` with `sources` and `statements`.
//! * `config.json` (optional): the settings.
//! * `attrs.json` (optional): an object of attributes (a document's metadata, a question's `mode`).
//! * `units.json` (optional): a chunker's headings, tables and so on, each as `{"kind", "level", "text"}`, in order; each text
//!   must be in the input. Without this file, blank lines separate paragraphs.
//! * `expected.txt`: the expected outcome, one item a line, as `--bless` writes it.

use super::AuthorError;
use super::try_plugin::{self, Input};
use ibid_plugin_host::Kind;
use ibid_plugin_host::{Host, Plugin, Source};
use ibid_plugin_host::{PluginError, Reason};
use ibid_types::document::{Attrs, Document, Page, Span, Unit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOLDER: &str = "fixtures";
const EXPECTED: &str = "expected.txt";

/// The result of one fixture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixtureReport {
    /// The folder's name.
    pub name: String,
    /// The result.
    pub end: FixtureEnd,
}

/// The result of a fixture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixtureEnd {
    /// The outcome is the expected one.
    Passed,
    /// The outcome was written as the expected one.
    Blessed,
    /// The outcome differs: the lines that differ, `-` for expected ones and `+` for actual ones.
    Differs(String),
    /// There is no expected outcome yet; the actual one.
    Unblessed(String),
    /// The plugin failed; the host's message.
    Broken(String),
}

impl FixtureEnd {
    /// Returns whether the fixture passed.
    pub fn is_good(&self) -> bool {
        matches!(self, FixtureEnd::Passed | FixtureEnd::Blessed)
    }
}

/// Runs the fixtures of the project in `dir`, in the order of their names. With `bless`, writes each outcome as the expected one.
///
/// A failure that the plugin reports is an outcome; a crash or an exceeded limit is not.
///
/// # Errors
/// A project without fixtures, a file that is unreadable or invalid, or an error of the host.
pub async fn test(host: &Host, plugin: &Plugin, dir: &Path, bless: bool) -> Result<Vec<FixtureReport>, AuthorError> {
    let folder = dir.join(FOLDER);
    let mut names: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect(),
        Err(_) => Vec::new(),
    };
    if names.is_empty() {
        return Err(AuthorError::Source {
            path: folder,
            message: "there is no fixture; create a folder in it with an input file, then run with --bless".into(),
        });
    }
    names.sort();
    let mut reports = Vec::with_capacity(names.len());
    for path in names {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let input = read_fixture(&path, plugin.kind())?;
        let config = match optional(&path.join("config.json"))? {
            Some(text) => text,
            None => "{}".to_owned(),
        };
        let listing = match try_plugin::run(host, plugin, &config, &input).await {
            Ok(outcome) => Ok(outcome.listing),
            Err(PluginError {
                reason: Reason::Failure { code, message, at },
                ..
            }) => Ok(match at {
                Some(at) => format!("failure {code} {message:?} at {}..{}\n", at.start, at.end),
                None => format!("failure {code} {message:?}\n"),
            }),
            Err(error) => Err(error.to_string()),
        };
        let end = match listing {
            Err(broken) => FixtureEnd::Broken(broken),
            Ok(listing) => judge(&path.join(EXPECTED), listing, bless)?,
        };
        reports.push(FixtureReport { name, end });
    }
    Ok(reports)
}

fn judge(path: &Path, listing: String, bless: bool) -> Result<FixtureEnd, AuthorError> {
    let expected = optional(path)?;
    if expected.as_ref() == Some(&listing) {
        return Ok(FixtureEnd::Passed);
    }
    if bless {
        fs::write(path, &listing).map_err(AuthorError::io(path))?;
        return Ok(FixtureEnd::Blessed);
    }
    Ok(match expected {
        None => FixtureEnd::Unblessed(listing),
        Some(expected) => {
            let diff = TextDiff::from_lines(&expected, &listing);
            FixtureEnd::Differs(diff.unified_diff().context_radius(2).header("expected", "outcome").to_string())
        }
    })
}

/// Returns the project's largest fixture input for a plugin of this kind; `None` if it has no fixtures.
///
/// # Errors
/// As [`test`].
pub fn largest_input(dir: &Path, kind: Kind) -> Result<Option<Input>, AuthorError> {
    let folders = fs::read_dir(dir.join(FOLDER))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let inputs = folders.filter_map(|folder| {
        let input = input_file(&folder)?;
        Some((fs::metadata(&input).ok()?.len(), folder))
    });
    let largest = inputs.max();
    largest.map(|(_, folder)| read_fixture(&folder, kind)).transpose()
}

fn input_file(dir: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == "input"))
}

fn read_fixture(dir: &Path, kind: Kind) -> Result<Input, AuthorError> {
    let path = input_file(dir).ok_or_else(|| AuthorError::Source {
        path: dir.to_owned(),
        message: "it has no file `input.*`".into(),
    })?;
    read_input(&path, kind)
}

/// Reads a plugin's input from a file, and from the files beside it: `attrs.json`, `units.json`.
///
/// # Errors
/// A file that is unreadable or invalid.
pub fn read_input(path: &Path, kind: Kind) -> Result<Input, AuthorError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let bytes = fs::read(path).map_err(AuthorError::io(path))?;
    if kind == Kind::Extractor {
        return Ok(Input::Upload(Arc::new(bytes)));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid(path, "it is not UTF-8"))?;
    let attrs: BTreeMap<String, String> = optional_json(&dir.join("attrs.json"))?.unwrap_or_default();
    let attrs: Attrs = attrs.into_iter().collect();
    match kind {
        Kind::Extractor | Kind::Chunker => {
            let units = match optional_json::<Vec<UnitSource>>(&dir.join("units.json"))? {
                Some(given) => place(&given, &text).map_err(|message| invalid(&dir.join("units.json"), &message))?,
                None => try_plugin::paragraphs(&text),
            };
            let pages = if text.contains('\u{c}') { pages(&text) } else { Vec::new() };
            Ok(Input::Document(Arc::new(Document { text, units, pages, attrs })))
        }
        Kind::Analyzer => Ok(Input::Question {
            query: text.trim_end_matches(['\r', '\n']).to_owned(),
            attrs,
        }),
        Kind::Formatter => {
            let given: AnswerSource = serde_json::from_str(&text).map_err(|error| invalid(path, &error.to_string()))?;
            given.input().map_err(|message| invalid(path, &message))
        }
    }
}

/// A unit in `units.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitSource {
    kind: String,
    #[serde(default)]
    level: u8,
    text: String,
    title: Option<String>,
}

/// Finds each unit's text at or after the start of the previous one.
fn place(given: &[UnitSource], text: &str) -> Result<Vec<Unit>, String> {
    let mut from = 0;
    let find = |wanted: &str, from: usize| {
        let at = text.get(from..).and_then(|rest| rest.find(wanted)).map(|at| at + from);
        at.map(|at| Span::new(at as u32, (at + wanted.len()) as u32))
            .ok_or_else(|| format!("{wanted:?} is not in the input, or not in this order"))
    };
    let mut units = Vec::with_capacity(given.len());
    for unit in given {
        let at = find(&unit.text, from)?;
        from = at.start as usize;
        units.push(Unit {
            at,
            kind: unit.kind.clone(),
            level: unit.level,
            title: unit.title.as_deref().map(|title| find(title, 0)).transpose()?,
        });
    }
    Ok(units)
}

fn pages(text: &str) -> Vec<Page> {
    let mut start = 0;
    text.split_inclusive('\u{c}')
        .zip(1..)
        .map(|(page, number)| {
            let at = Span::new(start as u32, (start + page.len()) as u32);
            start += page.len();
            Page { at, number, label: None }
        })
        .collect()
}

/// A formatter's input in `input.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerSource {
    sources: Vec<GivenSource>,
    /// For each statement the numbers, from 1, of the sources that support it.
    statements: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenSource {
    name: String,
    page: Option<u32>,
    #[serde(default)]
    section: Vec<String>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

impl AnswerSource {
    fn input(self) -> Result<Input, String> {
        let count = self.sources.len();
        let sources = (1..).zip(self.sources).map(|(number, source)| Source {
            citation_id: number,
            document_id: format!("doc_{number}"),
            name: source.name,
            at: Span::new(0, 1),
            page: source.page,
            section: source.section,
            attrs: source.attrs.into_iter().collect(),
        });
        let index = |number: usize| match number.checked_sub(1) {
            Some(index) if index < count => Ok(index),
            _ => Err(format!("a statement names source {number}, and there are {count}")),
        };
        let statements = self.statements.into_iter();
        Ok(Input::Answer {
            sources: sources.collect(),
            statements: statements
                .map(|numbers| numbers.into_iter().map(index).collect())
                .collect::<Result<_, _>>()?,
        })
    }
}

fn invalid(path: &Path, message: &str) -> AuthorError {
    AuthorError::Source {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn optional(path: &Path) -> Result<Option<String>, AuthorError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AuthorError::io(path)(error)),
    }
}

fn optional_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AuthorError> {
    optional(path)?
        .map(|text| serde_json::from_str(&text).map_err(|error| invalid(path, &error.to_string())))
        .transpose()
}
