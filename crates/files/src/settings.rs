//! The settings of the file store.

use super::StoreOptions;
use ibid_settings::{InvalidValue, Key, LayerSettings, Megabytes, OrEmpty, SecretFileError, SettingValue, Values, choice, settings};
use ibid_types::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// Where files and texts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// In the data directory.
    Directory,
    /// In an object store.
    S3,
}

choice!(StoreKind { "directory" => Directory, "s3" => S3 });

settings! {
    /// Section `files`, which makes [`StoreOptions`].
    struct FilesSettings {
        keys {
            /// Where uploaded files and extracted texts are kept: in the data directory, or in the S3-compatible object store of section
            /// [files.s3].
            "files.store" => store: StoreKind = StoreKind::Directory,
        }
        parts {
            /// The object store.
            s3: S3Options,
        }
    }
}

settings! {
    /// The object store that may keep files: section `files.s3`.
    pub struct S3Options {
        keys {
            /// The bucket. It must be there; Ibid lists, reads, writes and deletes in it.
            "files.s3.bucket" as OrEmpty => bucket: String = String::new(),
            /// What the names of all objects begin with, such as "ibid". Each Ibid (each catalog) that uses the same bucket needs its
            /// own: what its catalog does not know, it removes.
            "files.s3.prefix" as OrEmpty => prefix: String = String::new(),
            /// Address of the object store, such as "https://minio.example.org:9000"; with http:// everything goes over the network in
            /// the clear. Empty: AWS in files.s3.region.
            "files.s3.endpoint" => endpoint: Option<String> = None,
            /// The bucket's region, as signatures name it; most servers other than AWS take any.
            "files.s3.region" => region: String = "us-east-1".to_owned(),
            /// Who Ibid is there. Without key and secret, AWS's own AWS_* variables, the pod's and the machine's role are asked.
            "files.s3.access_key_id" => access_key_id: Option<String> = None,
            /// The key's secret; never shown. Better in IBID_FILES_S3_SECRET_ACCESS_KEY or files.s3.secret_access_key_file than here.
            "files.s3.secret_access_key" => secret_access_key: Secret = Secret::default(),
            /// A file whose content is the secret, in place of files.s3.secret_access_key.
            "files.s3.secret_access_key_file" => secret_access_key_file: Option<PathBuf> = None,
            /// Whether the bucket is the first part of the path (https://HOST/BUCKET/...) rather than of the host's name
            /// (https://BUCKET.HOST/...).
            "files.s3.path_style" => path_style: bool = true,
            /// A PEM file of certificates that an https endpoint may be signed by, beside the system's.
            "files.s3.ca_file" => ca_file: Option<PathBuf> = None,
            /// Seconds for which a failed request is sent again, with growing pauses, before the object store counts as away. Documents
            /// then wait until it is back.
            // Longer than a failover or a restart takes.
            "files.s3.retry_seconds" [range(0, 600)] => patience: Duration = Duration::from_secs(20),
            /// Megabytes of local copies that are kept in the data directory; the least recently used go first.
            "files.s3.cache_mb" as Megabytes [range(1, 100_000_000)] => cache_bytes: u64 = 1024 * 1_000_000,
        }
        fixed {
            /// How old the parts of an upload must be for [`FileStore::sweep`](super::FileStore::sweep): younger ones may be of another
            /// server's upload, begun since the catalog was asked.
            sweep_after: Duration = Duration::from_secs(3_600),
        }
        secrets { "files.s3.secret_access_key" => secret_access_key or secret_access_key_file }
    }
}

impl S3Options {
    /// Returns the defaults for a bucket.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            ..Self::default()
        }
    }
}

impl LayerSettings for StoreOptions {
    fn keys(keys: &mut Vec<Key>) {
        FilesSettings::keys(keys);
    }

    fn read(values: &Values) -> Result<Self, InvalidValue> {
        let files = FilesSettings::read(values)?;
        Ok(match files.store {
            StoreKind::Directory => Self::Directory,
            StoreKind::S3 => Self::S3(Box::new(files.s3)),
        })
    }

    fn write(&self, values: &mut Values) {
        let store = match self {
            Self::Directory => StoreKind::Directory,
            Self::S3(options) => {
                options.write(values);
                StoreKind::S3
            }
        };
        values.insert("files.store", store.to_toml());
    }

    fn read_secret_files(&mut self) -> Result<(), SecretFileError> {
        match self {
            Self::Directory => Ok(()),
            Self::S3(options) => options.read_secret_files(),
        }
    }
}
