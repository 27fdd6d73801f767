//! The catalog through its public face.

mod crash;
mod deletion;
mod documents;
mod events;
mod generations;
mod listing;
mod uploads;

use super::{
    Catalog, Chunk, Collection, Creation, DocumentRecord, Extracted, IndexPlace, NewDocument, NewEvent, SqliteCatalog, SqliteOptions,
};
use crate::document::Span;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A catalog in a directory that goes with it.
struct Place {
    catalog: Arc<dyn Catalog>,
    directory: TempDir,
}

impl Place {
    async fn new() -> Self {
        Self::with(SqliteOptions::default()).await
    }

    async fn with(options: SqliteOptions) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("not/there/yet/catalog.db");
        Self {
            catalog: Arc::new(SqliteCatalog::open(&path, options).await.unwrap()),
            directory,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("not/there/yet/catalog.db")
    }

    /// The same catalog after its process went without a word.
    async fn reopened(self) -> Self {
        let path = self.path();
        drop(self.catalog);
        let catalog = SqliteCatalog::open(&path, SqliteOptions::default()).await.unwrap();
        Self {
            catalog: Arc::new(catalog),
            directory: self.directory,
        }
    }
}

impl std::ops::Deref for Place {
    type Target = Arc<dyn Catalog>;
    fn deref(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }
}

fn event(kind: &str) -> NewEvent {
    NewEvent::new(kind, json!({"of": kind}))
}

async fn collection(catalog: &Arc<dyn Catalog>, name: &str) -> Collection {
    let pipeline = json!({"chunker": {"plugin": "recursive@^1"}});
    catalog
        .create_collection(
            name,
            &pipeline,
            &json!({"digest": "d1"}),
            IndexPlace::Embedded,
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

async fn received(catalog: &Arc<dyn Catalog>, collection: &Collection, n: u64) -> DocumentRecord {
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
async fn live(catalog: &Arc<dyn Catalog>, collection: &Collection, n: u64, chunk_count: u32) -> DocumentRecord {
    let id = received(catalog, collection, n).await.id;
    assert!(catalog.set_extracted(&id, &found()).await.unwrap());
    assert!(catalog.set_chunked(&id, &chunks(chunk_count)).await.unwrap());
    assert!(catalog.set_progress(&id, chunk_count).await.unwrap());
    assert!(catalog.set_embedded(&id).await.unwrap());
    assert!(catalog.set_indexed(&id).await.unwrap());
    assert!(catalog.set_live(&id, 1.5, event("document_added")).await.unwrap().is_some());
    catalog.document(&id).await.unwrap()
}
