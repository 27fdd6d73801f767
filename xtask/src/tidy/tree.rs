//! The files that the rules read.

use std::path::{Component, Path};

use walkdir::{DirEntry, WalkDir};

/// Folders that hold what was fetched or built, at any depth.
const SKIPPED: &[&str] = &["target", "node_modules", "__pycache__", "book"];

/// A text file of the repository.
pub struct File {
    /// Relative to the repository's root, with `/` between its parts.
    pub path: String,
    pub text: String,
}

impl File {
    #[cfg(test)]
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The names of the folders that the file lies in, outermost first, and its own last.
    pub fn parts(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }
}

/// Reads every file below `root` that a rule may concern, in order of their paths.
pub fn read(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    let walk = WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || is_ours(entry));
    for entry in walk {
        let entry = entry.map_err(|error| error.to_string())?;
        let is_text = |extension| ["rs", "md", "js", "html"].iter().any(|known| *known == extension);
        if !entry.file_type().is_file() || !entry.path().extension().is_some_and(is_text) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).map_err(|error| format!("{}: {error}", entry.path().display()))?;
        files.push(File {
            path: relative(root, entry.path()),
            text,
        });
    }
    Ok(files)
}

fn is_ours(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    !(name.starts_with('.') || entry.file_type().is_dir() && SKIPPED.contains(&name.as_ref()))
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_or_fetched_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "src/a.rs",
            "README.md",
            "target/b.rs",
            "plugins/target/c.rs",
            ".git/d.md",
            "x/node_modules/e.js",
            "f.toml",
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let paths: Vec<_> = read(folder.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["README.md", "src/a.rs"]);
    }
}
