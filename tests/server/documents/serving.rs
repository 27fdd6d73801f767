//! Serving, listing and paging of documents.

use super::*;

#[tokio::test]
async fn a_file_is_served_whole_and_in_ranges() {
    let api = Server::shared().api();
    let report = files::report("report.pdf");
    let document = api.ingest("documents-file", &report).await;
    let path = format!("/documents/{}/file", document["document_id"].as_str().expect("an id"));
    let size = report.bytes.len();
    let whole = api.get(&path).await;
    assert_eq!(
        (whole.status.as_u16(), whole.header("content-type"), whole.header("accept-ranges")),
        (200, "application/pdf", "bytes")
    );
    assert!(whole.header("content-disposition").contains("report.pdf"));
    assert_eq!(whole.body, report.bytes);

    for (range, start, end) in [
        ("bytes=0-4", 0, 5),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        ("bytes=10-999999999", 10, size),
    ] {
        let part = api.send(api.request(Method::GET, &path).header(RANGE, range)).await;
        assert_eq!(part.status.as_u16(), 206, "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {start}-{}/{size}", end - 1), "{range}");
        assert_eq!(part.body, report.bytes[start..end], "{range}");
    }
    let beyond = api
        .send(api.request(Method::GET, &path).header(RANGE, format!("bytes={size}-")))
        .await;
    beyond.error(416, "RANGE_NOT_SATISFIABLE");
    assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
    let head = api.send(api.request(Method::HEAD, &path)).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length"), head.body.len()),
        (200, size.to_string().as_str(), 0)
    );
    let known = api
        .send(api.request(Method::GET, &path).header("if-none-match", whole.header("etag")))
        .await;
    assert_eq!(known.status.as_u16(), 304);
}

#[tokio::test]
async fn lists_are_paged_sorted_and_restricted() {
    let api = Server::shared().api();
    let names: Vec<String> = ["d", "a", "c", "e", "b"].iter().map(|name| format!("{name}.txt")).collect();
    for (n, name) in names.iter().enumerate() {
        api.ingest(
            "documents-list",
            &File::new(name, format!("A note of {} words: {}.", n + 1, "word ".repeat(n + 1))),
        )
        .await;
    }
    let list = async |query: &str| {
        api.get(&format!("/documents?collection_name=documents-list{query}"))
            .await
            .expect(200)
    };
    let shown = |list: &Value| {
        list["documents"]
            .as_array()
            .expect("documents")
            .iter()
            .map(|d| d["filename"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };

    let newest_first = list("").await;
    assert_eq!(shown(&newest_first), names.iter().rev().cloned().collect::<Vec<_>>());
    for document in newest_first["documents"].as_array().expect("documents") {
        has(
            document,
            &[
                ("document_id", Is::Text),
                ("filename", Is::Text),
                ("collection_name", Is::Text),
                ("status", Is::Text),
                ("content_type", Is::Text),
                ("file_size", Is::Count),
                ("upload_date", Is::Time),
                ("chunks", Is::Count),
            ],
        );
    }
    assert_eq!(
        shown(&list("&sort_by=filename&sort_order=asc").await),
        ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"]
    );
    assert_eq!(shown(&list("&sort_by=size&sort_order=asc").await), names);

    let mut seen = Vec::new();
    for offset in [0, 2, 4] {
        let page = list(&format!("&sort_by=filename&sort_order=asc&limit=2&offset={offset}")).await;
        let expected = json!({ "total": 5, "limit": 2, "offset": offset, "has_next": offset < 4, "has_previous": offset > 0 });
        assert_eq!(page["pagination"], expected);
        seen.extend(shown(&page));
    }
    assert_eq!(seen, ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"]);
    assert_eq!(shown(&list("&status=ready").await).len(), 5);
    assert_eq!(shown(&list("&status=processing").await).len(), 0);
    for (query, field) in [
        ("&limit=0", "limit"),
        ("&limit=x", "limit"),
        ("&status=odd", "status"),
        ("&sort_by=colour", "sort_by"),
        ("&sort_order=up", "sort_order"),
    ] {
        let error = api
            .get(&format!("/documents?collection_name=documents-list{query}"))
            .await
            .error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field);
    }
}
