//! Asks a server the questions, through the public protocol, and measures what comes back.

use super::super::client::Client;
use super::super::{CliError, console};
use super::bootstrap::Bootstrap;
use super::metrics::{DEPTH, Found, first_rank, of_answer, of_search};
use super::questions::Question;
use super::report::{Asked, Citations, Run};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Passages and characters of them that a report shows.
const SHOWN: (usize, usize) = (5, 400);
/// How often a server that is full is asked again.
const ATTEMPTS: u32 = 6;
/// The longest wait between two attempts, in seconds.
const LONGEST_WAIT: u64 = 30;

/// One way to ask the questions.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Tells it from the others.
    pub label: String,
    /// The collection.
    pub collection: String,
    /// What to spend; `None` leaves it to the server.
    pub mode: Option<&'static str>,
    /// Which searches; `None` leaves it to the mode.
    pub search_type: Option<&'static str>,
    /// Whether a cross-encoder orders the results; `None` leaves it to the mode.
    pub rerank: Option<bool>,
}

/// The requests that are measured beside the search.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Whether answers are asked for.
    pub answers: bool,
    /// Passages that an answer may look at.
    pub max_results: u32,
}

/// That every document which a question is about is in the collection: else it would be measured as not found.
///
/// # Errors
/// [`CliError::Usage`] that names what is missing, and those of the server.
pub async fn check_documents(client: &Client, collection: &str, questions: &[Question]) -> Result<(), CliError> {
    let mut there: BTreeSet<String> = BTreeSet::new();
    for page in 0.. {
        let query = [
            ("collection_name", collection.to_owned()),
            ("limit", "100".to_owned()),
            ("offset", (page * 100).to_string()),
        ];
        let list = client.get(&["documents"], &query).await?;
        for document in list.get("documents").and_then(Value::as_array).into_iter().flatten() {
            there.extend(["filename", "document_id"].map(|key| text(document, key)));
        }
        if list.pointer("/pagination/has_next") != Some(&Value::Bool(true)) {
            break;
        }
    }
    let named = questions
        .iter()
        .flat_map(|question| &question.gold)
        .map(|gold| gold.document.as_str());
    let missing: BTreeSet<&str> = named.filter(|name| !there.contains(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = missing.iter().take(5).map(|name| console::shorten(name, 80)).collect();
    let more = if missing.len() > first.len() { ", ..." } else { "" };
    Err(CliError::Usage(format!(
        "the questions are about {} that the collection {collection} does not hold: {}{more}",
        console::count(missing.len() as u64, "document"),
        first.join(", ")
    )))
}

/// Asks all questions, one after the other.
///
/// # Errors
/// Those of the server: a question that cannot be asked makes the whole run worthless.
pub async fn run(client: &Client, variant: &Variant, questions: &[Question], scope: Scope, bootstrap: Bootstrap) -> Result<Run, CliError> {
    let bar = progress(&variant.label, questions.len());
    // The first request pays for what the server loads when it is needed.
    if let Some(first) = questions.first() {
        search(client, variant, &first.text).await?;
    }
    let mut asked = Vec::with_capacity(questions.len());
    for question in questions {
        asked.push(ask(client, variant, question, scope).await?);
        bar.inc(1);
    }
    let citations = check_citations(client, &mut asked).await?;
    bar.finish_and_clear();
    Ok(Run::new(
        variant.label.clone(),
        variant.collection.clone(),
        asked,
        citations,
        bootstrap,
    ))
}

fn progress(label: &str, questions: usize) -> ProgressBar {
    let target = match console::shows_progress() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(questions as u64), target);
    let colour = if console::colours() { "{bar:24.cyan/dim}" } else { "{bar:24}" };
    let template = format!("{{prefix:36}} {colour} {{pos}} of {{len}} questions, {{elapsed}}");
    // The template is a literal; should it be wrong, a plain bar will do.
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("█▌░"));
    bar.set_prefix(console::shorten(label, 36));
    bar
}

async fn ask(client: &Client, variant: &Variant, question: &Question, scope: Scope) -> Result<Asked, CliError> {
    let mut asked = Asked {
        id: question.id.clone(),
        has_gold: !question.gold.is_empty(),
        ..Asked::default()
    };
    if asked.has_gold {
        let (mut found, seconds) = search(client, variant, &question.text).await?;
        asked.search_seconds = Some(seconds);
        asked.rank = first_rank(&question.gold, &found);
        asked.values = of_search(question, &found);
        found.truncate(SHOWN.0);
        for passage in &mut found {
            passage.content = console::shorten(&passage.content, SHOWN.1);
        }
        asked.found = found;
    }
    if scope.answers {
        let mut body = json!({ "query": question.text, "collection_name": variant.collection, "max_results": scope.max_results });
        set(&mut body, "mode", variant.mode);
        let (answer, seconds) = post(client, "query", &body).await?;
        let cited = list(&answer, "sources", "confidence");
        let response = text(&answer, "response");
        asked.answer_seconds = Some(seconds);
        asked.values.extend(of_answer(question, &response, &cited));
        let hits = |found: &Found| question.gold.iter().any(|gold| found.finds(gold));
        asked.cited = cited.into_iter().map(|found| (found.clone(), hits(&found))).collect();
        asked.answer = Some(response);
    }
    Ok(asked)
}

async fn search(client: &Client, variant: &Variant, question: &str) -> Result<(Vec<Found>, f64), CliError> {
    let mut body = json!({ "query": question, "collection_name": variant.collection, "limit": DEPTH });
    set(&mut body, "mode", variant.mode);
    set(&mut body, "search_type", variant.search_type);
    set(&mut body, "rerank", variant.rerank);
    let (found, seconds) = post(client, "search", &body).await?;
    Ok((list(&found, "results", "relevance_score"), seconds))
}

fn set<T: Into<Value>>(body: &mut Value, key: &str, value: Option<T>) {
    if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
        object.insert(key.to_owned(), value.into());
    }
}

/// The answer, and the seconds that it took. A server that is full says when to come back; that wait does not count.
async fn post(client: &Client, path: &str, body: &Value) -> Result<(Value, f64), CliError> {
    let mut attempt = 1;
    loop {
        let begun = Instant::now();
        match client.post(&[path], body).await {
            Err(CliError::Server {
                retry_after: Some(seconds),
                ..
            }) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(Duration::from_secs(seconds.clamp(1, LONGEST_WAIT))).await;
            }
            Err(error) => return Err(error),
            Ok(answer) => return Ok((answer, begun.elapsed().as_secs_f64())),
        }
    }
}

fn list(answer: &Value, key: &str, score: &str) -> Vec<Found> {
    let items = answer.get(key).and_then(Value::as_array).into_iter().flatten();
    items
        .map(|item| {
            let at = item.get("metadata").unwrap_or(&Value::Null);
            let number = |key: &str| at.get(key).and_then(Value::as_u64);
            Found {
                source: text(at, "source"),
                document_id: text(at, "document_id"),
                page: number("page").and_then(|page| u32::try_from(page).ok()),
                start: number("start_char").unwrap_or_default(),
                end: number("end_char").unwrap_or_default(),
                content: text(item, "content"),
                score: item.get(score).and_then(Value::as_f64).unwrap_or_default(),
            }
        })
        .collect()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Compares every quotation with the text of its document. One document's text is in memory at a time.
async fn check_citations(client: &Client, asked: &mut [Asked]) -> Result<Citations, CliError> {
    let mut of_document: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (question, asked) in asked.iter().enumerate() {
        for (quotation, (found, _)) in asked.cited.iter().enumerate() {
            of_document
                .entry(found.document_id.clone())
                .or_default()
                .push((question, quotation));
        }
    }
    let mut exact: BTreeMap<usize, usize> = BTreeMap::new();
    for (document, quotations) in of_document {
        let text = client.text(&["documents", &document, "text"]).await?;
        let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let cut = |at: u64| usize::try_from(at).ok().and_then(|at| cuts.get(at).copied());
        for (question, quotation) in quotations {
            let found = asked.get(question).and_then(|asked| asked.cited.get(quotation));
            let same = found.is_some_and(|(found, _)| {
                let range = cut(found.start).zip(cut(found.end)).and_then(|(start, end)| text.get(start..end));
                range == Some(found.content.as_str())
            });
            *exact.entry(question).or_default() += usize::from(same);
        }
    }
    let mut sum = Citations::default();
    for (question, asked) in asked.iter_mut().enumerate().filter(|(_, asked)| !asked.cited.is_empty()) {
        let exact = exact.get(&question).copied().unwrap_or_default();
        sum.total += asked.cited.len();
        sum.exact += exact;
        sum.with_page += asked.cited.iter().filter(|(found, _)| found.page.is_some()).count();
        let share = exact as f64 / asked.cited.len() as f64;
        asked.values.insert("exact_citations".to_owned(), share);
    }
    Ok(sum)
}
