//! What servers share over one PostgreSQL.

use super::postgres::Postgres;
use super::{chunks, collection, event, file, found, live, received};
use crate::{Catalog, CatalogError, Creation, DocumentState, NewReindex, NewUpload, Notification, PostgresOptions, Shared};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use std::sync::Arc;

struct Server {
    catalog: Arc<Catalog>,
    shared: Arc<Shared>,
}

async fn server(url: &str) -> Server {
    let catalog = Arc::new(Catalog::postgres(&PostgresOptions::new(url)).await.unwrap());
    let shared = catalog.shared().unwrap();
    assert!(!shared.heartbeat().await.unwrap(), "it was not alive before");
    Server { catalog, shared }
}

async fn two() -> Option<(Postgres, Server, Server)> {
    let postgres = Postgres::start()?;
    let url = postgres.database();
    // At once: both bring the schema up to date.
    let (one, two) = tokio::join!(server(&url), server(&url));
    Some((postgres, one, two))
}

#[tokio::test]
async fn work_is_for_one_server_and_for_another_once_that_is_gone() {
    let Some((_postgres, one, two)) = two().await else { return };
    assert_eq!(one.shared.others().await.unwrap(), [two.shared.server()]);
    let papers = collection(&one.catalog, "papers").await;
    let going = collection(&one.catalog, "going").await;
    let first = received(&one.catalog, &papers, 1).await;
    let second = received(&one.catalog, &papers, 2).await;
    let third = live(&one.catalog, &papers, 3, 2).await;
    one.catalog.set_extracted(&second.id, &found()).await.unwrap();
    one.catalog.set_chunked(&second.id, &chunks(2)).await.unwrap();
    one.catalog.begin_delete(&third.id).await.unwrap();
    received(&one.catalog, &going, 4).await;
    one.catalog.begin_delete_collection("going").await.unwrap();
    let new = NewReindex {
        scope: "embed".to_owned(),
        at_least: "nothing".to_owned(),
        pipeline: json!({}),
        lock: json!({}),
    };
    one.catalog.begin_reindex(&papers.id, &new, event("reindex_started")).await.unwrap();
    let upload = NewUpload {
        collection_id: papers.id.clone(),
        filename: "a.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        file_size: Some(3),
        options: json!({}),
    };
    let upload = one.catalog.create_upload(upload).await.unwrap();

    for server in [&one, &two] {
        let claimed = server.shared.claim(true).await.unwrap();
        assert!(
            claimed.documents.is_empty() && claimed.uploads.is_empty(),
            "its server lives: {claimed:?}"
        );
    }
    one.shared.leave().await.unwrap();
    let claimed = two.shared.claim(false).await.unwrap();
    let ids: Vec<_> = claimed
        .documents
        .iter()
        .map(|document| (document.id.as_str(), document.state))
        .collect();
    assert_eq!(
        ids,
        [
            (first.id.as_str(), DocumentState::Received),
            (second.id.as_str(), DocumentState::Chunked)
        ]
    );
    assert_eq!(
        claimed.deleting_documents.len(),
        1,
        "that of a collection which is deleted goes with it"
    );
    assert_eq!(claimed.deleting_documents[0].id, third.id);
    assert_eq!(claimed.deleting_collections[0].id, going.id);
    assert_eq!(claimed.reindexes[0].collection_id, papers.id);
    assert_eq!(claimed.uploads[0].id, upload.id);
    let again = two.shared.claim(true).await.unwrap();
    assert!(again.documents.is_empty() && again.reindexes.is_empty(), "it is its own: {again:?}");

    // One that ends work does not own it any more: there is nothing to claim of what is live.
    assert!(two.catalog.set_progress(&second.id, 2).await.unwrap());
    assert!(two.catalog.set_embedded(&second.id).await.unwrap());
    assert!(two.catalog.set_indexed(&second.id).await.unwrap());
    two.catalog
        .set_live(&second.id, 1.0, event("document_added"))
        .await
        .unwrap()
        .unwrap();
    two.shared.leave().await.unwrap();
    assert!(!one.shared.heartbeat().await.unwrap(), "it was taken for dead");
    let claimed = one.shared.claim(true).await.unwrap();
    assert_eq!(
        claimed.documents.iter().map(|document| &document.id).collect::<Vec<_>>(),
        [&first.id]
    );
    one.catalog.close().await;
    two.catalog.close().await;
}

#[tokio::test]
async fn an_upload_goes_on_at_another_server() {
    let Some((_postgres, one, two)) = two().await else { return };
    let papers = collection(&one.catalog, "papers").await;
    let new = NewUpload {
        collection_id: papers.id.clone(),
        filename: "a.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        file_size: Some(1001),
        options: json!({}),
    };
    let upload = one.catalog.create_upload(new).await.unwrap();
    one.catalog.set_upload_received(&upload.id, 500).await.unwrap();
    let taken = two.shared.take_upload(&upload.id).await.unwrap().unwrap();
    assert_eq!(taken.bytes_received, 500);
    one.shared.leave().await.unwrap();
    assert!(two.shared.claim(true).await.unwrap().uploads.is_empty(), "it is its own");
    let mut document = file(&papers, 1);
    document.upload_id = Some(upload.id.clone());
    assert!(matches!(two.catalog.create_document(document).await.unwrap(), Creation::Created(_)));
    assert!(
        one.shared.take_upload(&upload.id).await.unwrap().is_none(),
        "its bytes are not coming any more"
    );
    one.catalog.close().await;
    two.catalog.close().await;
}

#[tokio::test]
async fn events_and_messages_are_received_by_all() {
    let Some((_postgres, one, two)) = two().await else { return };
    let mut listener = two.shared.listen().await.unwrap();
    let papers = collection(&one.catalog, "papers").await;
    let (_, number) = (papers.id.clone(), one.catalog.events_since(0, None, 10).await.unwrap().last_seq);
    assert_eq!(listener.recv().await.unwrap(), Notification::Event(number));
    one.shared.send("hello").await.unwrap();
    assert_eq!(listener.recv().await.unwrap(), Notification::Message("hello".to_owned()));

    // Many at once: numbers are heard in the order of their commits, so that none comes after a higher one.
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..40 {
        let catalog = if n % 2 == 0 { one.catalog.clone() } else { two.catalog.clone() };
        let id = papers.id.clone();
        writers.spawn(async move { catalog.append_event(&id, event("tick")).await.unwrap() });
    }
    for expected in 1..=40 {
        assert_eq!(listener.recv().await.unwrap(), Notification::Event(number + expected));
        let known = one.catalog.events_since(number, None, 1000).await.unwrap().events;
        assert!(known.len() as u64 >= expected, "what is heard of is there");
    }
    writers.join_all().await;
    drop(listener);
    one.catalog.close().await;
    two.catalog.close().await;
}

#[tokio::test]
async fn a_name_is_held_by_one_server_at_a_time() {
    let Some((_postgres, one, two)) = two().await else { return };
    let held = one.shared.exclusive("file a").await.unwrap();
    let other = two.shared.exclusive("file b").await.unwrap();
    drop(other);
    let waiting = tokio::spawn({
        let shared = two.shared.clone();
        async move { drop(shared.exclusive("file a").await.unwrap()) }
    });
    // A question to the same database in between: whoever waited for the lock has asked before this is answered.
    for _ in 0..20 {
        two.catalog.check().await.unwrap();
    }
    assert!(!waiting.is_finished(), "it is held");
    drop(held);
    waiting.await.unwrap();
    one.catalog.close().await;
    two.catalog.close().await;
}

#[tokio::test]
async fn components_of_plugins_are_shared() {
    let Some((_postgres, one, two)) = two().await else { return };
    one.shared.add_component("sha256:ab", b"bytes").await.unwrap();
    one.shared.add_component("sha256:ab", b"bytes").await.unwrap();
    assert_eq!(two.shared.components().await.unwrap(), ["sha256:ab"]);
    assert_eq!(two.shared.component("sha256:ab").await.unwrap().as_deref(), Some(&b"bytes"[..]));
    assert!(two.shared.remove_component("sha256:ab").await.unwrap());
    assert!(!one.shared.remove_component("sha256:ab").await.unwrap());
    assert_eq!(one.shared.component("sha256:ab").await.unwrap(), None);
    one.catalog.close().await;
    two.catalog.close().await;
}

#[tokio::test]
async fn api_keys_are_shared_and_all_servers_are_notified() {
    let Some((_postgres, one, two)) = two().await else { return };
    let mut listener = two.shared.listen().await.unwrap();
    assert!(one.shared.add_api_key("b", "first", "{\"n\": 1}").await.unwrap());
    assert_eq!(listener.recv().await.unwrap(), Notification::ApiKeys);
    assert!(two.shared.add_api_key("a", "second", "{}").await.unwrap());
    assert!(two.shared.add_api_key("a", "second", "{}").await.unwrap(), "it is there already");
    assert!(!two.shared.add_api_key("c", "first", "{}").await.unwrap(), "the name is another's");
    assert_eq!(one.shared.api_keys().await.unwrap(), ["{\"n\": 1}", "{}"]);
    assert!(one.shared.remove_api_key("b").await.unwrap());
    assert!(!two.shared.remove_api_key("b").await.unwrap());
    assert_eq!(two.shared.api_keys().await.unwrap(), ["{}"]);
    for _ in 0..2 {
        assert_eq!(
            listener.recv().await.unwrap(),
            Notification::ApiKeys,
            "of the second, and of what went"
        );
    }
    drop(listener);
    one.catalog.close().await;
    two.catalog.close().await;
}

#[tokio::test]
async fn a_database_is_reached_by_tls_and_only_with_the_certificate_that_it_should_have() {
    let Some(postgres) = Postgres::start() else { return };
    let issuer = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, others) = (issuer("ours"), issuer("others"));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &ours)
        .unwrap();
    let plain = postgres.database();
    postgres.ask_for_tls(&certificate.pem(), &key.serialize_pem());

    let home = tempfile::tempdir().unwrap();
    let trusted = |issuer: &str, name: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, issuer).unwrap();
        format!("{plain}?sslmode=verify-full&sslrootcert={}", path.display())
    };
    let open = async |url: &str| match Catalog::postgres(&PostgresOptions::new(url)).await {
        Ok(catalog) => {
            let checked = catalog.check().await;
            catalog.close().await;
            checked
        }
        Err(error) => Err(error),
    };
    open(&trusted(&ours.pem(), "ours.pem")).await.unwrap();
    let wrong = open(&trusted(&others.pem(), "others.pem")).await;
    assert!(matches!(wrong, Err(CatalogError::Unreachable(_))), "{wrong:?}");
    let open_text = open(&format!("{plain}?sslmode=disable")).await;
    assert!(matches!(open_text, Err(CatalogError::Unreachable(_))), "{open_text:?}");
}
