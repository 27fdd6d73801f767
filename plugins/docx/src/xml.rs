//! Reads XML as a stream: elements by their local names, and text with resolved references.
//!
//! Word's parts have no DTD, and none is read: references to custom entities are skipped.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::BufRead;

/// A node of a part.
#[derive(Debug)]
pub enum Node<'a> {
    /// A start tag, or an empty element.
    Start {
        /// The element.
        element: Element<'a>,
        /// Whether it is `<like-this/>`.
        is_empty: bool,
    },
    /// An end tag, with its local name.
    End(&'a str),
    /// Text.
    Text(&'a str),
}

/// A start tag.
#[derive(Debug)]
pub struct Element<'a>(&'a BytesStart<'a>);

impl Element<'_> {
    /// Returns the name without its prefix.
    pub fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// Returns the value of the attribute with this local name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        let mut attributes = attributes.with_checks(false).flatten();
        let found = attributes.find(|attribute| attribute.key.local_name().into_inner() == name)?;
        quick_xml::escape::unescape(&found.value).ok().map(|value| value.into_owned())
    }

    /// Returns whether an on-off property is on, which it is unless its value is off (ECMA-376 Part 1, 22.9.2.7).
    pub fn is_on(&self, name: &str) -> bool {
        !self
            .attribute(name)
            .is_some_and(|value| matches!(value.as_str(), "0" | "false" | "off"))
    }
}

/// Reads a part to its end.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn read(part: impl BufRead, mut take: impl FnMut(Node<'_>)) -> Result<(), String> {
    let mut reader = Reader::from_reader(part);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).map_err(|error| error.to_string())? {
            Event::Start(tag) => take(Node::Start {
                element: Element(&tag),
                is_empty: false,
            }),
            Event::Empty(tag) => take(Node::Start {
                element: Element(&tag),
                is_empty: true,
            }),
            Event::End(tag) => take(Node::End(tag.local_name().into_inner())),
            Event::Text(text) => take(Node::Text(&text)),
            Event::CData(text) => take(Node::Text(&text)),
            Event::GeneralRef(reference) => {
                if let Ok(Some(character)) = reference.resolve_char_ref() {
                    take(Node::Text(character.encode_utf8(&mut [0; 4])));
                } else if let Some(text) = quick_xml::escape::resolve_predefined_entity(&reference) {
                    take(Node::Text(text));
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}
