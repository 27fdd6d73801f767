//! The host functions of chunkers and of all guests: the log, the document, and the token counter.

use super::bindings::{import, to_guest};
use super::bulk::{CodedUnits, Kinds, List, Text, Units};
use super::state::{State, Stop};
use crate::inspect::offered;
use ibid_types::document::{Document, Span};
use import::types;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

/// Text is counted in parts of about this many bytes, which end after white space. The deadline is checked between them: about every 25 ms
/// of tokenizing.
const COUNTED_BYTES: usize = 64 * 1024;
/// Spans that are counted at once.
const COUNTED_SPANS: usize = 1_024;

/// Counts tokens as the collection's embedder does, without special tokens.
///
/// Called on blocking threads, concurrently.
pub trait TokenCounter: Send + Sync {
    /// Counts the tokens of a text.
    fn count(&self, text: &str) -> u32;

    /// Counts the tokens of each of several texts, in order. Override it where a batch is cheaper.
    fn count_all(&self, texts: &[&str]) -> Vec<u32> {
        texts.iter().map(|text| self.count(text)).collect()
    }
}

/// Computes vectors as the collection's embedder does, for chunkers that were granted `embed`.
///
/// Called on blocking threads, concurrently.
pub trait TextEmbedder: Send + Sync {
    /// Returns a vector of length 1 for each text, in order. May block for as long as it takes, but must call `proceed` every few
    /// milliseconds, and stop when that returns false.
    ///
    /// # Errors
    /// A sentence for people, if the texts cannot be embedded now.
    fn embed(&self, texts: Vec<String>, proceed: &dyn Fn() -> bool) -> std::result::Result<Vec<Vec<f32>>, String>;
}

/// The services that a chunker's call uses besides the document.
#[derive(Clone)]
pub struct Provided {
    /// Counts tokens.
    pub tokens: Arc<dyn TokenCounter>,
    /// Computes vectors, if the pipeline grants it.
    pub embedder: Option<Arc<dyn TextEmbedder>>,
}

impl Provided {
    /// Makes the services of a chunker without grants.
    pub fn tokens(tokens: Arc<dyn TokenCounter>) -> Self {
        Self { tokens, embedder: None }
    }
}

/// The type behind a guest's `doc` handle. A call has one document, so the handle carries nothing.
pub enum Doc {}

/// The spans and bytes that one call of a plugin may have embedded: the sentences of a 1,000-page report. They also bound the memory of the
/// host: 20,000 vectors of 384 numbers are 31 MB.
#[derive(Debug, Clone, Copy)]
struct Embeddable {
    spans: usize,
    bytes: usize,
}

impl Default for Embeddable {
    fn default() -> Self {
        Self {
            spans: 20_000,
            bytes: 8 << 20,
        }
    }
}

impl Embeddable {
    /// Takes the amount of a host call, if that much is left.
    fn take(&mut self, spans: usize, bytes: usize) -> bool {
        match (self.spans.checked_sub(spans), self.bytes.checked_sub(bytes)) {
            (Some(spans), Some(bytes)) => {
                *self = Self { spans, bytes };
                true
            }
            _ => false,
        }
    }
}

/// A document as a guest sees it.
pub struct View {
    document: Arc<Document>,
    tokens: Arc<dyn TokenCounter>,
    embedder: Option<Arc<dyn TextEmbedder>>,
    /// What the call may still have embedded.
    embeddable: Embeddable,
    /// For each unit, the furthest end of it and those before it; computed on first use. Units nest, so one that starts long before a
    /// window may reach into it.
    reach: Option<Vec<u32>>,
    /// The kinds; computed on first use.
    kinds: Option<Kinds>,
}

impl View {
    pub fn new(document: Arc<Document>, provided: Provided) -> Self {
        Self {
            document,
            tokens: provided.tokens,
            embedder: provided.embedder,
            embeddable: Embeddable::default(),
            reach: None,
            kinds: None,
        }
    }

    /// Returns the range of text for a guest's span: ends past the text are clamped, ends inside a character are moved down.
    fn range(&self, at: Span) -> Range<usize> {
        let text = &self.document.text;
        let end = text.floor_char_boundary(at.end as usize);
        text.floor_char_boundary(at.start as usize).min(end)..end
    }

    fn text(&self, at: Span) -> &str {
        // The usual case.
        at.of(&self.document.text)
            .unwrap_or_else(|| self.document.text.get(self.range(at)).unwrap_or_default())
    }

    /// Returns the units that share a byte with a window.
    fn units(&mut self, within: Span) -> Units {
        let units = &self.document.units;
        let reach = self.reach.get_or_insert_with(|| {
            let mut furthest = 0;
            units
                .iter()
                .map(|unit| {
                    furthest = unit.at.end.max(furthest);
                    furthest
                })
                .collect()
        });
        let first = reach.partition_point(|end| *end <= within.start);
        let after = units.partition_point(|unit| unit.at.start < within.end);
        Units {
            document: self.document.clone(),
            // A reversed window contains nothing.
            range: if within.start <= within.end { first..after } else { 0..0 },
            within,
        }
    }

    /// Returns the same, with their kinds as numbers.
    fn coded_units(&mut self, within: Span) -> CodedUnits {
        CodedUnits {
            kinds: self.kinds().codes.clone(),
            units: self.units(within),
        }
    }

    fn kinds(&mut self) -> &Kinds {
        self.kinds.get_or_insert_with(|| Kinds::of(&self.document))
    }

    fn pages(&self, within: Span) -> Vec<types::Page> {
        let pages = &self.document.pages;
        let first = pages.partition_point(|page| page.at.end <= within.start);
        let after = pages.partition_point(|page| page.at.start < within.end);
        let pages = pages
            .get(first..after)
            .unwrap_or_default()
            .iter()
            .filter(|page| page.at.overlaps(within));
        pages
            .map(|page| types::Page {
                at: page.at.into(),
                number: page.number,
                label: page.label.clone(),
            })
            .collect()
    }
}

impl import::types::Host for State {}

impl import::log::Host for State {
    fn write(&mut self, level: String, message: String) -> Result<()> {
        self.count_host_call()?;
        self.log.write(&level, message);
        Ok(())
    }
}

/// Adds the document's functions. By hand, since the generated bindings copy everything twice.
pub fn add_document(linker: &mut Linker<State>) -> Result<()> {
    type Store<'a> = StoreContextMut<'a, State>;
    let mut document = linker.instance(&offered("document"))?;
    document.resource("doc", ResourceType::host::<Doc>(), |_, _| Ok(()))?;
    document.func_wrap("[method]doc.len", |mut store: Store<'_>, (_,): (Resource<Doc>,)| {
        // The draft that the text was written to was no longer than that.
        Ok((u32::try_from(store.data_mut().view()?.document.text.len()).unwrap_or(u32::MAX),))
    })?;
    document.func_wrap("[method]doc.text", |mut store: Store<'_>, (_, at): (Resource<Doc>, types::Span)| {
        let view = store.data_mut().view()?;
        Ok((Text(view.document.clone(), view.range(at.into())),))
    })?;
    document.func_wrap(
        "[method]doc.units",
        |mut store: Store<'_>, (_, within): (Resource<Doc>, types::Span)| Ok((List(store.data_mut().view()?.units(within.into())),)),
    )?;
    document.func_wrap(
        "[method]doc.coded-units",
        |mut store: Store<'_>, (_, within): (Resource<Doc>, types::Span)| Ok((List(store.data_mut().view()?.coded_units(within.into())),)),
    )?;
    document.func_wrap("[method]doc.unit-kinds", |mut store: Store<'_>, (_,): (Resource<Doc>,)| {
        Ok((store.data_mut().view()?.kinds().names.clone(),))
    })?;
    document.func_wrap(
        "[method]doc.pages",
        |mut store: Store<'_>, (_, within): (Resource<Doc>, types::Span)| Ok((store.data_mut().view()?.pages(within.into()),)),
    )?;
    document.func_wrap("[method]doc.attrs", |mut store: Store<'_>, (_,): (Resource<Doc>,)| {
        Ok((to_guest(&store.data_mut().view()?.document.attrs),))
    })?;
    let mut tokens = linker.instance(&offered("tokens"))?;
    tokens.func_wrap("count", |mut store: Store<'_>, (text,): (String,)| {
        Ok((store.data_mut().count(&text)?,))
    })?;
    tokens.func_wrap(
        "count-spans",
        |mut store: Store<'_>, (_, spans): (Resource<Doc>, List<Vec<Span>>)| Ok((store.data_mut().count_spans(&spans.0)?,)),
    )
}

impl State {
    fn count(&mut self, text: &str) -> Result<u32, Stop> {
        let tokens = self.view()?.tokens.clone();
        count_long(&*tokens, text, || self.clock.check())
    }

    fn count_spans(&mut self, spans: &[Span]) -> Result<Vec<u32>, Stop> {
        let clock = self.clock.clone();
        let view = self.view()?;
        let mut counts = Vec::with_capacity(spans.len());
        let mut batch = Vec::with_capacity(spans.len().min(COUNTED_SPANS));
        let mut batched = 0;
        for span in spans {
            let text = view.text(*span);
            if !batch.is_empty() && (batch.len() == COUNTED_SPANS || batched + text.len() > COUNTED_BYTES) {
                count_batch(&*view.tokens, &mut batch, &mut counts)?;
                batched = 0;
                clock.check()?;
            }
            if text.len() > COUNTED_BYTES {
                counts.push(count_long(&*view.tokens, text, || clock.check())?);
            } else {
                batched += text.len();
                batch.push(text);
            }
        }
        count_batch(&*view.tokens, &mut batch, &mut counts)?;
        Ok(counts)
    }
}

impl import::embed::Host for State {
    fn neighbour_similarity(&mut self, _: Resource<Doc>, spans: Vec<types::Span>) -> Result<std::result::Result<Vec<f32>, types::Failure>> {
        let started = Instant::now();
        let clock = self.clock.clone();
        let view = self.view()?;
        let Some(embedder) = view.embedder.clone() else {
            return Err(Stop::Host("`embed` was not granted".into()).into());
        };
        if spans.len() < 2 {
            return Ok(Ok(Vec::new()));
        }
        let bytes = spans
            .iter()
            .map(|span| view.text((*span).into()).len())
            .fold(0, usize::saturating_add);
        if !view.embeddable.take(spans.len(), bytes) {
            let message = "One call may have 20,000 spans and 8 MiB of text embedded: use longer spans, or a chunker without `embed`.";
            return Ok(Err(failure("LIMIT_EXCEEDED", message)));
        }
        let texts = spans.iter().map(|span| view.text((*span).into()).to_owned()).collect::<Vec<_>>();
        let wanted = texts.len();
        let vectors = embedder.embed(texts, &|| !clock.is_cancelled());
        // The wait for the embedder is not the guest's fault: its deadline moves by as much.
        self.clock.extend(started.elapsed());
        self.clock.check()?;
        match vectors {
            Ok(vectors) if vectors.len() == wanted => Ok(Ok(vectors
                .iter()
                .zip(vectors.iter().skip(1))
                .map(|(one, next)| cosine(one, next))
                .collect())),
            Ok(vectors) => Err(Stop::Host(format!("{wanted} texts were embedded, {} vectors came back", vectors.len())).into()),
            Err(message) => Ok(Err(failure("UNAVAILABLE", &message))),
        }
    }
}

fn failure(code: &str, message: &str) -> types::Failure {
    types::Failure {
        code: code.into(),
        message: message.into(),
        at: None,
    }
}

/// Returns the cosine of two vectors of length 1, clamped because of rounding.
fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
}

fn count_batch(tokens: &dyn TokenCounter, batch: &mut Vec<&str>, counts: &mut Vec<u32>) -> Result<(), Stop> {
    let counted = tokens.count_all(batch);
    if counted.len() != batch.len() {
        return Err(Stop::Host(format!(
            "{} texts were counted, {} counts came back",
            batch.len(),
            counted.len()
        )));
    }
    counts.extend(counted);
    batch.clear();
    Ok(())
}

/// Counts a text of any length in parts. Tokenizers split at white space first, so the sum of the parts is the count of the whole, except
/// for at most one token at a cut in a text without white space.
fn count_long(tokens: &dyn TokenCounter, text: &str, mut check: impl FnMut() -> Result<(), Stop>) -> Result<u32, Stop> {
    let mut rest = text;
    let mut sum = 0_u32;
    while rest.len() > COUNTED_BYTES {
        let end = rest.floor_char_boundary(COUNTED_BYTES);
        let window = rest.get(..end).unwrap_or(rest);
        let cut = window.rfind(char::is_whitespace).filter(|cut| *cut > 0).unwrap_or(end);
        let (part, tail) = rest.split_at_checked(cut).unwrap_or((rest, ""));
        sum = sum.saturating_add(tokens.count(part));
        rest = tail;
        check()?;
    }
    Ok(sum.saturating_add(tokens.count(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_types::document::{Page, Unit};

    struct Words;

    impl TokenCounter for Words {
        fn count(&self, text: &str) -> u32 {
            text.split_whitespace().count() as u32
        }
    }

    fn view(text: &str, units: &[(u32, u32)], pages: &[(u32, u32)]) -> View {
        let unit = |&(start, end): &(u32, u32)| Unit {
            at: Span::new(start, end),
            kind: "paragraph".into(),
            level: 0,
            title: None,
        };
        let page = |(at, &(start, end)): (usize, &(u32, u32))| Page {
            at: Span::new(start, end),
            number: at as u32 + 1,
            label: None,
        };
        let document = Document {
            text: text.into(),
            units: units.iter().map(unit).collect(),
            pages: pages.iter().enumerate().map(page).collect(),
            attrs: vec![],
        };
        View::new(Arc::new(document), Provided::tokens(Arc::new(Words)))
    }

    #[test]
    fn text_never_fails() {
        let view = view("aé日b", &[], &[]); // at 0, 1, 3, 6
        let check = |start, end, expected: &str| assert_eq!(view.text(Span::new(start, end)), expected, "{start}..{end}");
        check(0, 7, "aé日b");
        check(0, u32::MAX, "aé日b");
        check(2, 5, "é");
        check(4, 5, "");
        check(6, 2, "");
        check(u32::MAX, u32::MAX, "");
    }

    #[test]
    fn units_and_pages_are_those_that_reach_into_the_window() {
        let mut view = view(
            "",
            &[(0, 100), (0, 10), (20, 30), (30, 40), (90, 95)],
            &[(0, 30), (30, 30), (30, 60)],
        );
        let mut check = |start, end, units: &[u32], pages: &[u32]| {
            let window = Span::new(start, end);
            assert_eq!(
                view.units(window).iter().map(|unit| unit.at.start).collect::<Vec<_>>(),
                units,
                "{window:?}"
            );
            assert_eq!(
                view.pages(window).iter().map(|page| page.number).collect::<Vec<_>>(),
                pages,
                "{window:?}"
            );
        };
        check(0, 5, &[0, 0], &[1]);
        check(10, 20, &[0], &[1]);
        check(25, 31, &[0, 20, 30], &[1, 2, 3]);
        check(50, 200, &[0, 90], &[3]);
        check(100, 200, &[], &[]);
        check(30, 10, &[], &[]);
    }

    #[test]
    fn long_texts_are_counted_in_parts_with_the_same_sum() {
        let text = "eins zwei drei vier fünf ".repeat(20_000);
        let mut checks = 0;
        let counted = count_long(&Words, &text, || {
            checks += 1;
            Ok(())
        });
        assert_eq!(counted, Ok(100_000));
        assert!(checks > 5);
        let stopped = count_long(&Words, &text, || Err(Stop::Cancelled));
        assert_eq!(stopped, Err(Stop::Cancelled));
        assert_eq!(count_long(&Words, &"ü".repeat(COUNTED_BYTES), || Ok(())), Ok(2));
    }
}
