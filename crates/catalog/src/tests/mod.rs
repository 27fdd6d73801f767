//! The catalog through its public face: in SQLite, and once more in PostgreSQL (see [`postgres`]).

mod crash;
mod deletion;
mod documents;
mod events;
mod generations;
mod listing;
mod postgres;
mod shared;
mod uploads;

use super::{Catalog, Chunk, Collection, Creation, DocumentRecord, Extracted, NewDocument, NewEvent, PostgresOptions, SqliteOptions};
use ibid_types::IndexBackend;
use ibid_types::document::Span;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// Where a catalog is: a file, or a database of PostgreSQL.
#[derive(Clone)]
enum Address {
    File(PathBuf),
    Database(String),
}

impl Address {
    async fn open(&self, max_events: u64) -> Arc<Catalog> {
        let catalog = match self {
            Self::File(path) => {
                let options = SqliteOptions {
                    max_events,
                    ..SqliteOptions::default()
                };
                Catalog::sqlite(path, options).await
            }
            Self::Database(url) => {
                let options = PostgresOptions {
                    max_events,
                    ..PostgresOptions::new(url.as_str())
                };
                Catalog::postgres(&options).await
            }
        };
        Arc::new(catalog.unwrap())
    }
}

/// A catalog of a test, in a directory that goes with it, or in a database.
struct TestCatalog {
    catalog: Arc<Catalog>,
    address: Address,
    /// Kept as long as the catalog.
    _directory: TempDir,
}

impl TestCatalog {
    async fn new() -> Self {
        Self::with_events(10_000).await
    }

    async fn with_events(max_events: u64) -> Self {
        let directory = TempDir::new().unwrap();
        let address = match std::env::var(postgres::SERVER) {
            Ok(server) => Address::Database(postgres::database(&server).await),
            Err(_) => Address::File(directory.path().join("not/there/yet/catalog.db")),
        };
        Self {
            catalog: address.open(max_events).await,
            address,
            _directory: directory,
        }
    }

    /// The same catalog after its process went without a word.
    async fn reopened(self) -> Self {
        drop(self.catalog);
        Self {
            catalog: self.address.open(10_000).await,
            ..self
        }
    }
}

impl std::ops::Deref for TestCatalog {
    type Target = Arc<Catalog>;
    fn deref(&self) -> &Arc<Catalog> {
        &self.catalog
    }
}

fn event(kind: &str) -> NewEvent {
    NewEvent::new(kind, json!({"of": kind}))
}

async fn collection(catalog: &Arc<Catalog>, name: &str) -> Collection {
    let pipeline = json!({"chunker": {"plugin": "recursive@^1"}});
    catalog
        .create_collection(
            name,
            &pipeline,
            &json!({"digest": "d1"}),
            IndexBackend::Embedded,
            event("collection_created"),
        )
        .await
        .unwrap()
        .0
}

/// A digest that `n` tells apart.
fn digest(n: u64) -> String {
    format!("{n:064x}")
}

fn file(collection: &Collection, n: u64) -> NewDocument {
    NewDocument {
        collection_id: collection.id.clone(),
        upload_id: None,
        filename: format!("file-{n}.pdf"),
        content_type: "application/pdf".to_owned(),
        file_size: 1000 + n,
        sha256: digest(n),
        user_metadata: serde_json::Map::new(),
        lock: json!({"digest": "d1"}),
        revision: collection.revision,
    }
}

async fn received(catalog: &Arc<Catalog>, collection: &Collection, n: u64) -> DocumentRecord {
    match catalog.create_document(file(collection, n)).await.unwrap() {
        Creation::Created(document) => *document,
        Creation::Duplicate(other) => panic!("{} is there already", other.id),
    }
}

fn chunks(n: u32) -> Vec<Chunk> {
    (0..n)
        .map(|index| Chunk {
            index,
            at: Span::new(index * 10, index * 10 + 9),
            char_start: u64::from(index) * 8,
            char_end: u64::from(index) * 8 + 7,
            page: (index % 2 == 0).then_some(index / 2 + 1),
            section: vec!["Part I".to_owned(), format!("§ {index}")],
            context: vec![Span::new(0, 4)],
            attrs: vec![("kind".to_owned(), "table".to_owned()), ("kind".to_owned(), "other".to_owned())],
        })
        .collect()
}

fn found() -> Extracted {
    Extracted {
        metadata: [("title".to_owned(), "Übersicht".to_owned())].into(),
        pages: 3,
        text_bytes: 500,
        text_chars: 490,
        generation: 0,
        lock: json!({"digest": "d1"}),
    }
}

/// A document that went all the way, with `n` chunks.
async fn live(catalog: &Arc<Catalog>, collection: &Collection, n: u64, chunk_count: u32) -> DocumentRecord {
    let id = received(catalog, collection, n).await.id;
    assert!(catalog.set_extracted(&id, &found()).await.unwrap());
    assert!(catalog.set_chunked(&id, &chunks(chunk_count)).await.unwrap());
    assert!(catalog.set_progress(&id, chunk_count).await.unwrap());
    assert!(catalog.set_embedded(&id).await.unwrap());
    assert!(catalog.set_indexed(&id).await.unwrap());
    assert!(catalog.set_live(&id, 1.5, event("document_added")).await.unwrap().is_some());
    catalog.document(&id).await.unwrap()
}
