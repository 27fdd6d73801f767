//! `ibid plugin new`, `build` and `test`: the project of each kind in each language builds, keeps its own tests, and does in the real
//! host what its fixture says.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use ibid_plugin_author::{self as author, AuthorError, BuildOptions, FixtureEnd, FixtureReport, Language};
use ibid_plugin_host::{Host, HostSettings, Kind};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

struct Project {
    kind: Kind,
    language: Language,
    dir: PathBuf,
    component: PathBuf,
}

/// What has to be kept for as long as the tests run.
struct Projects {
    _home: tempfile::TempDir,
    new: Vec<Project>,
    crashing: Vec<Project>,
}

/// One of each kind in each language as `new` writes it, and two that crash. Built once; one thread for each language.
static PROJECTS: LazyLock<Projects> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    let new = thread::scope(|scope| {
        let builds = Language::ALL.map(|language| {
            let home = home.path().join(language.to_string());
            scope.spawn(move || {
                Kind::ALL.map(|kind| (kind, home.join(kind.name()))).map(|(kind, dir)| {
                    author::new_project(&dir, &format!("my-{kind}"), kind, language).unwrap();
                    make(kind, language, dir)
                })
            })
        });
        builds.into_iter().flat_map(|build| build.join().unwrap()).collect()
    });
    let crash = |language: Language, from: &str, to: &str| {
        let dir = home.path().join(format!("crashing-{language}"));
        author::new_project(&dir, "crashing", Kind::Formatter, language).unwrap();
        let logic = fs::read_dir(dir.join("src")).unwrap().flatten().map(|entry| entry.path());
        let logic = logic.into_iter().find(|path| path.file_stem().unwrap() == "logic").unwrap();
        let text = fs::read_to_string(&logic).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&logic, text.replace(from, to)).unwrap();
        make(Kind::Formatter, language, dir)
    };
    let crashing = vec![
        crash(
            Language::JavaScript,
            "let written = '';",
            "throw new Error('the letters are lost');",
        ),
        crash(Language::Python, "written = \"\"", "raise ValueError('the letters are lost')"),
    ];
    Projects {
        _home: home,
        new,
        crashing,
    }
});

fn make(kind: Kind, language: Language, dir: PathBuf) -> Project {
    let options = BuildOptions {
        out: dir.join("dist"),
        // One target directory: the projects have the same dependencies.
        target_dir: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wasm")),
        install: true,
        report: &|line| eprintln!("{line}"),
    };
    let built = author::build(std::slice::from_ref(&dir), &options).unwrap_or_else(|error| panic!("{error}"));
    let component = built[0].path.clone();
    Project {
        kind,
        language,
        dir,
        component,
    }
}

/// Runs the fixtures of `dir` with the component of `project`.
async fn test(project: &Project, dir: &Path, bless: bool) -> Result<Vec<FixtureReport>, AuthorError> {
    let host = Host::new(HostSettings::default()).unwrap();
    let plugin = host
        .load(&fs::read(&project.component).unwrap())
        .unwrap_or_else(|error| panic!("{error}"));
    author::test(&host, &plugin, dir, bless).await
}

fn projects() -> &'static Projects {
    &PROJECTS
}

#[tokio::test]
async fn a_new_project_does_in_the_host_what_its_fixture_says_in_each_language_the_same() {
    let projects = tokio::task::spawn_blocking(projects).await.unwrap();
    assert_eq!(projects.new.len(), Kind::ALL.len() * Language::ALL.len());
    for project in &projects.new {
        let reports = test(project, &project.dir, false).await.unwrap();
        let what = (project.kind, project.language);
        assert_eq!(reports.len(), 1, "{what:?}");
        assert_eq!(reports[0].end, FixtureEnd::Passed, "{what:?}");
    }
}

#[test]
fn a_new_project_passes_its_own_tests() {
    for project in &projects().new {
        let mut command = match project.language {
            Language::Rust => {
                let mut cargo = Command::new("cargo");
                let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/plugins");
                // An author compiles with the plain compiler, also where this test was linted by Clippy.
                cargo.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CLIPPY_ARGS");
                cargo.args(["test", "--quiet"]).env("CARGO_TARGET_DIR", target);
                cargo
            }
            Language::JavaScript => {
                let mut npm = Command::new("npm");
                npm.arg("test");
                npm
            }
            Language::Python => {
                let mut python = Command::new("python3");
                python.args(["-m", "unittest", "discover", "tests"]);
                python
            }
        };
        let output = command.current_dir(&project.dir).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {}: {said}", project.kind, project.language);
        // A runner that finds nothing to run is content, too.
        assert!(!said.contains("tests 0") && !said.contains("Ran 0 tests"), "{said}");
    }
}

#[test]
fn a_project_in_rust_has_the_whole_sdk() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("p");
    author::new_project(&dir, "p", Kind::Chunker, Language::Rust).unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/sdk");
    let sources = fs::read_dir(sdk.join("src")).unwrap().map(|entry| entry.unwrap().path());
    for file in sources.chain([sdk.join("Cargo.toml")]) {
        let copy = dir.join("vendor/ibid-plugin").join(file.strip_prefix(&sdk).unwrap());
        assert_eq!(fs::read(&file).unwrap(), fs::read(&copy).unwrap(), "{}", copy.display());
    }
}

#[tokio::test]
async fn what_an_interpreter_throws_reaches_the_error() {
    let projects = tokio::task::spawn_blocking(projects).await.unwrap();
    for project in &projects.crashing {
        let reports = test(project, &project.dir, false).await.unwrap();
        let FixtureEnd::Broken(why) = &reports[0].end else {
            panic!("{}: {:?}", project.language, reports[0].end);
        };
        assert!(
            why.contains("crashing@0.1.0 (formatter)") && why.contains("the letters are lost"),
            "{why}"
        );
    }
    // A crash is never what is expected.
    let project = &projects.crashing[0];
    let before = fs::read_to_string(project.dir.join("fixtures/example/expected.txt")).unwrap();
    let reports = test(project, &project.dir, true).await.unwrap();
    assert!(matches!(reports[0].end, FixtureEnd::Broken(_)), "{reports:?}");
    assert_eq!(
        fs::read_to_string(project.dir.join("fixtures/example/expected.txt")).unwrap(),
        before
    );
}

#[tokio::test]
async fn a_fixture_shows_what_differs_and_blessing_settles_it() {
    let projects = tokio::task::spawn_blocking(projects).await.unwrap();
    let chunker = projects.new.iter().find(|project| project.kind == Kind::Chunker).unwrap();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let error = test(chunker, dir, false).await.unwrap_err();
    assert!(error.to_string().contains("there is no fixture"), "{error}");

    let write = |path: &str, text: &str| {
        let path = dir.join("fixtures").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("a-changed/input.txt", "One two.\n\nThree.");
    write("a-changed/config.json", r#"{"max_tokens": 10}"#);
    write("a-changed/expected.txt", "chunk 0..8 \"One two.\"\nchunk 10..16 \"Three.\"\n");
    write("b-new/input.md", "One.");
    write("c-refused/input.txt", "One.");
    write("c-refused/config.json", r#"{"max_tokens": "ten"}"#);
    write("c-refused/expected.txt", "");
    let reports = test(chunker, dir, false).await.unwrap();
    let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(names, ["a-changed", "b-new", "c-refused"]);
    let FixtureEnd::Differs(diff) = &reports[0].end else {
        panic!("{reports:?}")
    };
    assert_eq!(
        diff,
        "--- expected\n+++ outcome\n@@ -1,2 +1 @@\n-chunk 0..8 \"One two.\"\n-chunk 10..16 \"Three.\"\n+chunk 0..16 \"One two.\\n\\nThree.\"\n"
    );
    assert_eq!(reports[1].end, FixtureEnd::Unblessed("chunk 0..4 \"One.\"\n".into()));
    // Its own words are an outcome.
    assert!(
        matches!(&reports[2].end, FixtureEnd::Differs(diff) if diff.contains("+failure ")),
        "{reports:?}"
    );

    let reports = test(chunker, dir, true).await.unwrap();
    assert!(reports.iter().all(|report| report.end == FixtureEnd::Blessed), "{reports:?}");
    let reports = test(chunker, dir, false).await.unwrap();
    assert!(reports.iter().all(|report| report.end == FixtureEnd::Passed), "{reports:?}");

    write("d-empty/config.json", "{}");
    let error = test(chunker, dir, false).await.unwrap_err();
    assert!(
        error.to_string().contains("d-empty") && error.to_string().contains("input.*"),
        "{error}"
    );
    write("d-empty/input.txt", "One.");
    write("d-empty/units.json", r#"[{"kind": "heading", "level": 1, "text": "Two"}]"#);
    let error = test(chunker, dir, false).await.unwrap_err();
    assert!(
        error.to_string().contains("units.json") && error.to_string().contains("\"Two\""),
        "{error}"
    );
}

#[test]
fn a_project_is_not_mixed_with_what_is_there_nor_given_a_name_that_none_may_have() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("letter.txt"), "dear").unwrap();
    let error = author::new_project(home.path(), "mine", Kind::Chunker, Language::Rust).unwrap_err();
    assert!(matches!(error, AuthorError::NotEmpty { .. }), "{error}");
    let error = author::new_project(&home.path().join("x"), "Not A Name", Kind::Chunker, Language::Python).unwrap_err();
    assert!(error.to_string().contains("`name`"), "{error}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_build_says_what_is_wrong_with_a_project() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("p");
    let build = || {
        let options = BuildOptions {
            out: home.path().join("dist"),
            target_dir: None,
            install: true,
            report: &|_| {},
        };
        author::build(std::slice::from_ref(&dir), &options).unwrap_err().to_string()
    };
    fs::create_dir(&dir).unwrap();
    let error = build();
    assert!(error.contains("plugin.toml"), "{error}");
    fs::write(dir.join("plugin.toml"), "name = \"p\"\nversion = \"1.0.0\"\nkind = \"analyzer\"\n").unwrap();
    let error = build();
    assert!(
        error.contains("no Cargo.toml (Rust), package.json (JavaScript) or pyproject.toml (Python)"),
        "{error}"
    );
    fs::remove_dir_all(&dir).unwrap();

    author::new_project(&dir, "p", Kind::Analyzer, Language::JavaScript).unwrap();
    fs::write(dir.join("src/logic.js"), "export function phrases( {").unwrap();
    let error = build();
    assert!(error.contains("SyntaxError") && error.contains("logic.js"), "{error}");
    fs::remove_dir_all(&dir).unwrap();

    author::new_project(&dir, "p", Kind::Analyzer, Language::Python).unwrap();
    fs::write(dir.join("src/logic.py"), "def phrases(:").unwrap();
    let error = build();
    assert!(error.contains("SyntaxError") && error.contains("logic.py"), "{error}");
}
