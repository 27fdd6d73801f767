//! The host functions that guests read with: the log, the document, and the token counter.

use super::bindings::{import, to_guest};
use super::state::{State, Stop};
use crate::document::{Document, Span};
use import::types;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;

/// Text is counted in parts of about this many bytes, cut after white space, between which the
/// deadline is looked at: about 25 ms of tokenizing.
const COUNTED_BYTES: usize = 64 * 1024;
/// Spans that are counted in one go.
const COUNTED_SPANS: usize = 1_024;

/// Counts tokens as the collection's embedder does, special tokens left out.
///
/// Called on a blocking thread, from several at once.
pub trait TokenCounter: Send + Sync {
    /// Tokens of a text.
    fn count(&self, text: &str) -> u32;

    /// Tokens of each of several texts, in order. Worth overriding where a batch is cheaper.
    fn count_all(&self, texts: &[&str]) -> Vec<u32> {
        texts.iter().map(|text| self.count(text)).collect()
    }
}

/// The type behind a guest's `doc` handle. A call has one document, so the handle says nothing.
pub enum Doc {}

/// A document as a guest sees it.
pub struct View {
    document: Arc<Document>,
    tokens: Arc<dyn TokenCounter>,
    /// For each unit the furthest end of it and those before it; made on first use. Units nest, so
    /// one that starts long before a window may reach into it.
    reach: Option<Vec<u32>>,
}

impl View {
    pub fn new(document: Arc<Document>, tokens: Arc<dyn TokenCounter>) -> Self {
        Self {
            document,
            tokens,
            reach: None,
        }
    }

    /// The text at a span as guests give it: ends past the text are cut to it, ends inside a
    /// character are moved down.
    fn text(&self, at: types::Span) -> &str {
        let text = &self.document.text;
        let end = text.floor_char_boundary(at.end as usize);
        let start = text.floor_char_boundary(at.start as usize).min(end);
        text.get(start..end).unwrap_or_default()
    }

    fn units(&mut self, within: Span) -> Vec<types::Unit> {
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
        // A reversed window holds nothing.
        let candidates = units.get(first..after).filter(|_| within.start <= within.end).unwrap_or_default();
        candidates
            .iter()
            .filter(|unit| unit.at.overlaps(within))
            .map(types::Unit::from)
            .collect()
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
        self.log.write(&level, message);
        Ok(())
    }
}

impl import::document::Host for State {}

impl import::document::HostDoc for State {
    fn len(&mut self, _: Resource<Doc>) -> Result<u32> {
        // The draft that the text was written to was no longer than that.
        Ok(u32::try_from(self.view()?.document.text.len()).unwrap_or(u32::MAX))
    }

    fn text(&mut self, _: Resource<Doc>, at: types::Span) -> Result<String> {
        Ok(self.view()?.text(at).to_owned())
    }

    fn units(&mut self, _: Resource<Doc>, within: types::Span) -> Result<Vec<types::Unit>> {
        Ok(self.view()?.units(within.into()))
    }

    fn pages(&mut self, _: Resource<Doc>, within: types::Span) -> Result<Vec<types::Page>> {
        Ok(self.view()?.pages(within.into()))
    }

    fn attrs(&mut self, _: Resource<Doc>) -> Result<Vec<types::Attr>> {
        Ok(to_guest(&self.view()?.document.attrs))
    }

    fn drop(&mut self, _: Resource<Doc>) -> Result<()> {
        Ok(())
    }
}

impl import::tokens::Host for State {
    fn count(&mut self, text: String) -> Result<u32> {
        let tokens = self.view()?.tokens.clone();
        Ok(count_long(&*tokens, &text, || self.clock.check())?)
    }

    fn count_spans(&mut self, _: Resource<Doc>, spans: Vec<types::Span>) -> Result<Vec<u32>> {
        let clock = self.clock.clone();
        let view = self.view()?;
        let mut counts = Vec::with_capacity(spans.len());
        let mut batch = Vec::new();
        let mut batched = 0;
        for span in spans {
            let text = view.text(span);
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

/// Counts a text of any length in parts. Tokenizers split at white space first, so that the parts'
/// sum is the whole's count, but for at most one token at a cut in a text without any.
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
    use crate::document::{Page, Unit};

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
        View::new(Arc::new(document), Arc::new(Words))
    }

    #[test]
    fn text_never_fails() {
        let view = view("aé日b", &[], &[]); // at 0, 1, 3, 6
        let check = |start, end, expected: &str| assert_eq!(view.text(types::Span { start, end }), expected, "{start}..{end}");
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
