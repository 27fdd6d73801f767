//! Creates plugin projects: the implementation of `ibid plugin new`.
//!
//! The files are those of `templates/plugin/`, together with this server's version of the contract, and the SDK for Rust.

use super::{AuthorError, Language, SOURCE_FILE};
use ibid_plugin_host::{Kind, Manifest};
use semver::Version;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

macro_rules! template {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/plugin/", $name))
    };
}

macro_rules! wit {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/1/", $name))
    };
}

macro_rules! sdk {
    ($($name:literal),* $(,)?) => {
        [$((
            concat!("vendor/ibid-plugin/", $name),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/sdk/", $name)),
        )),*]
    };
}

/// The whole SDK for plugins in Rust, since a project has a copy of its own. The crate reads the contract from `../../wit/1`.
const SDK: [(&str, &str); 14] = sdk![
    "Cargo.toml",
    "src/bindings.rs",
    "src/export.rs",
    "src/failure.rs",
    "src/heap.rs",
    "src/host.rs",
    "src/kinds.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/panics.rs",
    "src/results.rs",
    "src/settings.rs",
    "src/testing.rs",
    "src/types.rs",
];

/// What differs by kind. The templates of all languages do the same, so that they share a fixture.
struct OfKind {
    description: &'static str,
    /// How to name the plugin in a pipeline.
    usage: &'static str,
    schema: &'static str,
    /// The fixture's input: its file's name and content.
    input: (&'static str, &'static str),
    config: &'static str,
    expected: &'static str,
    rust: &'static str,
    javascript: [&'static str; 3],
    python: [&'static str; 3],
}

fn of_kind(kind: Kind) -> OfKind {
    match kind {
        Kind::Extractor => OfKind {
            description: "Reads tables of comma-separated values",
            usage: "It takes every upload of its media types. A pipeline may set it up otherwise:\n\n    \
                    \"extractors\": { \"text/csv\": { \"plugin\": \"{{name}}\", \"config\": { \"separator\": \";\" } } }",
            schema: template!("kinds/extractor/config.schema.json"),
            input: ("input.csv", template!("kinds/extractor/input.csv")),
            config: template!("kinds/extractor/fixture.json"),
            expected: template!("kinds/extractor/expected.txt"),
            rust: template!("rust/extractor/lib.rs"),
            javascript: [
                template!("javascript/extractor/logic.js"),
                template!("javascript/extractor/plugin.js"),
                template!("javascript/extractor/test.js"),
            ],
            python: [
                template!("python/extractor/logic.py"),
                template!("python/extractor/plugin.py"),
                template!("python/extractor/test.py"),
            ],
        },
        Kind::Chunker => OfKind {
            description: "Joins paragraphs into chunks",
            usage: "A collection uses it once its pipeline names it:\n\n    \
                    \"chunker\": { \"plugin\": \"{{name}}\", \"config\": { \"max_tokens\": 120 } }",
            schema: template!("kinds/chunker/config.schema.json"),
            input: ("input.txt", template!("kinds/chunker/input.txt")),
            config: template!("kinds/chunker/fixture.json"),
            expected: template!("kinds/chunker/expected.txt"),
            rust: template!("rust/chunker/lib.rs"),
            javascript: [
                template!("javascript/chunker/logic.js"),
                template!("javascript/chunker/plugin.js"),
                template!("javascript/chunker/test.js"),
            ],
            python: [
                template!("python/chunker/logic.py"),
                template!("python/chunker/plugin.py"),
                template!("python/chunker/test.py"),
            ],
        },
        Kind::Analyzer => OfKind {
            description: "Searches for quoted phrases beside the question",
            usage: "A collection uses it once its pipeline names it:\n\n    \"analyzer\": { \"plugin\": \"{{name}}\" }",
            schema: template!("kinds/analyzer/config.schema.json"),
            input: ("input.txt", template!("kinds/analyzer/input.txt")),
            config: template!("kinds/analyzer/fixture.json"),
            expected: template!("kinds/analyzer/expected.txt"),
            rust: template!("rust/analyzer/lib.rs"),
            javascript: [
                template!("javascript/analyzer/logic.js"),
                template!("javascript/analyzer/plugin.js"),
                template!("javascript/analyzer/test.js"),
            ],
            python: [
                template!("python/analyzer/logic.py"),
                template!("python/analyzer/plugin.py"),
                template!("python/analyzer/test.py"),
            ],
        },
        Kind::Formatter => OfKind {
            description: "Marks citations by letters",
            usage: "A collection uses it once its pipeline names it:\n\n    \"citations\": { \"plugin\": \"{{name}}\" }",
            schema: template!("kinds/formatter/config.schema.json"),
            input: ("input.json", template!("kinds/formatter/input.json")),
            config: template!("kinds/formatter/fixture.json"),
            expected: template!("kinds/formatter/expected.txt"),
            rust: template!("rust/formatter/lib.rs"),
            javascript: [
                template!("javascript/formatter/logic.js"),
                template!("javascript/formatter/plugin.js"),
                template!("javascript/formatter/test.js"),
            ],
            python: [
                template!("python/formatter/logic.py"),
                template!("python/formatter/plugin.py"),
                template!("python/formatter/test.py"),
            ],
        },
    }
}

/// Creates the project of a new plugin in `dir`, which must not exist or be empty. Returns the files, relative to it.
///
/// # Errors
/// An invalid name, a directory that is not empty, or a file that cannot be written.
pub fn new_project(dir: &Path, name: &str, kind: Kind, language: Language) -> Result<Vec<PathBuf>, AuthorError> {
    let of_kind = of_kind(kind);
    let description = of_kind.description;
    let media_types = if kind == Kind::Extractor {
        vec!["text/csv".to_owned()]
    } else {
        Vec::new()
    };
    let manifest = Manifest {
        name: name.to_owned(),
        version: Version::new(0, 1, 0),
        kind,
        description: description.to_owned(),
        license: "Apache-2.0".to_owned(),
        media_types,
        config_schema: json!({}),
    };
    manifest.check()?;
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(AuthorError::NotEmpty { path: dir.to_owned() });
    }
    fs::create_dir_all(dir).map_err(AuthorError::io(dir))?;
    let mut source =
        format!("name = \"{name}\"\nversion = \"0.1.0\"\nkind = \"{kind}\"\ndescription = \"{description}\"\nlicense = \"Apache-2.0\"\n");
    if kind == Kind::Extractor {
        source.push_str("# Uploads of these types go to it. `text/*` would take the whole family.\nmedia_types = [\"text/csv\"]\n");
    }
    source.push_str("config_schema = \"config.schema.json\"\n");
    let glue = format!("src/{}.py", kind.export());
    let (test, layout) = match language {
        Language::Rust => (
            "cargo test                                       # the logic, natively",
            "`src/lib.rs` is the plugin: a struct, an implementation of its kind's trait, and the macro that exports it. Trait and macro come\n\
             from `vendor/ibid-plugin/`, the SDK; `cargo doc --open` shows what each function gets and may return, and an example of each kind.\n\
             `wit/1/` is the contract that the SDK implements.".to_owned(),
        ),
        Language::JavaScript => (
            "npm test                                         # the logic, in Node.js",
            "`src/logic.js` is the logic: plain JavaScript, without the host. `src/plugin.js` is the glue: it implements the world of `wit/kinds.wit`,\n\
             the contract, whose comments say what each function gets and may give (in camelCase here). Ibid counts UTF-8 bytes: `src/spans.js`\n\
             makes them of JavaScript's indices. `src/failures.js` is how to fail. `Date` and `Math.random` stand still;\n\
             there is no `fetch`, no `Intl`, and no `\\p{...}` in patterns.".to_owned(),
        ),
        Language::Python => (
            "python3 -m unittest discover tests               # the logic, natively",
            format!(
                "`src/logic.py` is the logic: plain Python, without the host. `{glue}` is the glue: it implements the world of `wit/kinds.wit`,\n\
                 the contract, whose comments say what each function gets and may give. Ibid counts UTF-8 bytes: `src/spans.py` makes them of\n\
                 Python's indices. `src/failures.py` is how to fail. There is no `print`, no file and no clock: asking for one is a crash."
            ),
        ),
    };
    let fill = |text: &str| {
        text.replace("{{use}}", of_kind.usage)
            .replace("{{article}}", capital(kind.with_article()).as_str())
            .replace("{{language}}", &language.to_string())
            .replace("{{test}}", test)
            .replace("{{layout}}", &layout)
            .replace("{{name}}", name)
    };
    let owned = str::to_owned;
    let (input, contents) = of_kind.input;
    let input = format!("fixtures/example/{input}");
    let mut files: Vec<(&str, String)> = vec![
        (SOURCE_FILE, source),
        ("README.md", fill(template!("README.md.template"))),
        (".gitignore", owned(template!("gitignore"))),
        ("config.schema.json", owned(of_kind.schema)),
        (&input, owned(contents)),
        ("fixtures/example/config.json", owned(of_kind.config)),
        ("fixtures/example/expected.txt", owned(of_kind.expected)),
    ];
    let contract = match language {
        Language::Rust => ["wit/1/types.wit", "wit/1/kinds.wit", "wit/1/worlds.wit"],
        Language::JavaScript | Language::Python => ["wit/types.wit", "wit/kinds.wit", "wit/worlds.wit"],
    };
    let interfaces = [wit!("types.wit"), wit!("kinds.wit"), wit!("worlds.wit")];
    files.extend(contract.into_iter().zip(interfaces.map(owned)));
    match language {
        Language::Rust => {
            files.push(("Cargo.toml", fill(template!("rust/Cargo.toml.template"))));
            files.push(("src/lib.rs", owned(of_kind.rust)));
            files.extend(SDK.map(|(path, text)| (path, owned(text))));
        }
        Language::JavaScript => {
            let [logic, plugin, test] = of_kind.javascript;
            files.push(("package.json", fill(template!("javascript/package.json.template"))));
            files.push(("src/logic.js", owned(logic)));
            files.push(("src/plugin.js", owned(plugin)));
            files.push(("src/failures.js", owned(template!("javascript/failures.js"))));
            files.push(("src/spans.js", owned(template!("javascript/spans.js"))));
            files.push(("test/logic.test.js", owned(test)));
        }
        Language::Python => {
            let [logic, plugin, test] = of_kind.python;
            files.push(("pyproject.toml", fill(template!("python/pyproject.toml.template"))));
            files.push(("src/logic.py", owned(logic)));
            files.push((&glue, owned(plugin)));
            files.push(("src/failures.py", owned(template!("python/failures.py"))));
            files.push(("src/spans.py", owned(template!("python/spans.py"))));
            files.push(("tests/test_logic.py", owned(test)));
        }
    }
    let mut written = Vec::new();
    for (relative, text) in files {
        let path = dir.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(AuthorError::io(parent))?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(AuthorError::io(&path))?;
        file.write_all(text.as_bytes()).map_err(AuthorError::io(&path))?;
        written.push(PathBuf::from(relative));
    }
    Ok(written)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}
