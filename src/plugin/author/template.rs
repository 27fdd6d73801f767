//! New plugin projects: what `ibid plugin new` writes.
//!
//! The files are those of `templates/plugin/`, with the contract as this server offers it beside them.

use super::super::manifest::{Kind, Manifest};
use super::{AuthorError, SOURCE_FILE};
use semver::Version;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

macro_rules! template {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/plugin/", $name))
    };
}

macro_rules! wit {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/wit/0.9/", $name))
    };
}

/// The files that differ by kind: settings, logic, glue; and how a pipeline names the plugin.
fn of_kind(kind: Kind) -> ([&'static str; 3], &'static str, &'static str) {
    match kind {
        Kind::Extractor => (
            [
                template!("extractor/config.schema.json"),
                template!("extractor/lib.rs"),
                template!("extractor/component.rs"),
            ],
            "Reads tables of comma-separated values",
            "It takes every upload of its media types. A pipeline may set it up otherwise:\n\n    \
             \"extractors\": { \"text/csv\": { \"plugin\": \"{{name}}\", \"config\": { \"separator\": \";\" } } }",
        ),
        Kind::Chunker => (
            [
                template!("chunker/config.schema.json"),
                template!("chunker/lib.rs"),
                template!("chunker/component.rs"),
            ],
            "Joins paragraphs into chunks",
            "A collection uses it once its pipeline names it:\n\n    \"chunker\": { \"plugin\": \"{{name}}\", \"config\": { \"max_tokens\": 120 } }",
        ),
        Kind::Analyzer => (
            [
                template!("analyzer/config.schema.json"),
                template!("analyzer/lib.rs"),
                template!("analyzer/component.rs"),
            ],
            "Searches for quoted phrases beside the question",
            "A collection uses it once its pipeline names it:\n\n    \"analyzer\": { \"plugin\": \"{{name}}\" }",
        ),
        Kind::Formatter => (
            [
                template!("formatter/config.schema.json"),
                template!("formatter/lib.rs"),
                template!("formatter/component.rs"),
            ],
            "Marks citations by letters",
            "A collection uses it once its pipeline names it:\n\n    \"citations\": { \"plugin\": \"{{name}}\" }",
        ),
    }
}

/// Writes the project of a new plugin to `dir`, which must not be there or be empty. Returns the files, relative to it.
///
/// # Errors
/// A name that no plugin may have, a directory that holds something, or a file that cannot be written.
pub fn new_project(dir: &Path, name: &str, kind: Kind) -> Result<Vec<PathBuf>, AuthorError> {
    let ([schema, logic, glue], description, usage) = of_kind(kind);
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
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| AuthorError::Io { path, source }
    };
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(AuthorError::NotEmpty { path: dir.to_owned() });
    }
    fs::create_dir_all(dir).map_err(io(dir))?;
    let mut source =
        format!("name = \"{name}\"\nversion = \"0.1.0\"\nkind = \"{kind}\"\ndescription = \"{description}\"\nlicense = \"Apache-2.0\"\n");
    if kind == Kind::Extractor {
        source.push_str("# Uploads of these types go to it. `text/*` would take the whole family.\nmedia_types = [\"text/csv\"]\n");
    }
    source.push_str("config_schema = \"config.schema.json\"\n");
    let fill = |text: &str| {
        text.replace("{{use}}", usage)
            .replace("{{article}}", capital(kind.with_article()).as_str())
            .replace("{{name}}", name)
    };
    let files = [
        ("Cargo.toml", fill(template!("Cargo.toml.template"))),
        (SOURCE_FILE, source),
        ("README.md", fill(template!("README.md.template"))),
        (".gitignore", template!("gitignore").to_owned()),
        ("config.schema.json", schema.to_owned()),
        ("src/lib.rs", logic.to_owned()),
        ("src/component.rs", glue.to_owned()),
        ("wit/types.wit", wit!("types.wit").to_owned()),
        ("wit/kinds.wit", wit!("kinds.wit").to_owned()),
        ("wit/worlds.wit", wit!("worlds.wit").to_owned()),
    ];
    let mut written = Vec::new();
    for (relative, text) in files {
        let path = dir.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io(parent))?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(io(&path))?;
        file.write_all(text.as_bytes()).map_err(io(&path))?;
        written.push(PathBuf::from(relative));
    }
    Ok(written)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}
