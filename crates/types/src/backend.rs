//! The kinds of vector index.

use std::fmt;

/// The vector index that keeps a collection's vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexBackend {
    /// In the data directory of this server.
    Embedded,
    /// In the Qdrant server of the settings.
    Qdrant,
}

impl IndexBackend {
    /// Returns its name in settings, in the catalog and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Qdrant => "qdrant",
        }
    }

    /// Returns the backend of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Embedded, Self::Qdrant].into_iter().find(|backend| backend.as_str() == name)
    }
}

impl fmt::Display for IndexBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
