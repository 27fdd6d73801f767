//! `ibid plugin new`: the project of each kind builds, keeps its own tests, and does in the real host what it says.

use ibid::document::{Document, Span};
use ibid::plugin::author::{self, AuthorError, BuildOptions};
use ibid::plugin::{Blob, Budget, FileBlob, Host, HostSettings, Kind, Plugin, Provided, Source, TokenCounter};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

struct Words;

impl TokenCounter for Words {
    fn count(&self, text: &str) -> u32 {
        text.split_whitespace().count() as u32
    }
}

#[tokio::test]
async fn a_new_project_of_each_kind_builds_and_works() {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dirs: Vec<PathBuf> = Kind::ALL
        .iter()
        .map(|kind| {
            let dir = home.path().join(kind.name());
            author::new_project(&dir, &format!("my-{kind}"), *kind).unwrap();
            dir
        })
        .collect();
    let options = BuildOptions {
        out: home.path().join("dist"),
        target_dir: Some(root.join("target/wasm")),
        install: true,
        report: &|line| eprintln!("{line}"),
    };
    let built = author::build(&dirs, &options).unwrap_or_else(|error| panic!("{error}"));
    for dir in &dirs {
        // One target directory: the four have the same dependencies.
        let tests = Command::new("cargo")
            .args(["test", "--quiet", "--manifest-path"])
            .arg(dir.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", root.join("target/plugins"))
            .output()
            .unwrap();
        assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stderr));
    }

    let host = Host::new(HostSettings::default()).unwrap();
    let load = |name: &str| -> Arc<Plugin> {
        let built = built.iter().find(|built| built.manifest.name == name).unwrap();
        host.load(&fs::read(&built.path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
    };
    let budget = Budget::of;

    let mut table = tempfile::tempfile().unwrap();
    table.write_all("city,people\nZürich,434008\n".as_bytes()).unwrap();
    let source: Arc<dyn Blob> = Arc::new(FileBlob::new(table).unwrap());
    let document: Document = host
        .extract(&load("my-extractor"), "{}", source, &budget(Kind::Extractor), |_| {})
        .await
        .unwrap();
    assert_eq!(document.text, "city,people\nZürich,434008\n");
    let rows: Vec<_> = document
        .units
        .iter()
        .map(|unit| (unit.kind.as_str(), unit.at.of(&document.text).unwrap()))
        .collect();
    assert_eq!(rows, [("table-row", "city,people"), ("table-row", "Zürich,434008")]);

    let text = "One two.\n\nThree four five.\n\nSix.";
    let document = Arc::new(Document {
        text: text.into(),
        ..Document::default()
    });
    let whole = Span::new(0, text.len() as u32);
    let pieces = host
        .chunk(
            &load("my-chunker"),
            r#"{"max_tokens": 5}"#,
            &document,
            whole,
            Provided::tokens(Arc::new(Words)),
            &budget(Kind::Chunker),
        )
        .await
        .unwrap();
    let pieces: Vec<&str> = pieces.iter().map(|piece| piece.at.of(text).unwrap()).collect();
    assert_eq!(pieces, ["One two.\n\nThree four five.", "Six."]);

    let plan = host
        .analyze(
            &load("my-analyzer"),
            "{}",
            "What is “net debt”?",
            &Vec::new(),
            &budget(Kind::Analyzer),
        )
        .await
        .unwrap();
    let searches: Vec<&str> = plan.searches.iter().map(|search| search.text.as_str()).collect();
    assert_eq!(searches, ["What is “net debt”?", "net debt"]);

    let mut formatter = host.formatter(&load("my-formatter"), "{}", &budget(Kind::Formatter)).await.unwrap();
    let cited = Source {
        citation_id: 2,
        document_id: "d".into(),
        name: "report.pdf".into(),
        at: whole,
        page: Some(4),
        section: vec![],
        attrs: vec![],
    };
    assert_eq!(formatter.entry(&cited).await.unwrap(), "[b] report.pdf, p. 4");
    assert_eq!(formatter.mark(&[cited]).await.unwrap(), " [b]");
}

#[test]
fn a_project_is_not_mixed_with_what_is_there_nor_given_a_name_that_none_may_have() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("letter.txt"), "dear").unwrap();
    let error = author::new_project(home.path(), "mine", Kind::Chunker).unwrap_err();
    assert!(matches!(error, AuthorError::NotEmpty { .. }), "{error}");
    let error = author::new_project(&home.path().join("x"), "Not A Name", Kind::Chunker).unwrap_err();
    assert!(error.to_string().contains("`name`"), "{error}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing was written");
}
