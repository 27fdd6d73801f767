//! Reads the text of a document, or of its footnotes: WordprocessingML (ECMA-376 Part 1, 17).

use crate::styles::{Meaning, Styles, heading_level, item_level};
use crate::xml::{Element, Node};
use blocks::Writer;

/// Elements that are skipped with their content: deleted text, the instructions of fields, former formatting, and the fallbacks of
/// drawings.
const LEFT_OUT: [&str; 16] = [
    "del",
    "moveFrom",
    "delText",
    "instrText",
    "delInstrText",
    "Fallback",
    "rt",
    "pPrChange",
    "rPrChange",
    "tblPrChange",
    "tblGridChange",
    "trPrChange",
    "tcPrChange",
    "sectPrChange",
    "numberingChange",
    "tblPrExChange",
];

/// An open paragraph.
#[derive(Debug, Default)]
struct Paragraph {
    meaning: Meaning,
    in_properties: bool,
    in_numbering: bool,
    /// Whether the paragraph states that it is not a list item.
    is_no_item: bool,
}

/// An open table. A table in a cell of another one is text of that cell.
#[derive(Debug)]
struct Table {
    /// The number of units before it.
    first: usize,
    has_header: bool,
    rows: usize,
    cells: usize,
}

/// Reads a part.
pub struct Body<'a> {
    styles: &'a Styles,
    /// Text and units.
    pub writer: Writer,
    /// The offsets where pages start, from Word's last layout, without the first page's.
    pub page_breaks: Vec<usize>,
    /// The page breaks in the open block: offsets in it.
    breaks_in_block: Vec<usize>,
    paragraphs: Vec<Paragraph>,
    table: Option<Table>,
    tables: usize,
    runs: usize,
    in_text: usize,
    /// The depth within a skipped element.
    left_out: usize,
    /// Whether a document's body was seen.
    pub is_document: bool,
    /// In notes, whether the open one is a separator between notes and text.
    is_separator: bool,
}

impl<'a> Body<'a> {
    /// Makes a reader at the start of a part. It appends to `writer`.
    pub fn new(styles: &'a Styles, writer: Writer) -> Self {
        Self {
            styles,
            writer,
            page_breaks: Vec::new(),
            breaks_in_block: Vec::new(),
            paragraphs: Vec::new(),
            table: None,
            tables: 0,
            runs: 0,
            in_text: 0,
            left_out: 0,
            is_document: false,
            is_separator: false,
        }
    }

    /// Processes the next node.
    pub fn take(&mut self, node: Node<'_>) {
        match node {
            Node::Start { element, is_empty } if self.left_out > 0 || (!is_empty && LEFT_OUT.contains(&element.name())) => {
                self.left_out += usize::from(!is_empty);
            }
            Node::End(_) if self.left_out > 0 => self.left_out -= 1,
            Node::Start { element, is_empty } => {
                let name = element.name();
                self.start(name, &element);
                if is_empty {
                    self.end(name);
                }
            }
            Node::End(name) => self.end(name),
            Node::Text(text) if self.left_out == 0 && self.in_text > 0 && !self.is_separator => self.writer.push(text, false),
            Node::Text(_) => {}
        }
    }

    fn start(&mut self, name: &str, element: &Element<'_>) {
        match name {
            "document" => self.is_document = true,
            "p" => {
                // A text box is inside a paragraph.
                if self.table.is_none() {
                    self.end_block();
                }
                self.paragraphs.push(Paragraph::default());
            }
            "tbl" => {
                if self.tables == 0 {
                    self.end_block();
                    self.table = Some(Table {
                        first: self.writer.units.len(),
                        has_header: false,
                        rows: 0,
                        cells: 0,
                    });
                }
                self.tables += 1;
            }
            "tr" => self.table.iter_mut().filter(|_| self.tables == 1).for_each(|table| table.cells = 0),
            "tc" if self.tables == 1 => {
                let Some(table) = &mut self.table else { return };
                table.cells += 1;
                if table.cells > 1 {
                    self.writer.cell();
                }
            }
            "tblHeader" if self.tables == 1 && element.is_on("val") => self.mark_header(),
            "tblLook" if self.tables == 1 => {
                let first_row = match element.attribute("firstRow") {
                    Some(_) => element.is_on("firstRow"),
                    // Word 2007 writes the same as one bit of a number.
                    None => element
                        .attribute("val")
                        .and_then(|bits| u32::from_str_radix(&bits, 16).ok())
                        .is_some_and(|bits| bits & 0x20 != 0),
                };
                if first_row {
                    self.mark_header();
                }
            }
            "r" => self.runs += 1,
            "t" => self.in_text += 1,
            "tab" | "ptab" if self.runs > 0 => self.writer.push(" ", false),
            "br" | "cr" if self.runs > 0 => match element.attribute("type").as_deref() {
                _ if self.table.is_some() => self.writer.push(" ", false),
                Some("page" | "column") => self.writer.push(" ", false),
                _ => self.writer.line_break(),
            },
            "noBreakHyphen" => self.writer.push("-", false),
            "lastRenderedPageBreak" => self.breaks_in_block.push(self.writer.block_len()),
            "footnote" | "endnote" => {
                let kind = element.attribute("type").unwrap_or_default();
                self.is_separator = matches!(kind.as_str(), "separator" | "continuationSeparator" | "continuationNotice");
            }
            _ => self.property(name, element),
        }
    }

    fn property(&mut self, name: &str, element: &Element<'_>) {
        let Some(paragraph) = self.paragraphs.last_mut() else { return };
        if name == "pPr" {
            paragraph.in_properties = true;
            return;
        }
        if !paragraph.in_properties {
            return;
        }
        let value = element.attribute("val").unwrap_or_default();
        match name {
            "pStyle" => {
                let meaning = self.styles.meaning(&value);
                let own = paragraph.meaning;
                paragraph.meaning = Meaning {
                    heading: own.heading.or(meaning.heading),
                    item: own.item.or(meaning.item),
                    kind: meaning.kind,
                };
            }
            "outlineLvl" => paragraph.meaning.heading = heading_level(&value),
            "numPr" => {
                paragraph.in_numbering = true;
                paragraph.meaning.item = paragraph.meaning.item.or(Some(1));
            }
            "ilvl" if paragraph.in_numbering => paragraph.meaning.item = item_level(&value),
            "numId" if paragraph.in_numbering => paragraph.is_no_item = value == "0",
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "p" => {
                if self.table.is_some() {
                    self.writer.push(" ", false);
                } else {
                    self.end_block();
                }
                self.paragraphs.pop();
            }
            "pPr" => self.paragraphs.iter_mut().for_each(|paragraph| paragraph.in_properties = false),
            "numPr" => self.paragraphs.iter_mut().for_each(|paragraph| paragraph.in_numbering = false),
            "tr" if self.tables == 1 => {
                self.end_as("table-row", 0);
                self.table.iter_mut().for_each(|table| table.rows += 1);
            }
            "tbl" => {
                self.tables = self.tables.saturating_sub(1);
                if self.tables == 0
                    && let Some(table) = self.table.take()
                {
                    self.end_as("table-row", 0);
                    self.writer.end_table(table.first, table.has_header);
                }
            }
            "r" => self.runs = self.runs.saturating_sub(1),
            "t" => self.in_text = self.in_text.saturating_sub(1),
            _ => {}
        }
    }

    /// Ends the last block.
    pub fn finish(mut self) -> (Writer, Vec<usize>) {
        self.end_block();
        (self.writer, self.page_breaks)
    }

    fn mark_header(&mut self) {
        self.table
            .iter_mut()
            .filter(|table| table.rows == 0)
            .for_each(|table| table.has_header = true);
    }

    /// Ends the block of the innermost paragraph.
    fn end_block(&mut self) {
        let paragraph = self.paragraphs.last();
        let meaning = paragraph.map(|paragraph| paragraph.meaning).unwrap_or_default();
        let item = meaning.item.filter(|_| !paragraph.is_some_and(|paragraph| paragraph.is_no_item));
        match (meaning.heading, item, meaning.kind) {
            // Numbered headings are headings.
            (Some(level), ..) => self.end_as("heading", level),
            (None, Some(level), _) => self.end_as("list-item", level),
            (None, None, kind) => self.end_as(kind.unwrap_or("paragraph"), 0),
        }
    }

    fn end_as(&mut self, kind: &'static str, level: u8) {
        let at = match self.writer.end_block(kind, level) {
            Some(index) => self.writer.units.get(index).map(|unit| unit.at.clone()).unwrap_or_default(),
            None => self.writer.text.len()..self.writer.text.len(),
        };
        // White space at a block's end is removed; a break in it is moved to its end.
        let breaks = self.breaks_in_block.drain(..).map(|offset| (at.start + offset).min(at.end));
        self.page_breaks.extend(breaks);
    }
}
