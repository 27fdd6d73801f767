//! Lists agree with a model, whatever is asked; pages join without gap or overlap.

use super::{TestCatalog, collection, file, live};
use crate::{Creation, DocumentQuery, DocumentRecord, DocumentSort, DocumentState};
use ibid_types::ErrorCode;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Made {
    name: String,
    size: u64,
    fails: bool,
    second: bool,
}

fn made() -> impl Strategy<Value = Made> {
    // Few names and sizes, so that many are equal.
    ("[abAB ß]{1,2}", 0..4_u64, any::<bool>(), any::<bool>()).prop_map(|(name, size, fails, second)| Made { name, size, fails, second })
}

fn sort(documents: &mut [DocumentRecord], query: &DocumentQuery) {
    documents.sort_by(|a, b| {
        let key = match query.sort_by {
            DocumentSort::UploadDate => a.created_at.cmp(&b.created_at),
            DocumentSort::Size => a.file_size.cmp(&b.file_size),
            DocumentSort::Filename => (a.filename.to_ascii_lowercase(), &a.filename).cmp(&(b.filename.to_ascii_lowercase(), &b.filename)),
        };
        let order = key.then_with(|| a.id.cmp(&b.id));
        if query.descending { order.reverse() } else { order }
    });
}

async fn agrees(all: Vec<Made>, query: DocumentQuery, failed_only: bool, second_only: bool) {
    let catalog = TestCatalog::new().await;
    let collections = [collection(&catalog, "first").await, collection(&catalog, "second").await];
    let mut model = Vec::new();
    for (n, one) in (0_u64..).zip(&all) {
        let of = &collections[usize::from(one.second)];
        let mut new = file(of, n);
        new.filename = one.name.clone();
        new.file_size = one.size;
        let Creation::Created(document) = catalog.create_document(new).await.unwrap() else {
            panic!()
        };
        if one.fails {
            catalog.fail(&document.id, "X", "x").await.unwrap();
        }
        model.push(catalog.document(&document.id).await.unwrap());
    }
    let mut query = query;
    if failed_only {
        query.states = vec![DocumentState::Failed];
        model.retain(|document| document.state == DocumentState::Failed);
    }
    if second_only {
        query.collection_ids = Some(vec![collections[1].id.clone()]);
        model.retain(|document| document.collection == "second");
    }
    sort(&mut model, &query);

    let mut joined = Vec::new();
    query.offset = 0;
    loop {
        let page = catalog.list_documents(&query).await.unwrap();
        assert_eq!(page.total, model.len() as u64);
        assert!(page.items.len() <= query.limit as usize);
        if page.items.is_empty() {
            break;
        }
        query.offset += page.items.len() as u64;
        joined.extend(page.items);
    }
    assert_eq!(joined, model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn pages_join_to_the_sorted_whole(
        all in proptest::collection::vec(made(), 0..12),
        by in 0..3_usize,
        descending: bool,
        limit in 1..6_u32,
        failed_only: bool,
        second_only: bool,
    ) {
        let query = DocumentQuery { sort_by: DocumentSort::ALL[by], descending, limit, ..DocumentQuery::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agrees(all, query, failed_only, second_only));
    }
}

#[tokio::test]
async fn limits_are_checked_and_far_offsets_are_empty() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    live(&catalog, &papers, 1, 1).await;
    for limit in [0, 1001, u32::MAX] {
        let query = DocumentQuery {
            limit,
            ..DocumentQuery::default()
        };
        assert_eq!(catalog.list_documents(&query).await.unwrap_err().code(), ErrorCode::ValidationError);
    }
    let query = DocumentQuery {
        offset: u64::MAX,
        ..DocumentQuery::default()
    };
    let page = catalog.list_documents(&query).await.unwrap();
    assert_eq!((page.items.len(), page.total), (0, 1));
    let none = DocumentQuery {
        collection_ids: Some(Vec::new()),
        ..DocumentQuery::default()
    };
    assert_eq!(catalog.list_documents(&none).await.unwrap().total, 0);
}
