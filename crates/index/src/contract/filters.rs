//! Every field of a filter restricts the hits.

use super::*;

pub(in super::super) async fn filters_restrict_by_every_field(index: &dyn VectorIndex) {
    let key = create(index, "filters").await;
    let with = |document: &str, payload: Payload| Point {
        payload,
        ..chunk(document, 0, EAST, "x")
    };
    let metadata = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let points = vec![
        with(
            "a",
            Payload {
                source: "a.pdf".into(),
                document_type: "application/pdf".into(),
                authors: vec!["Ada".into(), "Grace".into()],
                created: Some(1_000),
                metadata: metadata(&[("team", "red"), ("odd.key[0]\"", "dotted")]),
            },
        ),
        with(
            "b",
            Payload {
                source: "b.md".into(),
                document_type: "text/markdown".into(),
                authors: vec!["Grace".into()],
                created: Some(2_000),
                metadata: metadata(&[("team", "blue"), ("stage", "red")]),
            },
        ),
        with("c", Payload::default()),
    ];
    index.upsert(&key, points).await.unwrap();
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let pairs = |values: &[(&str, &str)]| {
        values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>()
    };
    let dates = |start, end| Filter {
        created: DateRange { start, end },
        ..Filter::default()
    };
    let cases = [
        (Filter::default(), "abc"),
        (
            Filter {
                document_ids: texts(&["a", "c", "none"]),
                ..Filter::default()
            },
            "ac",
        ),
        (
            Filter {
                sources: texts(&["b.md"]),
                ..Filter::default()
            },
            "b",
        ),
        (
            Filter {
                document_types: texts(&["text/markdown", "application/pdf"]),
                ..Filter::default()
            },
            "ab",
        ),
        (
            Filter {
                authors: texts(&["Grace"]),
                ..Filter::default()
            },
            "ab",
        ),
        (
            Filter {
                authors: texts(&["Ada"]),
                ..Filter::default()
            },
            "a",
        ),
        (
            Filter {
                authors: texts(&["ada"]),
                ..Filter::default()
            },
            "",
        ),
        (dates(Some(1_000), None), "ab"),
        (dates(Some(1_001), None), "b"),
        (dates(None, Some(1_000)), "a"),
        (dates(Some(1_000), Some(2_000)), "ab"),
        (
            Filter {
                metadata: pairs(&[("team", "red")]),
                ..Filter::default()
            },
            "a",
        ),
        (
            Filter {
                metadata: pairs(&[("stage", "red"), ("team", "blue")]),
                ..Filter::default()
            },
            "b",
        ),
        (
            Filter {
                metadata: pairs(&[("stage", "red"), ("team", "red")]),
                ..Filter::default()
            },
            "",
        ),
        (
            Filter {
                metadata: pairs(&[("odd.key[0]\"", "dotted")]),
                ..Filter::default()
            },
            "a",
        ),
        (
            Filter {
                authors: texts(&["Grace"]),
                sources: texts(&["a.pdf"]),
                ..Filter::default()
            },
            "a",
        ),
        (
            Filter {
                exclude_documents: texts(&["a", "none"]),
                ..Filter::default()
            },
            "bc",
        ),
        (
            Filter {
                authors: texts(&["Grace"]),
                exclude_documents: texts(&["a"]),
                ..Filter::default()
            },
            "b",
        ),
    ];
    let queries = |query: Query| {
        cases
            .iter()
            .map(|(filter, _)| Query {
                filter: Arc::new(filter.clone()),
                ..query.clone()
            })
            .collect::<Vec<_>>()
    };
    for query in [dense(EAST, 10), words("x")] {
        let results = index.search(&key, queries(query)).await.unwrap();
        for ((filter, expected), hits) in cases.iter().zip(&results) {
            let documents: String = hits.iter().map(|hit| hit.document_id.as_str()).collect();
            assert_eq!(documents, *expected, "{filter:?}");
        }
    }
}
