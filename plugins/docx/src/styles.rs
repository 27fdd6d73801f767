//! Determines the meaning of paragraph styles (ECMA-376 Part 1, 17.7).

use crate::xml::Node;
use std::collections::HashMap;

/// The role of a paragraph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The level of the heading, from 1.
    pub heading: Option<u8>,
    /// The nesting of the list item, from 1.
    pub item: Option<u8>,
    /// `caption` or `quote`.
    pub kind: Option<&'static str>,
}

/// Paragraph styles by their identifiers.
#[derive(Debug, Default)]
pub struct Styles(HashMap<String, Style>);

#[derive(Debug, Default)]
struct Style {
    based_on: Option<String>,
    meaning: Meaning,
}

/// The longest chain of styles that are based on one another; a longer one is a cycle.
const MAX_BASES: usize = 16;

impl Styles {
    /// Returns the meaning of a style, which it may inherit from the styles that it is based on.
    pub fn meaning(&self, id: &str) -> Meaning {
        let mut meaning = Meaning::default();
        let mut next = Some(id);
        for _ in 0..MAX_BASES {
            let Some(style) = next.and_then(|id| self.0.get(id)) else { break };
            meaning.heading = meaning.heading.or(style.meaning.heading);
            meaning.item = meaning.item.or(style.meaning.item);
            meaning.kind = meaning.kind.or(style.meaning.kind);
            next = style.based_on.as_deref();
        }
        meaning
    }
}

/// Reads `styles.xml`.
#[derive(Debug, Default)]
pub struct StylesReader {
    styles: Styles,
    open: Option<(String, Style)>,
    in_numbering: bool,
}

impl StylesReader {
    /// Processes the next node.
    pub fn take(&mut self, node: Node<'_>) {
        let (element, is_empty) = match node {
            Node::Start { element, is_empty } => (element, is_empty),
            Node::End("style") => {
                self.styles.0.extend(self.open.take());
                return;
            }
            Node::End("numPr") => {
                self.in_numbering = false;
                return;
            }
            _ => return,
        };
        if element.name() == "style" && !is_empty {
            self.open = element.attribute("styleId").map(|id| (id, Style::default()));
            return;
        }
        let Some((_, style)) = &mut self.open else { return };
        let value = || element.attribute("val");
        match element.name() {
            "name" => {
                let by_name = by_name(&value().unwrap_or_default());
                style.meaning.heading = style.meaning.heading.or(by_name.heading);
                style.meaning.kind = style.meaning.kind.or(by_name.kind);
            }
            "basedOn" => style.based_on = value(),
            "outlineLvl" => style.meaning.heading = value().and_then(|level| heading_level(&level)).or(style.meaning.heading),
            "numPr" => {
                self.in_numbering = !is_empty;
                style.meaning.item = style.meaning.item.or(Some(1));
            }
            "ilvl" if self.in_numbering => style.meaning.item = value().and_then(|level| item_level(&level)),
            _ => {}
        }
    }

    /// Returns the styles.
    pub fn finish(self) -> Styles {
        self.styles
    }
}

/// Returns the meaning of a built-in style's name, which is the same in every language of Word.
fn by_name(name: &str) -> Meaning {
    let name = name.to_lowercase();
    let heading = match name.as_str() {
        "title" => Some(1),
        _ => name
            .strip_prefix("heading ")
            .and_then(|level| level.parse().ok())
            .filter(|level| (1..=9).contains(level)),
    };
    let kind = match name.as_str() {
        "caption" => Some("caption"),
        "quote" | "intense quote" => Some("quote"),
        _ => None,
    };
    Meaning {
        heading: heading.map(|level: u8| level.min(6)),
        item: None,
        kind,
    }
}

/// Returns the heading's level for an outline level: 0 to 8 are headings, 9 is text.
pub fn heading_level(value: &str) -> Option<u8> {
    let level: u8 = value.parse().ok()?;
    (level < 9).then(|| (level + 1).min(6))
}

/// Returns a list level, 0 to 8.
pub fn item_level(value: &str) -> Option<u8> {
    let level: u8 = value.parse().ok()?;
    (level < 9).then_some(level + 1)
}
