//! Reads `plugin.toml`, from which the manifest is made.

use super::AuthorError;
use ibid_plugin_host::{Kind, Manifest};
use semver::Version;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The file in a plugin's directory that describes it.
pub const SOURCE_FILE: &str = "plugin.toml";

/// The content of `plugin.toml`. Unlike the embedded manifest, it must not have unknown keys, which are most likely typing errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: String,
    version: Version,
    kind: Kind,
    #[serde(default)]
    description: String,
    #[serde(default)]
    license: String,
    #[serde(default)]
    media_types: Vec<String>,
    /// The path of a JSON Schema, relative to the plugin's directory.
    config_schema: Option<PathBuf>,
    /// The world of the contract that a script implements, if it is not the kind's default.
    world: Option<String>,
}

/// A project, as its `plugin.toml` describes it.
pub struct Project {
    /// The manifest for the component.
    pub manifest: Manifest,
    /// The world of the contract that a script implements, if it is not the kind's default.
    pub world: Option<String>,
}

/// Reads the manifest of the plugin whose source is in `dir`, with its schema.
///
/// # Errors
/// If a file is missing or invalid; the error names it.
pub fn read_manifest(dir: &Path) -> Result<Manifest, AuthorError> {
    read_project(dir).map(|project| project.manifest)
}

/// Reads the whole `plugin.toml`.
pub fn read_project(dir: &Path) -> Result<Project, AuthorError> {
    let path = dir.join(SOURCE_FILE);
    let invalid = |path: &Path, message: String| AuthorError::Source {
        path: path.to_owned(),
        message,
    };
    let text = read(&path)?;
    let source: Source = toml::from_str(&text).map_err(|error| invalid(&path, error.to_string()))?;
    let config_schema = match &source.config_schema {
        // A plugin without a schema has no settings, so that a misspelt one is rejected.
        None => json!({ "type": "object", "additionalProperties": false }),
        Some(relative) => {
            let schema = dir.join(relative);
            serde_json::from_str::<Value>(&read(&schema)?).map_err(|error| invalid(&schema, error.to_string()))?
        }
    };
    let manifest = Manifest {
        name: source.name,
        version: source.version,
        kind: source.kind,
        description: source.description,
        license: source.license,
        media_types: source.media_types,
        config_schema,
    };
    manifest.check().map_err(|error| invalid(&path, error.to_string()))?;
    Ok(Project {
        manifest,
        world: source.world,
    })
}

fn read(path: &Path) -> Result<String, AuthorError> {
    fs::read_to_string(path).map_err(|source| AuthorError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest_of(toml: &str, schema: Option<&str>) -> Result<Manifest, AuthorError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(SOURCE_FILE), toml).unwrap();
        if let Some(schema) = schema {
            fs::write(dir.path().join("schema.json"), schema).unwrap();
        }
        read_manifest(dir.path())
    }

    #[test]
    fn a_plugin_toml_becomes_a_manifest() {
        let toml = "name = 'md'\nversion = '1.0.0'\nkind = 'extractor'\nmedia_types = ['text/markdown']\nconfig_schema = 'schema.json'";
        let manifest = manifest_of(toml, Some(r#"{"type":"object","properties":{}}"#)).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.kind), ("md", Kind::Extractor));
        assert_eq!(manifest.config_schema["properties"], json!({}));
    }

    #[test]
    fn without_a_schema_no_setting_is_taken() {
        let manifest = manifest_of("name = 'a'\nversion = '1.0.0'\nkind = 'citation'", None).unwrap();
        assert_eq!(manifest.kind, Kind::Formatter);
        assert_eq!(manifest.config_schema["additionalProperties"], json!(false));
    }

    #[test]
    fn slips_are_named_with_their_file() {
        let check = |toml: &str, schema: Option<&str>, parts: [&str; 2]| {
            let error = manifest_of(toml, schema).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        };
        let head = "name = 'a'\nversion = '1.0.0'\nkind = 'chunker'\n";
        check("name = 'a'", None, ["plugin.toml", "version"]);
        check(&format!("{head}licence = 'MIT'"), None, ["plugin.toml", "licence"]);
        check(&head.replace("chunker", "chunky"), None, ["plugin.toml", "chunky"]);
        check(&head.replace("'1.0.0'", "'1.0'"), None, ["plugin.toml", "version"]);
        check(&head.replace("'a'", "'A'"), None, ["plugin.toml", "lower case"]);
        check(
            &format!("{head}config_schema = 'schema.json'"),
            None,
            ["schema.json", "No such file"],
        );
        check(
            &format!("{head}config_schema = 'schema.json'"),
            Some("[]"),
            ["plugin.toml", "JSON object"],
        );
    }
}
