//! `/documents`: what a document becomes, or why it becomes none.

mod serving;

use crate::support::files::{self, File, PAGES, QUESTIONS};
use crate::support::{Is, Reply, Server, answered, has};
use reqwest::Method;
use reqwest::header::RANGE;
use serde_json::{Value, json};

#[tokio::test]
async fn a_pdf_is_read_with_its_pages_and_metadata() {
    let api = Server::shared().api();
    let report = files::report("report.pdf");
    let reply = api.upload("", "documents-pdf", &[&report]).await.expect(201);
    has(
        &reply,
        &[
            ("upload_id", Is::Text),
            ("upload_ids", Is::Texts),
            ("uploaded_documents", Is::Array),
            ("failed_documents", Is::Array),
            ("statistics", Is::Object),
        ],
    );
    let uploaded = &reply["uploaded_documents"][0];
    has(
        uploaded,
        &[
            ("document_id", Is::Text),
            ("filename", Is::Text),
            ("status", Is::Text),
            ("file_size", Is::Count),
            ("pages", Is::Count),
            ("chunks_created", Is::Count),
            ("embeddings_generated", Is::Count),
            ("processing_time", Is::Number),
            ("metadata", Is::Object),
        ],
    );
    assert_eq!(
        (&uploaded["status"], &uploaded["pages"], &uploaded["filename"]),
        (&json!("success"), &json!(4), &json!("report.pdf"))
    );
    assert_eq!(
        (&uploaded["file_size"], &uploaded["embeddings_generated"]),
        (&json!(report.bytes.len()), &uploaded["chunks_created"])
    );
    let id = uploaded["document_id"].as_str().expect("an id");

    let text = api.text(id, "").await;
    let mut from = 0;
    for line in PAGES.iter().copied().flatten() {
        let found = text[from..]
            .find(line)
            .unwrap_or_else(|| panic!("not in the text, or out of order: {line}\n{text}"));
        from += found + line.len();
    }

    let detail = api.get(&format!("/documents/{id}")).await.expect(200);
    has(
        &detail,
        &[
            ("document_id", Is::Text),
            ("filename", Is::Text),
            ("collection_name", Is::Text),
            ("status", Is::Text),
            ("file_info", Is::Object),
            ("processing_info", Is::Object),
            ("metadata", Is::Object),
            ("statistics", Is::Object),
        ],
    );
    has(
        &detail["file_info"],
        &[("size", Is::Count), ("content_type", Is::Text), ("sha256", Is::Text)],
    );
    assert_eq!(
        (&detail["status"], &detail["file_info"]["content_type"]),
        (&json!("ready"), &json!("application/pdf"))
    );
    assert_eq!(detail["processing_info"]["state"], "live");
    assert_eq!(
        (&detail["metadata"]["title"], &detail["metadata"]["author"]),
        (&json!("Annual notes"), &json!("A. Writer")),
        "{detail}"
    );
    assert_eq!(
        (&detail["statistics"]["pages"], &detail["statistics"]["characters"]),
        (&json!(4), &json!(text.chars().count()))
    );

    let list = api
        .get(&format!("/documents/{id}/chunks?include_embeddings=true"))
        .await
        .expect(200);
    let chunks = list["chunks"].as_array().expect("chunks");
    assert_eq!(
        (&list["pagination"]["total"], &json!(chunks.len())),
        (&uploaded["chunks_created"], &uploaded["chunks_created"])
    );
    for (n, chunk) in chunks.iter().enumerate() {
        has(
            chunk,
            &[
                ("chunk_id", Is::Text),
                ("chunk_index", Is::Count),
                ("content", Is::Text),
                ("start_char", Is::Count),
                ("end_char", Is::Count),
                ("metadata", Is::Object),
                ("embedding", Is::Array),
            ],
        );
        assert_eq!(chunk["chunk_index"], n);
        assert!(
            chunk["metadata"]["page"].as_u64().is_some_and(|page| (1..=4).contains(&page)),
            "{chunk}"
        );
        let embedding: Vec<f64> = chunk["embedding"]
            .as_array()
            .expect("numbers")
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        let length = embedding.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(
            embedding.len() == 384 && (length - 1.0).abs() < 1e-3,
            "{} numbers, length {length}",
            embedding.len()
        );
    }
}

#[tokio::test]
async fn text_and_markdown_are_kept_byte_for_byte() {
    let api = Server::shared().api();
    let mixed =
        "\u{feff}First line\r\nsecond\twith a tab\n\n\n   indented\u{a0}text, a combining e\u{301}, 日本語, 🦀 and a trailing space \n";
    for file in [files::handbook("handbook.md"), File::new("mixed.txt", mixed), files::volume(3, 30)] {
        let document = api.ingest("documents-text", &file).await;
        let id = document["document_id"].as_str().expect("an id");
        let reply = api.get(&format!("/documents/{id}/text")).await;
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.body, file.bytes, "{}", file.name);
        assert!(document.get("pages").is_none(), "{document}");

        let characters: Vec<char> = String::from_utf8(file.bytes.clone()).expect("UTF-8").chars().collect();
        let length = characters.len();
        for (start, end) in [(0, 0), (0, 1), (3, length / 2), (length / 2, length), (length - 1, length)] {
            let part: String = characters[start..end].iter().collect();
            assert_eq!(
                api.text(id, &format!("?start={start}&end={end}")).await,
                part,
                "{} {start}..{end}",
                file.name
            );
        }
        assert_eq!(
            api.text(id, &format!("?start={}", length - 5)).await,
            characters[length - 5..].iter().collect::<String>()
        );
        let error = api
            .get(&format!("/documents/{id}/text?start=5&end=2"))
            .await
            .error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], "start");
    }
}

#[tokio::test]
async fn an_encrypted_pdf_that_anybody_can_open_is_read() {
    let api = Server::shared().api();
    let file = File::new("restricted.pdf", files::pdf(&PAGES, Some("")));
    assert!(
        !String::from_utf8_lossy(&file.bytes).contains("Rotterdam"),
        "the fixture is not encrypted"
    );
    let document = api.ingest("documents-encrypted", &file).await;
    assert_eq!(document["pages"], 4);
    let mut socket = Server::shared().socket("/ws/query").await;
    socket
        .query("a", json!({ "query": QUESTIONS[3].0, "collection_name": "documents-encrypted" }))
        .await;
    let answer = answered(&socket.answer("a").await);
    assert_eq!(
        (&answer.citations[0]["source"], &answer.citations[0]["page"]),
        (&json!("restricted.pdf"), &json!(4))
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_clearly_and_leaves_nothing_behind() {
    let api = Server::shared().api();
    let whole = files::report("whole.pdf").bytes;
    let garbage: Vec<u8> = b"%PDF-1.7\n"
        .iter()
        .copied()
        .chain((0..4_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8))
        .collect();
    let broken = [
        (File::new("secret.pdf", files::pdf(&PAGES, Some("open sesame"))), "password"),
        (File::new("garbage.pdf", garbage), "PDF"),
        (File::new("cut.pdf", &whole[..whole.len() / 3]), "PDF"),
        (File::new("text.pdf", "This is no PDF at all."), "PDF"),
        (File::new("empty.txt", ""), "empty"),
        (File::new("blank.txt", " \n\t\n "), "text"),
        (
            File::new("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06".to_vec()),
            "binary",
        ),
    ];
    for (file, word) in &broken {
        let reply = api.upload("", "documents-broken", &[file]).await;
        let body = reply.json();
        let error = reply.error(422, "PROCESSING_ERROR");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.to_lowercase().contains(&word.to_lowercase())),
            "{}: {error}",
            file.name
        );
        assert_eq!(
            (
                &body["failed_documents"][0]["filename"],
                &body["failed_documents"][0]["error"]["code"]
            ),
            (&json!(file.name), &json!("PROCESSING_ERROR"))
        );
    }
    for document in api.documents("documents-broken").await {
        let id = document["document_id"].as_str().expect("an id");
        assert_eq!(
            (&document["status"], &document["chunks"]),
            (&json!("failed"), &json!(0)),
            "{document}"
        );
        let detail = api.get(&format!("/documents/{id}")).await.expect(200);
        has(&detail["processing_info"]["error"], &[("code", Is::Text), ("message", Is::Text)]);
        api.get(&format!("/documents/{id}/file")).await.error(404, "RESOURCE_NOT_FOUND");
        api.get(&format!("/documents/{id}/text")).await.error(409, "CONFLICT");
        assert_eq!(api.get(&format!("/documents/{id}/chunks")).await.expect(200)["chunks"], json!([]));
        assert_eq!(api.found_chunks("documents-broken", id).await, 0);
    }
    let failed = api
        .get("/documents?collection_name=documents-broken&status=failed")
        .await
        .expect(200);
    let names: Vec<&str> = failed["documents"]
        .as_array()
        .expect("documents")
        .iter()
        .filter_map(|document| document["filename"].as_str())
        .collect();
    assert!(
        names.contains(&"secret.pdf") && names.contains(&"garbage.pdf"),
        "a failure can be seen afterwards: {names:?}"
    );
    let info = api.get("/collections/documents-broken/info").await.expect(200);
    assert_eq!(
        (&info["total_documents"], &info["total_chunks"], &info["processing_documents"]),
        (&json!(0), &json!(0), &json!(0)),
        "{info}"
    );

    // One that can be read is not held up by one that cannot, and a name is free again.
    let good = File::new("secret.pdf", whole);
    let body = api.upload("", "documents-broken", &[&broken[1].0, &good]).await.expect(201);
    assert_eq!(
        (&body["uploaded_documents"][0]["filename"], &body["failed_documents"][0]["filename"]),
        (&json!("secret.pdf"), &json!("garbage.pdf"))
    );
    assert_eq!(
        (
            &body["statistics"]["total_files"],
            &body["statistics"]["successful"],
            &body["statistics"]["failed"]
        ),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_type_that_nobody_reads_is_refused_with_415() {
    let api = Server::shared().api();
    for file in [
        File::new("picture.png", b"\x89PNG\r\n\x1a\n".to_vec()),
        File::new("program.exe", b"MZ".to_vec()),
        File::new("noextension", "text"),
    ] {
        api.upload("", "documents-types", &[&file])
            .await
            .error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let plain = api.request(Method::POST, "/documents/upload").body("no form");
    api.send(plain).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_with_413_and_not_kept() {
    let api = Server::shared().api();
    let large = File::new("large.txt", vec![b'a'; (4 << 20) + 1]);
    api.upload("", "documents-large", &[&large]).await.error(413, "PAYLOAD_TOO_LARGE");
    let list = api.get("/documents?collection_name=documents-large").await;
    assert!(
        list.status.as_u16() == 404 || list.json()["documents"] == json!([]),
        "{}",
        list.text()
    );
}

#[tokio::test]
async fn an_invalid_upload_form_is_refused() {
    use reqwest::multipart::{Form, Part};
    let api = Server::shared().api();
    let send = async |form: Form| -> Reply { api.send(api.request(Method::POST, "/documents/upload").multipart(form)).await };
    let file = || Part::bytes(b"Some text.".to_vec()).file_name("a.txt");
    for (form, field) in [
        (Form::new().text("collection_name", "documents-form"), "files"),
        (
            Form::new().text("collection_name", "no/such name").part("files", file()),
            "collection_name",
        ),
        (Form::new().text("metadata", "not json").part("files", file()), "metadata"),
        (Form::new().text("wait", "perhaps").part("files", file()), "wait"),
    ] {
        assert_eq!(send(form).await.error(400, "VALIDATION_ERROR")["details"]["field"], field);
    }
    let form = Form::new()
        .text("collection_name", "documents-form")
        .text("metadata", r#"{"department": "IT", "year": 2024}"#)
        .part("files", file());
    let body = send(form).await.expect(201);
    assert_eq!(
        (
            &body["uploaded_documents"][0]["metadata"]["department"],
            &body["uploaded_documents"][0]["metadata"]["year"]
        ),
        (&json!("IT"), &json!("2024"))
    );
}

#[tokio::test]
async fn the_same_bytes_again_are_a_duplicate() {
    let api = Server::shared().api();
    let first = api.ingest("documents-twice", &files::report("report.pdf")).await;
    let again = api.ingest("documents-twice", &files::report("copy.pdf")).await;
    assert_eq!(
        (&again["status"], &again["document_id"]),
        (&json!("duplicate"), &first["document_id"])
    );
    assert_eq!(api.documents("documents-twice").await.len(), 1);
    let id = first["document_id"].as_str().expect("an id");
    assert_eq!(
        api.found_chunks("documents-twice", id).await as u64,
        first["chunks_created"].as_u64().expect("a count")
    );
}

#[tokio::test]
async fn an_upload_may_ask_for_other_chunks_than_its_collection_makes() {
    let api = Server::shared().api();
    let collection = "other-chunks";
    let usual = api.ingest(collection, &files::volume(31, 60)).await;
    let form = |size: &str| {
        let file = files::volume(32, 60);
        let part = reqwest::multipart::Part::bytes(file.bytes).file_name(file.name);
        let fields = [("collection_name", collection), ("chunk_size", size), ("chunk_overlap", "0")];
        let form = fields.into_iter().fold(reqwest::multipart::Form::new(), |form, (name, value)| {
            form.text(name, value.to_owned())
        });
        api.request(reqwest::Method::POST, "/documents/upload")
            .multipart(form.part("files", part))
    };
    let small = api.send(form("40")).await.expect(201)["uploaded_documents"][0].clone();
    let count = |document: &serde_json::Value| document["chunks_created"].as_u64().expect("a count");
    assert!(count(&small) > 2 * count(&usual), "{small} {usual}");
    // What made it is kept with it; the collection's own pipeline stays as it was.
    let id = small["document_id"].as_str().expect("an id");
    let detail = api.get(&format!("/documents/{id}")).await.expect(200);
    let config = &detail["processing_info"]["pipeline"]["pipeline"]["chunker"]["config"];
    assert_eq!(*config, serde_json::json!({ "target_tokens": 40, "overlap_tokens": 0 }));
    let collection = api.get(&format!("/collections/{collection}/info")).await.expect(200);
    assert_eq!(collection["pipeline"]["chunker"]["config"], serde_json::json!({}));
    let error = api.send(form("3")).await.error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"]["field"], "chunk_size");
}
