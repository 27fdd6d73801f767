//! The host's document as [`Document`](crate::document::Document).

/// Makes `Host`, which gives the contract's document handle the face that this crate works with, `ours` and `theirs`, which
/// turn spans, and `piece`, which turns a chunk. Stands in the module where `wit_bindgen::generate!` made the bindings of a chunker's world.
#[macro_export]
macro_rules! host_document {
    () => {
        /// The host's document, and the kinds of its units once they are known.
        struct Host<'a>(&'a ibid::plugin::document::Doc, std::cell::OnceCell<Vec<String>>);

        impl<'a> Host<'a> {
            fn new(document: &'a ibid::plugin::document::Doc) -> Self {
                Self(document, std::cell::OnceCell::new())
            }
        }

        impl $crate::document::Document for Host<'_> {
            fn len(&self) -> u32 {
                self.0.len()
            }

            fn text(&self, at: $crate::document::Span) -> String {
                self.0.text(theirs(at))
            }

            fn units(&self, within: $crate::document::Span) -> Vec<$crate::document::Unit> {
                let kinds = self.1.get_or_init(|| self.0.unit_kinds());
                let units = self.0.coded_units(theirs(within));
                let unit = |unit: ibid::plugin::types::CodedUnit| {
                    let kind = kinds.get(unit.kind as usize).map_or("", String::as_str);
                    // No cut is made inside a row.
                    (kind != "table-cell").then(|| $crate::document::Unit {
                        at: ours(unit.at),
                        kind: $crate::document::Kind::of(kind, unit.level),
                        title: unit.title.map(ours),
                    })
                };
                units.into_iter().filter_map(unit).collect()
            }

            fn pages(&self, within: $crate::document::Span) -> Vec<$crate::document::Span> {
                self.0.pages(theirs(within)).into_iter().map(|page| ours(page.at)).collect()
            }

            fn count(&self, spans: &[$crate::document::Span]) -> Vec<u32> {
                let spans: Vec<ibid::plugin::types::Span> = spans.iter().copied().map(theirs).collect();
                ibid::plugin::tokens::count_spans(self.0, &spans)
            }
        }

        fn piece(chunk: $crate::document::Chunk) -> exports::ibid::plugin::chunking::Piece {
            exports::ibid::plugin::chunking::Piece {
                at: theirs(chunk.at),
                context: chunk.context.into_iter().map(theirs).collect(),
                attrs: Vec::new(),
            }
        }

        fn ours(at: ibid::plugin::types::Span) -> $crate::document::Span {
            $crate::document::Span {
                start: at.start,
                end: at.end,
            }
        }

        fn theirs(at: $crate::document::Span) -> ibid::plugin::types::Span {
            ibid::plugin::types::Span {
                start: at.start,
                end: at.end,
            }
        }
    };
}
