//! Which files are meant.

use super::super::CliError;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is taken from directories; a file that is named is taken whatever it is, and the server decides.
const EXTENSIONS: &[&str] = &["pdf", "md", "markdown", "txt", "text", "html", "htm"];
/// Directories within directories; deeper is a loop of mounts, or a mistake.
const DEPTH: usize = 64;

/// A file to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its name, as the server will know it.
    pub name: String,
    /// Bytes, when it was looked at.
    pub size: u64,
}

/// The files that `given` means, each once, in order; and how many in directories were passed over.
///
/// # Errors
/// If one of `given` is not there, or a directory is among them and `recursive` is not set, or
/// nothing is left.
pub fn collect(given: &[PathBuf], recursive: bool) -> Result<(Vec<Source>, u64), CliError> {
    let mut walk = Walk {
        seen: BTreeSet::new(),
        sources: Vec::new(),
        skipped: 0,
    };
    for path in given {
        let metadata = fs::metadata(path).map_err(|source| CliError::File {
            path: path.clone(),
            source,
        })?;
        if !metadata.is_dir() {
            walk.add(path, metadata.len());
        } else if recursive {
            walk.directory(path, 0)?;
        } else {
            return Err(CliError::Usage(format!(
                "{} is a directory: add -r to take what is in it",
                path.display()
            )));
        }
    }
    if walk.sources.is_empty() {
        return Err(CliError::Usage(format!(
            "there is no file with one of the extensions {} there",
            EXTENSIONS.join(", ")
        )));
    }
    Ok((walk.sources, walk.skipped))
}

struct Walk {
    seen: BTreeSet<PathBuf>,
    sources: Vec<Source>,
    skipped: u64,
}

impl Walk {
    fn add(&mut self, path: &Path, size: u64) {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.seen.insert(identity) {
            let name = path
                .file_name()
                .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy())
                .into_owned();
            self.sources.push(Source {
                path: path.to_owned(),
                name,
                size,
            });
        }
    }

    /// Takes a directory's files by name, then its directories. Hidden ones are left alone; links to
    /// directories are not followed, for they may lead around in circles.
    fn directory(&mut self, directory: &Path, depth: usize) -> Result<(), CliError> {
        let unreadable = |source| CliError::File {
            path: directory.to_owned(),
            source,
        };
        let mut entries = fs::read_dir(directory)
            .map_err(unreadable)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut inner = Vec::new();
        for entry in entries {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                inner.push(path);
                continue;
            }
            let wanted = path
                .extension()
                .is_some_and(|have| EXTENSIONS.iter().any(|want| have.eq_ignore_ascii_case(want)));
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() && wanted => self.add(&path, metadata.len()),
                _ => self.skipped += 1,
            }
        }
        if depth < DEPTH {
            for directory in inner {
                self.directory(&directory, depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_need_to_be_asked_for_and_give_what_can_be_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::create_dir_all(root.join("b/.git")).expect("made");
        for name in ["z.PDF", "a.md", "b/c.txt", "b/d.png", "b/.git/e.txt", ".hidden.txt"] {
            fs::write(root.join(name), name).expect("written");
        }
        std::os::unix::fs::symlink(root, root.join("b/loop")).expect("linked");
        let (sources, skipped) = collect(&[root.to_owned(), root.join("a.md")], true).expect("collected");
        let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["a.md", "z.PDF", "c.txt"]);
        assert_eq!(skipped, 2);
        assert!(matches!(collect(&[root.to_owned()], false), Err(CliError::Usage(message)) if message.contains("-r")));
        assert!(matches!(collect(&[root.join("none.pdf")], false), Err(CliError::File { .. })));
        assert!(matches!(collect(&[root.join("b/.git/../../b/loop")], true), Ok((sources, _)) if sources.len() == 3));
    }

    #[test]
    fn a_named_file_is_taken_whatever_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data.bin");
        fs::write(&path, "x").expect("written");
        let (sources, _) = collect(&[path.clone(), path], false).expect("collected");
        assert_eq!(sources.len(), 1);
    }
}
