//! The keys of all settings, as the layers declare them.

use super::Settings;
use ibid_settings::{Key, LayerSettings};
use std::sync::LazyLock;

/// The sections in the order in which they are printed.
const SECTIONS: &[&str] = &[
    "",
    "server",
    "auth",
    "embedder",
    "ingest",
    "catalog",
    "index",
    "files",
    "files.s3",
    "qdrant",
    "plugins",
    "query",
    "llm",
    "limits",
    "monitor",
    "log",
    "telemetry",
];

/// All settings, sections together, in the order in which they are printed.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    Settings::keys(&mut keys);
    keys.sort_by_key(|key| {
        let section = key.section().unwrap_or_default();
        SECTIONS.iter().position(|name| *name == section).unwrap_or(SECTIONS.len())
    });
    keys
});

/// Returns the key with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_declared_once_in_a_known_section() {
        let mut seen = BTreeSet::new();
        for key in KEYS.iter() {
            assert!(seen.insert(key.path), "{} is declared twice", key.path);
            assert!(
                SECTIONS.contains(&key.section().unwrap_or_default()),
                "SECTIONS lacks that of {}",
                key.path
            );
        }
    }
}
