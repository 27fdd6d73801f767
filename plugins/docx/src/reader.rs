//! Reads a whole document.

use crate::body::Body;
use crate::config::Config;
use crate::package::{MAX_PART_BYTES, Package};
use crate::styles::{Styles, StylesReader};
use crate::xml::Node;
use blocks::Writer;
use std::fmt;
use std::io::{Read, Seek};

/// A document's content.
#[derive(Debug, Default)]
pub struct Document {
    /// Text and units.
    pub writer: Writer,
    /// The offsets where pages start, the first one's 0; none if the file has no page breaks.
    pub pages: Vec<usize>,
    /// The document's properties: `title`, `author`, `subject`, `language`, `created`, ...
    pub attrs: Vec<(&'static str, String)>,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is in the format of Word before 2007, or has a password.
    OldOrEncrypted,
    /// It is an archive, but not a Word document.
    NoDocument,
    /// It is damaged.
    Malformed(String),
    /// A part is too large.
    TooLarge(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::OldOrEncrypted => f.write_str(
                "The file is from Word before 2007 (.doc) or has a password: open it in Word, save it as .docx without a password, and upload that.",
            ),
            Refused::NoDocument => f.write_str("The file is not a Word document: upload it with its own file type."),
            Refused::Malformed(why) => write!(f, "The file is damaged ({why}): open it in Word, save it again, and upload that."),
            Refused::TooLarge(part) => write!(
                f,
                "{part} in the file is larger than {} MiB: split the document.",
                MAX_PART_BYTES >> 20
            ),
        }
    }
}

/// Reads a document. Calls `progress` with the share that is done, from 0 to 1.
///
/// # Errors
/// [`Refused`].
pub fn read(file: impl Read + Seek, config: &Config, mut progress: impl FnMut(f32)) -> Result<Document, Refused> {
    let mut package = Package::open(file)?;
    let top = package.relations("")?;
    let main = top.get("officeDocument").cloned().unwrap_or_else(|| "word/document.xml".to_owned());
    let parts = package.relations(&main)?;
    let mut styles = StylesReader::default();
    if let Some(part) = parts.get("styles") {
        package.read(part, |node| styles.take(node))?;
    }
    let styles = styles.finish();
    progress(0.1);
    let mut body = Body::new(&styles, Writer::default());
    if !package.read(&main, |node| body.take(node))? || !body.is_document {
        return Err(Refused::NoDocument);
    }
    let (mut writer, breaks) = body.finish();
    progress(0.9);
    for kind in ["footnotes", "endnotes"] {
        if let Some(part) = parts.get(kind).filter(|_| config.footnotes) {
            writer = notes(&mut package, part, &styles, writer)?;
        }
    }
    let mut document = Document {
        pages: pages(breaks, &writer.text),
        writer,
        attrs: Vec::new(),
    };
    if let Some(part) = top.get("core-properties") {
        document.attrs = properties(&mut package, part)?;
    }
    Ok(document)
}

fn notes<F: Read + Seek>(package: &mut Package<F>, part: &str, styles: &Styles, writer: Writer) -> Result<Writer, Refused> {
    let mut body = Body::new(styles, writer);
    package.read(part, |node| body.take(node))?;
    Ok(body.finish().0)
}

/// Returns the starts of pages from the page breaks, moved to the next word.
fn pages(breaks: Vec<usize>, text: &str) -> Vec<usize> {
    if breaks.is_empty() {
        return breaks;
    }
    let mut pages = vec![0];
    for at in breaks {
        let rest = text.get(at..).unwrap_or_default();
        let start = at + (rest.len() - rest.trim_start().len());
        // An empty page has nothing to cite, but it counts.
        pages.push(start.max(pages.last().copied().unwrap_or(0)));
    }
    pages
}

/// Reads the core properties (ECMA-376 Part 2, 11).
fn properties<F: Read + Seek>(package: &mut Package<F>, part: &str) -> Result<Vec<(&'static str, String)>, Refused> {
    let mut attrs: Vec<(&'static str, String)> = Vec::new();
    let mut open: Option<(&'static str, String)> = None;
    package.read(part, |node| match node {
        Node::Start { element, is_empty } => {
            let key = match element.name() {
                "title" => "title",
                "creator" => "author",
                "subject" => "subject",
                "description" => "description",
                "keywords" => "keywords",
                "language" => "language",
                "created" => "created",
                "modified" => "modified",
                _ => return,
            };
            open = (!is_empty).then(|| (key, String::new()));
        }
        Node::Text(text) => {
            if let Some((_, value)) = &mut open {
                value.push_str(text);
            }
        }
        Node::End(_) => {
            if let Some((key, value)) = open.take()
                && !value.trim().is_empty()
                && value.len() <= 16 << 10
            {
                attrs.push((key, value.trim().to_owned()));
            }
        }
    })?;
    Ok(attrs)
}
