//! The archive and its parts (ECMA-376 Part 2, Open Packaging Conventions).

use crate::reader::Refused;
use crate::xml::{self, Node};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek};
use zip::ZipArchive;
use zip::result::ZipError;

/// The largest part, unpacked, in bytes. The text of a long book is a few MiB; a ZIP file of a few KiB may unpack to far more.
pub const MAX_PART_BYTES: u64 = 512 << 20;

/// The first bytes of OLE files: Word's before 2007, and encrypted ones of today.
const OLE: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// An open archive.
pub struct Package<F>(ZipArchive<F>);

impl<F: Read + Seek> Package<F> {
    /// Opens an archive.
    ///
    /// # Errors
    /// [`Refused`] if it is not a ZIP archive.
    pub fn open(mut file: F) -> Result<Self, Refused> {
        let mut begin = [0; 8];
        let read = file.read(&mut begin).map_err(malformed)?;
        if begin.get(..read) == Some(&OLE) {
            return Err(Refused::OldOrEncrypted);
        }
        // The archive's directory is searched from the end, through the whole of a file without one.
        if !begin.starts_with(b"PK") {
            return Err(Refused::NoDocument);
        }
        ZipArchive::new(file).map(Self).map_err(malformed)
    }

    /// Reads a part; `false` if there is none of this name.
    ///
    /// # Errors
    /// [`Refused`] if it is damaged or too large.
    pub fn read(&mut self, name: &str, take: impl FnMut(Node<'_>)) -> Result<bool, Refused> {
        let part = match self.0.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(false),
            Err(error) => return Err(malformed(error)),
        };
        let mut counted = part.take(MAX_PART_BYTES + 1);
        let read = xml::read(BufReader::with_capacity(64 << 10, &mut counted), take);
        if counted.limit() == 0 {
            return Err(Refused::TooLarge(name.to_owned()));
        }
        read.map_err(|why| Refused::Malformed(format!("{name}: {why}")))?;
        Ok(true)
    }

    /// Returns the targets that a part refers to, by the last word of the relation's type. `part` is empty for the package itself.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn relations(&mut self, part: &str) -> Result<BTreeMap<String, String>, Refused> {
        let (directory, name) = part.rsplit_once('/').unwrap_or(("", part));
        let prefix = if directory.is_empty() {
            String::new()
        } else {
            format!("{directory}/")
        };
        let mut relations = BTreeMap::new();
        self.read(&format!("{prefix}_rels/{name}.rels"), |node| {
            let Node::Start { element, .. } = node else { return };
            if element.name() != "Relationship" || element.attribute("TargetMode").is_some_and(|mode| mode == "External") {
                return;
            }
            let (Some(kind), Some(target)) = (element.attribute("Type"), element.attribute("Target")) else {
                return;
            };
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            relations.entry(kind).or_insert_with(|| resolve(directory, &target));
        })?;
        Ok(relations)
    }
}

/// Returns a target's name in the archive. It is relative to the directory of the part that refers to it.
fn resolve(directory: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut path: Vec<&str> = directory.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            ".." => {
                path.pop();
            }
            "." | "" => {}
            step => path.push(step),
        }
    }
    path.join("/")
}

fn malformed(error: impl ToString) -> Refused {
    Refused::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_relative_to_their_part() {
        assert_eq!(resolve("word", "styles.xml"), "word/styles.xml");
        assert_eq!(resolve("word", "../docProps/core.xml"), "docProps/core.xml");
        assert_eq!(resolve("word", "/word/./styles.xml"), "word/./styles.xml");
        assert_eq!(resolve("", "../../x"), "x");
    }
}
