//! The settings of the catalog.

use ibid_settings::{OptionalSettings, settings};
use ibid_types::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

settings! {
    /// Settings of the catalog in PostgreSQL: section `catalog`.
    pub struct PostgresOptions {
        keys {
            /// PostgreSQL database that servers share as their catalog, such as "postgres://ibid:password@db.example/ibid?sslmode=verify-full";
            /// never shown. Needs qdrant.url and files.store = "s3". Better in IBID_CATALOG_URL or catalog.url_file than here.
            /// Empty: a file in the data directory, for this server alone.
            "catalog.url" => url: Secret = Secret::default(),
            /// A file whose content is the address, in place of catalog.url.
            "catalog.url_file" => url_file: Option<PathBuf> = None,
            /// Most connections of this server to that database, beside up to 9 for locks and for what other servers say.
            // Several servers share what PostgreSQL allows by default, 100.
            "catalog.connections" [range(2, 1_000)] => connections: u32 = 16,
        }
        fixed {
            /// How many numbers back the log of events reaches; at least 1.
            max_events: u64 = 10_000,
            /// How long a call waits for a connection before it fails.
            wait: Duration = Duration::from_secs(10),
        }
        secrets { "catalog.url" => url or url_file }
    }
}

impl PostgresOptions {
    /// Returns the defaults for a database: `postgres://user:password@host:port/database`, with `?sslmode=` and the other
    /// parameters of libpq.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            ..Self::default()
        }
    }
}

impl OptionalSettings for PostgresOptions {
    fn is_set(&self) -> bool {
        !self.url.is_empty() || self.url_file.is_some()
    }
}
