//! The manifest of a plugin, readable without running it.
//!
//! The manifest is JSON in a custom section of the component, put there when the plugin is built (see [`super::author`]).

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Encoding, Parser, Payload};

/// The custom section that holds the manifest as JSON.
pub const SECTION: &str = "ibid:plugin";

/// The largest manifest, including its schema, in bytes. Hand-written schemas are a few KiB.
const MAX_SECTION_BYTES: usize = 256 * 1024;
const MAX_NAME_BYTES: usize = 64;
const MAX_DESCRIPTION_BYTES: usize = 2_000;
const MAX_MEDIA_TYPES: usize = 64;

/// The kind of a plugin. Each kind has a world of its own in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Turns an upload into text with structure (`extractor-plugin`).
    Extractor,
    /// Divides documents into chunks (`chunker-plugin`).
    Chunker,
    /// Analyzes questions (`analyzer-plugin`).
    Analyzer,
    /// Writes citations (`citation-plugin`).
    #[serde(alias = "citation")]
    Formatter,
}

impl Kind {
    /// Every kind, in the order of the pipeline's stages.
    pub const ALL: [Kind; 4] = [Kind::Extractor, Kind::Chunker, Kind::Analyzer, Kind::Formatter];

    /// Returns the name that manifests, messages and the API use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Extractor => "extractor",
            Kind::Chunker => "chunker",
            Kind::Analyzer => "analyzer",
            Kind::Formatter => "formatter",
        }
    }

    /// Returns the name with its article, for sentences.
    pub fn with_article(self) -> &'static str {
        match self {
            Kind::Extractor => "an extractor",
            Kind::Chunker => "a chunker",
            Kind::Analyzer => "an analyzer",
            Kind::Formatter => "a formatter",
        }
    }

    /// Returns the world of the contract that such a plugin implements.
    pub fn world(self) -> &'static str {
        match self {
            Kind::Extractor => "extractor-plugin",
            Kind::Chunker => "chunker-plugin",
            Kind::Analyzer => "analyzer-plugin",
            Kind::Formatter => "citation-plugin",
        }
    }

    /// Returns the interface of the contract that a plugin of this kind exports.
    pub fn export(self) -> &'static str {
        match self {
            Kind::Extractor => "extraction",
            Kind::Chunker => "chunking",
            Kind::Analyzer => "analysis",
            Kind::Formatter => "citing",
        }
    }

    /// Returns the interfaces of the contract that a plugin of this kind may import.
    pub fn imports(self) -> &'static [&'static str] {
        match self {
            Kind::Extractor => &["types", "log", "intake"],
            Kind::Chunker => &["types", "log", "document", "tokens", "embed"],
            Kind::Analyzer | Kind::Formatter => &["types", "log"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A plugin's name, version, kind and options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lower case letters, digits and `-`, starting with a letter; at most 64 bytes.
    pub name: String,
    /// The plugin's own version.
    pub version: Version,
    /// The plugin's kind.
    pub kind: Kind,
    /// One or two sentences for people who choose between plugins.
    #[serde(default)]
    pub description: String,
    /// An SPDX expression; empty if the author gave none.
    #[serde(default)]
    pub license: String,
    /// For an extractor, the media types that it reads (`application/pdf`, `text/*`), in lower case.
    #[serde(default)]
    pub media_types: Vec<String>,
    /// JSON Schema of the plugin's configuration; an object.
    #[serde(default = "any_object")]
    pub config_schema: Value,
}

fn any_object() -> Value {
    serde_json::json!({ "type": "object" })
}

/// The first bytes of WebAssembly, of a module as well as a component.
const WASM: &[u8] = b"\0asm";

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are not a WebAssembly component.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The component has no manifest.
    #[error("the component has no manifest (custom section `{SECTION}`); build it with `ibid plugin build`")]
    Missing,
    /// A field is missing, or has an invalid value.
    #[error("the manifest is not valid: {0}")]
    Invalid(String),
}

impl ManifestError {
    /// Returns a stable name for the error.
    pub fn code(&self) -> &'static str {
        match self {
            ManifestError::NotAComponent(_) => "NOT_A_COMPONENT",
            ManifestError::Missing => "MANIFEST_MISSING",
            ManifestError::Invalid(_) => "MANIFEST_INVALID",
        }
    }
}

impl Manifest {
    /// Reads the manifest of a component, without compiling it.
    ///
    /// # Errors
    /// If the bytes are not a component, or have no valid manifest.
    pub fn of_component(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if !bytes.starts_with(WASM) {
            let other = "it does not begin like WebAssembly; `ibid plugin build` makes a component from a plugin's project";
            return Err(ManifestError::NotAComponent(other.to_owned()));
        }
        let broken = |error: wasmparser::BinaryReaderError| ManifestError::NotAComponent(error.message().to_owned());
        let mut depth = 0_usize;
        let mut found = None;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(broken)? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding != Encoding::Component {
                        return Err(ManifestError::NotAComponent(
                            "it is a core module; `ibid plugin build` makes a component from a plugin's project".into(),
                        ));
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                // Only the outermost component's manifest counts. The last section wins.
                Payload::CustomSection(section) if depth == 1 && section.name() == SECTION => {
                    found = Some(section.data());
                }
                _ => {}
            }
        }
        Self::from_json(found.ok_or(ManifestError::Missing)?)
    }

    /// Reads a manifest from the JSON of its section. Ignores unknown fields, which later servers may add.
    ///
    /// # Errors
    /// If the JSON is not a valid manifest.
    pub fn from_json(json: &[u8]) -> Result<Manifest, ManifestError> {
        if json.len() > MAX_SECTION_BYTES {
            return Err(ManifestError::Invalid(format!(
                "it is larger than {} KiB",
                MAX_SECTION_BYTES / 1024
            )));
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|error| ManifestError::Invalid(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Appends the manifest to a component as a custom section, which may be anywhere in it.
    pub fn embed(&self, component: &mut Vec<u8>) -> Result<(), ManifestError> {
        self.check()?;
        let json = serde_json::to_vec(self).map_err(|error| ManifestError::Invalid(error.to_string()))?;
        if json.len() > MAX_SECTION_BYTES {
            return Err(ManifestError::Invalid(format!(
                "it is larger than {} KiB",
                MAX_SECTION_BYTES / 1024
            )));
        }
        let section = CustomSection {
            name: SECTION.into(),
            data: json.into(),
        };
        section.append_to_component(component);
        Ok(())
    }

    /// Checks what the types do not: names, lengths, media types, and that the schema is an object.
    ///
    /// # Errors
    /// Names the first invalid field.
    pub fn check(&self) -> Result<(), ManifestError> {
        let invalid = |message: String| Err(ManifestError::Invalid(message));
        let name = self.name.as_bytes();
        let well_formed = name.first().is_some_and(u8::is_ascii_lowercase)
            && name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if !well_formed || name.len() > MAX_NAME_BYTES {
            return invalid(format!(
                "`name` must be lower case letters, digits and `-`, start with a letter and have at most {MAX_NAME_BYTES} bytes"
            ));
        }
        if self.description.len() > MAX_DESCRIPTION_BYTES {
            return invalid(format!("`description` is longer than {MAX_DESCRIPTION_BYTES} bytes"));
        }
        if self.media_types.len() > MAX_MEDIA_TYPES {
            return invalid(format!("`media_types` has more than {MAX_MEDIA_TYPES} entries"));
        }
        if self.kind == Kind::Extractor && self.media_types.is_empty() {
            return invalid("an extractor needs `media_types`, otherwise no upload reaches it".into());
        }
        if self.kind != Kind::Extractor && !self.media_types.is_empty() {
            return invalid(format!("`media_types` is for extractors, this is {}", self.kind.with_article()));
        }
        if let Some(bad) = self.media_types.iter().find(|media_type| !is_media_type(media_type)) {
            return invalid(format!(
                "`{bad}` in `media_types` is not a media type in lower case, without parameters"
            ));
        }
        if !self.config_schema.is_object() {
            return invalid("`config_schema` must be a JSON object".into());
        }
        Ok(())
    }
}

/// Returns whether it is `type/subtype` of RFC 6838 in lower case, where `subtype` may be `*`.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
    };
    text.len() <= 255
        && text
            .split_once('/')
            .is_some_and(|(kind, sub)| token(kind) && (sub == "*" || token(sub)))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn manifest() -> Manifest {
        Manifest {
            name: "recursive".into(),
            version: Version::new(1, 2, 3),
            kind: Kind::Chunker,
            description: "Cuts.".repeat(100),
            license: "Apache-2.0".into(),
            media_types: vec![],
            config_schema: any_object(),
        }
    }

    #[test]
    fn a_manifest_survives_the_way_through_a_component() {
        let mut component = EMPTY_COMPONENT.to_vec();
        manifest().embed(&mut component).unwrap();
        assert_eq!(Manifest::of_component(&component).unwrap(), manifest());
    }

    #[test]
    fn components_without_a_manifest_are_rejected() {
        let code = |bytes: &[u8]| Manifest::of_component(bytes).unwrap_err().code();
        assert_eq!(code(b""), "NOT_A_COMPONENT");
        assert_eq!(code(b"not wasm at all"), "NOT_A_COMPONENT");
        assert_eq!(code(b"\0asm\x01\0\0\0"), "NOT_A_COMPONENT");
        assert_eq!(code(EMPTY_COMPONENT), "MANIFEST_MISSING");
    }

    #[test]
    fn each_field_is_checked() {
        let check = |edit: fn(&mut Manifest), message: &str| {
            let mut changed = manifest();
            edit(&mut changed);
            let error = changed.check().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        };
        check(|m| m.name = "Recursive".into(), "`name`");
        check(|m| m.name = "9lives".into(), "`name`");
        check(|m| m.name = String::new(), "`name`");
        check(|m| m.name = "x".repeat(65), "`name`");
        check(|m| m.description = "x".repeat(2_001), "`description`");
        check(|m| m.media_types = vec!["text/plain".into()], "for extractors");
        check(|m| m.kind = Kind::Extractor, "needs `media_types`");
        check(
            |m| {
                m.kind = Kind::Extractor;
                m.media_types = vec!["text/plain; charset=utf-8".into()];
            },
            "not a media type",
        );
        check(|m| m.config_schema = Value::Null, "`config_schema`");
    }
}
