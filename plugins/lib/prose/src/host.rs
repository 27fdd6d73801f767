//! Adapts the host's document to the trait [`Document`].

use crate::document::{Document, Kind, Span, Unit};
use ibid_plugin::CodedUnit;
use std::cell::OnceCell;

/// The host's document, with the kinds of its units once they are known.
pub struct Host<'a, D> {
    document: &'a D,
    kinds: OnceCell<Vec<String>>,
}

impl<'a, D: ibid_plugin::Document> Host<'a, D> {
    /// Wraps the document of a call.
    pub fn new(document: &'a D) -> Self {
        Self {
            document,
            kinds: OnceCell::new(),
        }
    }
}

impl<D: ibid_plugin::Document> Document for Host<'_, D> {
    fn len(&self) -> u32 {
        self.document.len()
    }

    fn text(&self, at: Span) -> String {
        self.document.text(at)
    }

    fn units(&self, within: Span) -> Vec<Unit> {
        let kinds = self.kinds.get_or_init(|| self.document.unit_kinds());
        let units = self.document.coded_units(within);
        let unit = |unit: CodedUnit| {
            let kind = kinds.get(unit.kind as usize).map_or("", String::as_str);
            // Rows are never divided.
            (kind != "table-cell").then(|| Unit {
                at: unit.at,
                kind: Kind::of(kind, unit.level),
                title: unit.title,
            })
        };
        units.into_iter().filter_map(unit).collect()
    }

    fn pages(&self, within: Span) -> Vec<Span> {
        self.document.pages(within).into_iter().map(|page| page.at).collect()
    }

    fn count(&self, spans: &[Span]) -> Vec<u32> {
        self.document.count_spans(spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_plugin::testing::Text;

    #[test]
    fn units_have_their_kinds_and_cells_are_omitted() {
        let text = Text::new("Fees\n\nbasic 12")
            .with_unit("heading", 2, "Fees")
            .with_unit("table-row", 0, "basic 12")
            .with_unit("table-cell", 0, "basic");
        let host = Host::new(&text);
        let kinds: Vec<Kind> = host.units(text.span()).iter().map(|unit| unit.kind).collect();
        assert_eq!(kinds, [Kind::Heading(2), Kind::Row]);
        assert_eq!((host.len(), host.count(&[text.span()])), (14, vec![3]));
    }
}
