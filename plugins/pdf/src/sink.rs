//! Where an extraction goes: the same calls as the `draft` of the plugin contract, so that the
//! logic can be tested and measured natively. Depends on nothing.

/// A half-open range of the text written so far, in UTF-8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset of the byte after the last one.
    pub end: u32,
}

/// A structural part of the document, as in the plugin contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Where the unit stands in the text.
    pub at: Span,
    /// `heading`, `paragraph`, `table`, `table-row` or `table-cell`.
    pub kind: &'static str,
    /// Depth of a heading, 1 (topmost) to 6; else 0.
    pub level: u8,
    /// Of a table or table row: its header rows; of a cell: what heads its column.
    pub title: Option<Span>,
}

/// Takes what an extraction finds, front to back.
pub trait Sink {
    /// Appends text; returns the length of all text so far in bytes.
    fn write(&mut self, text: &str) -> u32;
    /// Starts a page at the end of the text so far. `number` counts from 1.
    fn begin_page(&mut self, number: u32, label: Option<&str>);
    /// Adds units of text that is written, in order.
    fn add_units(&mut self, units: Vec<Unit>);
    /// Adds metadata.
    fn add_attrs(&mut self, attrs: Vec<(&'static str, String)>);
    /// Tells how much is done, from 0 to 1.
    fn progress(&mut self, done: f32);
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

/// A [`Sink`] that keeps everything in memory, for tests and measurements.
#[derive(Debug, Default)]
pub struct Collected {
    /// All text.
    pub text: String,
    /// All pages.
    pub pages: Vec<CollectedPage>,
    /// All units.
    pub units: Vec<Unit>,
    /// All metadata.
    pub attrs: Vec<(&'static str, String)>,
}

impl Collected {
    /// The text of the page with this position, counted from 0.
    pub fn page_text(&self, index: usize) -> Option<&str> {
        let start = self.pages.get(index)?.start as usize;
        let end = self.pages.get(index + 1).map_or(self.text.len(), |next| next.start as usize);
        self.text.get(start..end)
    }

    /// The text at a span.
    pub fn at(&self, span: Span) -> Option<&str> {
        self.text.get(span.start as usize..span.end as usize)
    }

    /// The value of a metadata key.
    pub fn attr(&self, key: &str) -> Option<&str> {
        self.attrs.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }
}

impl Sink for Collected {
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

    fn add_units(&mut self, units: Vec<Unit>) {
        self.units.extend(units);
    }

    fn add_attrs(&mut self, attrs: Vec<(&'static str, String)>) {
        self.attrs.extend(attrs);
    }

    fn progress(&mut self, _done: f32) {}
}
