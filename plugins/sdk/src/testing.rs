//! The host's side in memory, for a plugin's own tests.

use crate::{Attr, CodedUnit, Document, Draft, Failure, Page, SemanticDocument, Span, Unit, Upload};

/// A document in memory.
///
/// A word counts as one token. The similarity of two spans is the share of their words that both have.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Its text.
    pub text: String,
    /// Its units, by start, wider ones first.
    pub units: Vec<Unit>,
    /// Its pages.
    pub pages: Vec<Page>,
    /// Its metadata.
    pub attrs: Vec<Attr>,
}

impl Text {
    /// Creates a document without units, pages and metadata.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Makes the first occurrence of `part` a unit.
    ///
    /// # Panics
    /// If `part` does not stand in the text.
    pub fn with_unit(mut self, kind: &str, level: u8, part: &str) -> Self {
        let start = self.text.find(part).expect("the unit's text stands in the document");
        self.units.push(Unit::new(kind, start..start + part.len()).with_level(level));
        self.units.sort_by_key(|unit| (unit.at.start, u32::MAX - unit.at.end));
        self
    }

    /// Returns the span of the whole text.
    pub fn span(&self) -> Span {
        Span::from(0..self.text.len())
    }

    /// Returns the text at a span; `None` if it is out of range or cuts a character in two, which the host would reject.
    pub fn get(&self, at: Span) -> Option<&str> {
        self.text.get(at.start as usize..at.end as usize)
    }

    fn words(&self, at: Span) -> Vec<String> {
        Document::text(self, at).split_whitespace().map(str::to_lowercase).collect()
    }
}

fn overlap(at: Span, within: Span) -> bool {
    at.start < within.end && within.start < at.end
}

impl Document for Text {
    fn len(&self) -> u32 {
        self.text.len() as u32
    }

    fn text(&self, at: Span) -> String {
        let floor = |offset: u32| self.text.floor_char_boundary(offset as usize);
        self.text.get(floor(at.start)..floor(at.end)).unwrap_or_default().to_owned()
    }

    fn units(&self, within: Span) -> Vec<Unit> {
        self.units.iter().filter(|unit| overlap(unit.at, within)).cloned().collect()
    }

    fn coded_units(&self, within: Span) -> Vec<CodedUnit> {
        let kinds = self.unit_kinds();
        let code = |unit: &Unit| CodedUnit {
            at: unit.at,
            kind: kinds.iter().position(|kind| *kind == unit.kind).unwrap_or_default() as u32,
            level: unit.level,
            title: unit.title,
        };
        self.units(within).iter().map(code).collect()
    }

    fn unit_kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = Vec::new();
        for unit in &self.units {
            if !kinds.contains(&unit.kind) {
                kinds.push(unit.kind.clone());
            }
        }
        kinds
    }

    fn pages(&self, within: Span) -> Vec<Page> {
        self.pages.iter().filter(|page| overlap(page.at, within)).cloned().collect()
    }

    fn attrs(&self) -> Vec<Attr> {
        self.attrs.clone()
    }

    fn count(&self, text: &str) -> u32 {
        text.split_whitespace().count() as u32
    }

    fn count_spans(&self, spans: &[Span]) -> Vec<u32> {
        spans.iter().map(|at| self.count(&Document::text(self, *at))).collect()
    }
}

impl SemanticDocument for Text {
    fn neighbour_similarity(&self, spans: &[Span]) -> Result<Vec<f32>, Failure> {
        let similarity = |two: &[Span]| {
            let [first, second] = two else { return 1.0 };
            let (first, second) = (self.words(*first), self.words(*second));
            let shared = first.iter().filter(|word| second.contains(word)).count();
            shared as f32 / first.len().max(second.len()).max(1) as f32
        };
        Ok(spans.windows(2).map(similarity).collect())
    }
}

/// An upload in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File(pub Vec<u8>);

impl File {
    /// Creates an upload of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl Upload for File {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        let start = self.0.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let end = self.0.len().min(start.saturating_add(length as usize));
        self.0.get(start..end).unwrap_or_default().to_vec()
    }
}

/// A page in [`Collected`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedPage {
    /// Offset of the page's first byte.
    pub start: u32,
    /// Position in the file, from 1.
    pub number: u32,
    /// The printed page label.
    pub label: Option<String>,
}

/// A draft in memory.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// All text.
    pub text: String,
    /// All pages.
    pub pages: Vec<CollectedPage>,
    /// All units.
    pub units: Vec<Unit>,
    /// All metadata.
    pub attrs: Vec<Attr>,
    /// The progress that was reported last.
    pub progress: f32,
}

impl Collected {
    /// Returns the text of the page at this position, counted from 0.
    pub fn page_text(&self, index: usize) -> Option<&str> {
        let start = self.pages.get(index)?.start as usize;
        let end = self.pages.get(index + 1).map_or(self.text.len(), |next| next.start as usize);
        self.text.get(start..end)
    }

    /// Returns the text at a span.
    pub fn at(&self, span: Span) -> Option<&str> {
        self.text.get(span.start as usize..span.end as usize)
    }

    /// Returns the first value of a metadata key.
    pub fn attr(&self, key: &str) -> Option<&str> {
        Attr::find(&self.attrs, key)
    }
}

impl Draft for Collected {
    fn write(&mut self, text: &str) -> u32 {
        self.text.push_str(text);
        self.text.len() as u32
    }

    fn begin_page(&mut self, number: u32, label: Option<&str>) {
        self.pages.push(CollectedPage {
            start: self.text.len() as u32,
            number,
            label: label.map(str::to_owned),
        });
    }

    fn add_units(&mut self, units: &[Unit]) {
        self.units.extend_from_slice(units);
    }

    fn add_attrs(&mut self, attrs: &[Attr]) {
        self.attrs.extend_from_slice(attrs);
    }

    fn progress(&mut self, done: f32) {
        self.progress = done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_answers_as_the_host_does() {
        let text = Text::new("# Éins\n\nzwei drei")
            .with_unit("paragraph", 0, "zwei drei")
            .with_unit("heading", 1, "# Éins");
        assert_eq!(
            Document::text(&text, Span { start: 0, end: 3 }),
            "# ",
            "an end in a character is moved down"
        );
        assert_eq!(Document::text(&text, Span { start: 9, end: 900 }), "zwei drei");
        assert_eq!(text.unit_kinds(), ["heading", "paragraph"]);
        let coded = text.coded_units(text.span());
        assert_eq!(
            coded.iter().map(|unit| (unit.kind, unit.level)).collect::<Vec<_>>(),
            [(0, 1), (1, 0)]
        );
        assert_eq!(text.units(Span { start: 0, end: 7 }).len(), 1);
        assert_eq!(text.count_spans(&[text.span(), Span { start: 9, end: 13 }]), [4, 1]);
    }

    #[test]
    fn neighbours_are_alike_by_their_words() {
        let text = Text::new("one two one four five");
        let spans = [0_u32..7, 8..16, 17..21].map(Span::from);
        assert_eq!(text.neighbour_similarity(&spans), Ok(vec![0.5, 0.0]));
        assert_eq!(text.neighbour_similarity(&spans[..1]), Ok(vec![]));
    }

    #[test]
    fn a_draft_keeps_what_is_written() {
        let mut draft = Collected::default();
        draft.begin_page(1, Some("i"));
        assert_eq!(draft.write("one"), 3);
        draft.begin_page(2, None);
        draft.write("two");
        draft.add_units(&[Unit::new("paragraph", 3_u32..6)]);
        draft.add_attrs(&[Attr::new("title", "Numbers")]);
        draft.progress(0.5);
        assert_eq!(
            (draft.page_text(0), draft.page_text(1), draft.page_text(2)),
            (Some("one"), Some("two"), None)
        );
        assert_eq!(
            (draft.at(draft.units[0].at), draft.attr("title"), draft.progress),
            (Some("two"), Some("Numbers"), 0.5)
        );
    }
}
