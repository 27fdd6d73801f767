//! Reads the imports and exports of a component without compiling it, and checks them against this server's contract. Errors are sentences,
//! where a linker would name a type.

use super::manifest::Kind;
use semver::Version;
use std::fmt;
use wasmparser::{Encoding, Parser, Payload};

/// The version of the contract in `wit/` that this server implements.
pub const CONTRACT_VERSION: Version = Version::new(1, 0, 0);

/// The package of the contract.
const PACKAGE: &str = "ibid:plugin";

/// Returns the full name of an interface of the contract in this server's version.
pub fn offered(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{CONTRACT_VERSION}")
}

/// An import or export of a component, such as `ibid:plugin/document@1.0.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `namespace:package`; empty for a name without a package.
    pub package: String,
    /// The name within the package.
    pub name: String,
    /// The package's version, where one is given.
    pub version: Option<Version>,
}

impl Interface {
    /// Parses `namespace:package/name@version`; other names become the `name` as a whole.
    pub fn parse(text: &str) -> Interface {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Version::parse(version).ok()),
            None => (text, None),
        };
        match path.rsplit_once('/') {
            Some((package, name)) => Interface {
                package: package.into(),
                name: name.into(),
                version,
            },
            None => Interface {
                package: String::new(),
                name: path.into(),
                version,
            },
        }
    }

    fn is_ours(&self) -> bool {
        self.package == PACKAGE
    }

    /// Returns whether a component built against this version of the contract runs on [`CONTRACT_VERSION`]: it has the same major number,
    /// and is not newer.
    fn is_covered(&self) -> bool {
        let covers = |wanted: &Version| wanted.major == CONTRACT_VERSION.major && *wanted <= CONTRACT_VERSION;
        self.version.as_ref().is_some_and(covers)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.package.is_empty() {
            write!(f, "{}/", self.package)?;
        }
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

/// The imports and exports of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contract {
    /// The interfaces that the host must provide.
    pub imports: Vec<Interface>,
    /// The interfaces that the component provides.
    pub exports: Vec<Interface>,
}

/// Reads the imports and exports of a component.
///
/// # Errors
/// Why the bytes are not a component, as a sentence.
pub fn inspect(bytes: &[u8]) -> Result<Contract, String> {
    let mut contract = Contract::default();
    let mut depth = 0_usize;
    let broken = |error: wasmparser::BinaryReaderError| format!("it is not a WebAssembly component ({})", error.message());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding != Encoding::Component {
                    return Err("it is a core WebAssembly module, not a component".into());
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    contract.imports.push(Interface::parse(import.map_err(broken)?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    contract.exports.push(Interface::parse(export.map_err(broken)?.name.name));
                }
            }
            _ => {}
        }
    }
    Ok(contract)
}

/// The imports that a plugin gets only if the operator grants them, by their name in the contract.
pub const GRANTABLE: [&str; 1] = ["embed"];

/// The remedy for a plugin of another version.
const REBUILD: &str = "build it again with the files of that version, which `ibid plugin new` puts into a project's folder `wit`";

impl Contract {
    /// Returns the imports of [`GRANTABLE`] that it has.
    pub fn wanted_grants(&self) -> impl Iterator<Item = &'static str> {
        GRANTABLE
            .into_iter()
            .filter(|name| self.imports.iter().any(|import| import.is_ours() && import.name == *name))
    }

    /// Checks that a plugin of this kind exports what the kind must, and imports only what the kind may.
    ///
    /// # Errors
    /// What does not fit, and what would, as a sentence.
    pub fn check(&self, kind: Kind) -> Result<(), String> {
        let offered = CONTRACT_VERSION;
        for import in &self.imports {
            if !import.is_ours() {
                return Err(format!(
                    "it needs {import}, but plugins get no files, network, clock or environment; \
                     build it for wasm32-unknown-unknown, or without WASI"
                ));
            }
            if !kind.imports().contains(&import.name.as_str()) {
                return Err(format!(
                    "it needs {import}, which this server does not offer to {}; it offers {PACKAGE}/{{{}}}@{offered}",
                    kind.with_article(),
                    kind.imports().join(", ")
                ));
            }
            if !import.is_covered() {
                return Err(format!(
                    "it needs {import}, this server offers {PACKAGE}/{}@{offered}: {REBUILD}",
                    import.name
                ));
            }
        }
        let ours = |wanted: Kind| {
            self.exports
                .iter()
                .find(move |export| export.is_ours() && export.name == wanted.export())
        };
        match ours(kind) {
            Some(export) if export.is_covered() => {}
            Some(export) => {
                return Err(format!(
                    "it was built for {export}, this server takes {PACKAGE}/{}@{offered}: {REBUILD}",
                    export.name
                ));
            }
            None => {
                return Err(match Kind::ALL.into_iter().find(|other| ours(*other).is_some()) {
                    Some(other) => format!(
                        "its manifest declares it as {}, but it exports the interface of {} ({PACKAGE}/{})",
                        kind.with_article(),
                        other.with_article(),
                        other.export()
                    ),
                    None => format!(
                        "it exports no interface that this server knows; {} exports {PACKAGE}/{}@{offered}",
                        kind.with_article(),
                        kind.export()
                    ),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, imports: &[&str], exports: &[&str], expected: Result<(), &str>) {
        let all = |names: &[&str]| names.iter().map(|name| Interface::parse(name)).collect();
        let contract = Contract {
            imports: all(imports),
            exports: all(exports),
        };
        match (contract.check(kind), expected) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(part)) if message.contains(part) => {}
            (got, expected) => panic!("{got:?} is not {expected:?}"),
        }
    }

    #[test]
    fn imports_must_be_what_the_kind_is_offered() {
        let exports = ["ibid:plugin/chunking@1.0.0"];
        check(
            Kind::Chunker,
            &["ibid:plugin/types@1.0.0", "ibid:plugin/tokens@1.0.0"],
            &exports,
            Ok(()),
        );
        check(
            Kind::Chunker,
            &["wasi:cli/environment@0.2.0"],
            &exports,
            Err("needs wasi:cli/environment@0.2.0, but plugins get no files"),
        );
        check(
            Kind::Chunker,
            &["ibid:plugin/embed@1.2.0"],
            &exports,
            Err("needs ibid:plugin/embed@1.2.0, this server offers ibid:plugin/embed@1.0.0"),
        );
        check(
            Kind::Chunker,
            &["ibid:plugin/intake@1.0.0"],
            &exports,
            Err("does not offer to a chunker"),
        );
        check(
            Kind::Chunker,
            &["ibid:plugin/log@1.0.1"],
            &exports,
            Err("needs ibid:plugin/log@1.0.1, this server offers ibid:plugin/log@1.0.0"),
        );
        check(
            Kind::Chunker,
            &["ibid:plugin/log@0.9.1"],
            &exports,
            Err("needs ibid:plugin/log@0.9.1"),
        );
        check(Kind::Chunker, &["ibid:plugin/log"], &exports, Err("needs ibid:plugin/log,"));
        check(Kind::Chunker, &["env"], &exports, Err("needs env, but"));
    }

    #[test]
    fn the_export_must_be_that_of_the_kind() {
        check(Kind::Analyzer, &[], &["ibid:plugin/analysis@1.0.0"], Ok(()));
        check(
            Kind::Analyzer,
            &[],
            &["ibid:plugin/citing@1.0.0"],
            Err("it exports the interface of a formatter"),
        );
        check(
            Kind::Analyzer,
            &[],
            &["ibid:plugin/analysis@0.9.0"],
            Err("was built for ibid:plugin/analysis@0.9.0"),
        );
        check(
            Kind::Analyzer,
            &[],
            &["other:package/analysis@1.0.0"],
            Err("exports no interface that this server knows"),
        );
        check(Kind::Analyzer, &[], &[], Err("exports no interface"));
    }
}
