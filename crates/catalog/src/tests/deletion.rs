//! Deleting leaves nothing behind, in the right order.

use super::{Address, TestCatalog, chunks, collection, digest, event, file, found, live, received};
use crate::{CollectionStats, Creation, DocumentQuery, NewUpload, UploadStatus};
use ibid_types::ErrorCode;
use serde_json::json;
use sqlx::{Connection, Row};

/// Every text in every table, for looking whether something is still mentioned.
async fn everything(catalog: &TestCatalog) -> String {
    let mut all = String::new();
    for table in [
        "collections",
        "documents",
        "chunks",
        "uploads",
        "events",
        "event_horizons",
        "reindexes",
        "remade_documents",
    ] {
        let query = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
        match &catalog.address {
            Address::File(path) => {
                let mut db = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display()))
                    .await
                    .unwrap();
                for row in sqlx::query(query).fetch_all(&mut db).await.unwrap() {
                    all.extend((0..row.len()).filter_map(|column| row.try_get::<String, _>(column).ok()));
                }
            }
            Address::Database(url) => {
                let mut db = sqlx::PgConnection::connect(url).await.unwrap();
                for row in sqlx::query(query).fetch_all(&mut db).await.unwrap() {
                    all.extend((0..row.len()).filter_map(|column| row.try_get::<String, _>(column).ok()));
                }
            }
        }
    }
    all
}

#[tokio::test]
async fn a_deleted_document_is_hidden_at_once_and_gone_at_last() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let upload = NewUpload {
        collection_id: papers.id.clone(),
        filename: "file-1.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        file_size: Some(1001),
        options: json!({}),
    };
    let upload = catalog.create_upload(upload).await.unwrap();
    let mut new = file(&papers, 1);
    new.upload_id = Some(upload.id.clone());
    let Creation::Created(document) = catalog.create_document(new).await.unwrap() else {
        panic!()
    };
    let id = document.id;
    let other = live(&catalog, &papers, 2, 3).await;

    catalog.set_extracted(&id, &found()).await.unwrap();
    catalog.set_chunked(&id, &chunks(300)).await.unwrap();
    catalog.set_progress(&id, 300).await.unwrap();
    catalog.set_embedded(&id).await.unwrap();
    catalog.set_indexed(&id).await.unwrap();
    catalog.set_live(&id, 1.0, event("document_added")).await.unwrap();
    assert!(catalog.finish_delete(&id, None).await.unwrap().is_none(), "not begun");

    assert_eq!(catalog.begin_delete(&id).await.unwrap().id, id);
    assert_eq!(catalog.begin_delete(&id).await.unwrap_err().code(), ErrorCode::ResourceNotFound);
    assert!(catalog.chunks_by_refs(0, &[(id.clone(), 0)]).await.unwrap().is_empty());
    assert!(catalog.live_documents(std::slice::from_ref(&id)).await.unwrap().is_empty());
    assert_eq!(catalog.list_documents(&DocumentQuery::default()).await.unwrap().total, 1);
    assert_eq!(catalog.stats(&papers.id).await.unwrap().documents, 1);
    assert_eq!(catalog.hidden_documents(&papers.id).await.unwrap(), std::slice::from_ref(&id));
    assert_eq!(catalog.file_references(&digest(1)).await.unwrap(), 0);
    assert_eq!(catalog.deleting_documents(Some(&papers.id)).await.unwrap().len(), 1);
    assert!(catalog.deleting_documents(Some("other")).await.unwrap().is_empty());

    // A crash now: it goes on at the next start.
    let catalog = catalog.reopened().await;
    assert_eq!(catalog.deleting_documents(None).await.unwrap()[0].id, id);
    assert!(catalog.unfinished().await.unwrap().is_empty());
    let deleted = catalog.finish_delete(&id, Some(event("document_deleted"))).await.unwrap();
    let (receipt, recorded) = deleted.unwrap();
    assert_eq!((receipt.chunks, receipt.uploads, receipt.sha256), (300, 1, digest(1)));
    assert_eq!(recorded.unwrap().kind, "document_deleted");
    assert!(catalog.finish_delete(&id, None).await.unwrap().is_none());
    assert_eq!(catalog.document(&id).await.unwrap_err().code(), ErrorCode::ResourceNotFound);
    assert_eq!(catalog.upload(&upload.id).await.unwrap_err().code(), ErrorCode::ResourceNotFound);
    let left = everything(&catalog).await;
    for trace in [id.as_str(), "file-1.pdf", &digest(1), &upload.id] {
        assert!(!left.contains(trace), "{trace} is still there");
    }
    assert!(left.contains(&other.id) && left.contains(&digest(2)));
}

#[tokio::test]
async fn a_file_counts_for_each_document_that_has_its_bytes() {
    let catalog = TestCatalog::new().await;
    let (a, b) = (collection(&catalog, "a").await, collection(&catalog, "b").await);
    let (in_a, in_b) = (live(&catalog, &a, 5, 1).await.id, live(&catalog, &b, 5, 1).await.id);
    assert_eq!(catalog.file_references(&digest(5)).await.unwrap(), 2);
    catalog.begin_delete(&in_a).await.unwrap();
    assert_eq!(catalog.file_references(&digest(5)).await.unwrap(), 1);
    catalog.finish_delete(&in_a, None).await.unwrap();
    assert_eq!(catalog.file_references(&digest(5)).await.unwrap(), 1);
    // Gone from `a` means that it can come again, while the old one goes as well.
    let again = received(&catalog, &a, 5).await.id;
    assert!(catalog.fail(&again, "X", "x").await.unwrap());
    catalog.begin_delete(&again).await.unwrap();
    received(&catalog, &a, 5).await;
    catalog.begin_delete(&in_b).await.unwrap();
    assert_eq!(catalog.file_references(&digest(5)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_deleted_collection_takes_its_documents_along_and_frees_its_name() {
    let catalog = TestCatalog::new().await;
    let (papers, books) = (collection(&catalog, "papers").await, collection(&catalog, "books").await);
    let (done, kept) = (live(&catalog, &papers, 1, 2).await.id, live(&catalog, &books, 1, 2).await.id);
    let midway = received(&catalog, &papers, 2).await.id;
    let upload = NewUpload {
        collection_id: papers.id.clone(),
        filename: "coming.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        file_size: None,
        options: json!({}),
    };
    let upload = catalog.create_upload(upload).await.unwrap();

    assert_eq!(catalog.begin_delete_collection("papers").await.unwrap().id, papers.id);
    assert_eq!(
        catalog.begin_delete_collection("papers").await.unwrap_err().code(),
        ErrorCode::CollectionNotFound
    );
    assert_eq!(
        catalog.collection("papers").await.unwrap_err().code(),
        ErrorCode::CollectionNotFound
    );
    assert_eq!(catalog.upload(&upload.id).await.unwrap().status, UploadStatus::Cancelled);
    // Work under way stops by itself, and nothing new comes in.
    assert!(!catalog.set_extracted(&midway, &found()).await.unwrap());
    assert_eq!(
        catalog.create_document(file(&papers, 3)).await.unwrap_err().code(),
        ErrorCode::CollectionNotFound
    );
    assert_eq!(
        catalog.finish_delete_collection(&papers.id, event("x")).await.unwrap_err().code(),
        ErrorCode::Conflict
    );
    let again = collection(&catalog, "papers").await;
    assert_ne!(again.id, papers.id);

    let catalog = catalog.reopened().await;
    assert_eq!(catalog.deleting_collections().await.unwrap().len(), 1);
    let ids: Vec<_> = catalog
        .deleting_documents(Some(&papers.id))
        .await
        .unwrap()
        .into_iter()
        .map(|d| d.id)
        .collect();
    assert_eq!(ids, [done.clone(), midway.clone()]);
    for id in ids {
        assert!(catalog.finish_delete(&id, None).await.unwrap().is_some());
    }
    let recorded = catalog
        .finish_delete_collection(&papers.id, event("collection_deleted"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (recorded.kind.as_str(), recorded.collection.as_str()),
        ("collection_deleted", "papers")
    );
    assert!(catalog.finish_delete_collection(&papers.id, event("x")).await.unwrap().is_none());
    assert!(catalog.deleting_collections().await.unwrap().is_empty());
    let left = everything(&catalog).await;
    for trace in [done, midway, upload.id] {
        assert!(!left.contains(&trace), "{trace} is still there");
    }
    assert!(left.contains(&kept));
    assert_eq!(catalog.stats(&again.id).await.unwrap(), CollectionStats::default());
    assert_eq!(catalog.file_references(&digest(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn no_step_of_a_document_is_recorded_once_it_is_being_deleted() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let Creation::Created(document) = catalog.create_document(file(&papers, 1)).await.unwrap() else {
        panic!()
    };
    catalog.set_extracted(&document.id, &found()).await.unwrap();
    assert_eq!(catalog.begin_delete(&document.id).await.unwrap().id, document.id);
    assert!(!catalog.set_chunked(&document.id, &chunks(3)).await.unwrap());
    assert_eq!(catalog.begin_attempt(&document.id).await.unwrap(), None);
    assert!(!catalog.fail(&document.id, "PROCESSING_ERROR", "too late").await.unwrap());
    assert!(catalog.finish_delete(&document.id, None).await.unwrap().is_some());
}
