//! Extractors.

use super::*;

async fn extract(host: &Host, plugin: &Plugin, name: &str, bytes: &[u8], budget: &Budget) -> Result<Document, PluginError> {
    host.extract(plugin, &what(name), Arc::new(bytes.to_vec()), budget, |_| {}).await
}

#[tokio::test]
async fn an_extractor_makes_a_document_and_tells_its_progress() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[1]).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let source: Arc<dyn Blob> = Arc::new(b"just some plain words".to_vec());
    let document = host
        .extract(&plugin, "{}", source, &Budget::of(Kind::Extractor), move |done| {
            seen.lock().unwrap().push(done)
        })
        .await
        .unwrap();
    assert_eq!(document.text, "just some plain words");
    assert_eq!(
        document.units,
        [Unit {
            at: Span::new(0, 21),
            kind: "paragraph".into(),
            level: 0,
            title: None
        }]
    );
    assert_eq!(
        document.pages,
        [Page {
            at: Span::new(0, 21),
            number: 1,
            label: Some("i".into())
        }]
    );
    assert_eq!(document.attr("title"), Some("Title"));
    let told = told.lock().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
}

#[tokio::test]
async fn an_extractor_meets_each_bound() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[1]).unwrap();
    let budget = Budget {
        output_bytes: 4 << 20,
        output_items: 10_000,
        memory_bytes: 64 << 20,
        deadline: Duration::from_secs(20),
        ..Budget::of(Kind::Extractor)
    };
    let brief = Budget {
        deadline: Duration::from_millis(200),
        ..budget.clone()
    };
    for (name, budget, reason, message) in [
        ("loop", &brief, "deadline", "ran longer than its 200 ms"),
        ("read-forever", &brief, "deadline", "ran longer than its 200 ms"),
        ("write-forever", &budget, "limit", "may have 4194304 bytes"),
        ("write-at-once", &budget, "limit", "exceeded a limit"),
        ("attrs-forever", &budget, "limit", "may have 4194304 bytes"),
        ("units-forever", &budget, "limit", "may have 10000 units"),
        ("pages-forever", &budget, "limit", "may have 10000 units"),
        (
            "ahead",
            &budget,
            "invalid_result",
            "unit 0 (paragraph) is not in the text: 0..10 reaches past the text's 0 bytes",
        ),
        ("boundary", &budget, "invalid_result", "cuts the character at 2"),
        ("encrypted", &budget, "failure", "failed: The file needs a password. (ENCRYPTED)"),
    ] {
        let error = extract(&host, &plugin, name, b"bytes", budget).await.expect_err(name);
        expect_reason(&error, Kind::Extractor, reason, message);
        assert_eq!(error.failure_code(), (name == "encrypted").then_some("ENCRYPTED"));
        assert_eq!(
            extract(&host, &plugin, "", b"bytes", budget).await.unwrap().text,
            "bytes",
            "after {name}"
        );
    }
}

#[tokio::test]
async fn an_upload_that_cannot_be_read_is_the_servers_fault() {
    struct Broken;
    impl Blob for Broken {
        fn len(&self) -> u64 {
            100
        }
        fn read(&self, _: u64, _: u32) -> io::Result<Vec<u8>> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    struct Panicking;
    impl Blob for Panicking {
        fn len(&self) -> u64 {
            panic!("a bug in the server")
        }
        fn read(&self, _: u64, _: u32) -> io::Result<Vec<u8>> {
            Ok(vec![])
        }
    }
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[1]).unwrap();
    let budget = Budget::of(Kind::Extractor);
    let error = host.extract(&plugin, "{}", Arc::new(Broken), &budget, |_| {}).await.unwrap_err();
    expect_reason(&error, Kind::Extractor, "host", "the upload cannot be read: the disk is gone");
    let error = host.extract(&plugin, "{}", Arc::new(Panicking), &budget, |_| {}).await.unwrap_err();
    expect_reason(&error, Kind::Extractor, "host", "the call panicked");
    assert_eq!(extract(&host, &plugin, "", b"bytes", &budget).await.unwrap().text, "bytes");
}
