//! Puts the layers on top of one another, and remembers which one each value came from.

use super::keys::find;
use super::{ConfigError, KEYS, Key, Kind, Settings, nearest};
use ibid_settings::{LayerSettings, SettingValue};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The settings file that is read where none is named, if it is there.
const FILE: &str = "ibid.toml";
/// The variable that names a settings file.
const FILE_VARIABLE: &str = "IBID_CONFIG";
/// `IBID_*` variables that are not settings of the server: those of the client commands.
const OTHER_VARIABLES: &[&str] = &[FILE_VARIABLE, "IBID_SERVER", "IBID_TOKEN", "IBID_CA", "IBID_COLLECTION"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
    /// Somebody, while the server runs; forgotten when it stops.
    Running,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Running => f.write_str("PUT /config"),
        }
    }
}

/// A setting given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as the user knows it: `--listen`.
    pub name: String,
    /// The key that it sets.
    pub key: String,
    /// The value as it was typed.
    pub value: String,
}

/// Where settings are looked for. [`Sources::of_process`] is the usual one; tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`: must be there.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// Where `ibid.toml` is looked for, and where relative paths of variables and flags start.
    pub directory: PathBuf,
    /// The command line; later ones win.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// The environment and working directory of this process.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .filter(|(name, _)| name.starts_with("IBID_") || name == "HOME")
            .collect();
        Self {
            file,
            variables,
            directory: std::env::current_dir().unwrap_or_default(),
            flags,
        }
    }
}

/// The settings that hold, and where each came from.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The settings.
    pub settings: Settings,
    /// The settings file that was read.
    pub file: Option<PathBuf>,
    values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Effective {
    /// Reads all layers and checks every value.
    ///
    /// # Errors
    /// The first [`ConfigError`] met: an unreadable file, an unknown key, or a value that cannot be.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut values: BTreeMap<&'static str, (Value, Origin)> =
            KEYS.iter().map(|key| (key.path, (key.default(), Origin::Default))).collect();
        let file = find_file(sources);
        if let Some(path) = &file {
            apply_file(path, sources, &mut values)?;
        }
        apply_variables(sources, &mut values)?;
        for flag in &sources.flags {
            let origin = Origin::Flag(flag.name.clone());
            let key = find(&flag.key).ok_or_else(|| unknown(&flag.key, &origin, KEYS.iter().map(|key| key.path)))?;
            let value = parse(key, &flag.value).and_then(|value| check(key, value, &sources.directory, sources));
            values.insert(key.path, (value.map_err(|issue| invalid(key, &origin, issue))?, origin));
        }
        let settings = settings(&values)?;
        Ok(Self { settings, file, values })
    }

    /// The same settings with other values, all of them checked.
    ///
    /// # Errors
    /// The first key that does not exist, cannot change while the server runs, or whose value cannot be.
    pub fn changed(&self, changes: Vec<(String, Value)>) -> Result<Self, ConfigError> {
        let mut values = self.values.clone();
        for (path, value) in changes {
            let origin = Origin::Running;
            let key = find(&path).ok_or_else(|| unknown(&path, &origin, KEYS.iter().map(|key| key.path)))?;
            if !key.is_live() {
                let issue =
                    "cannot change while the server runs: set it in the settings file, a variable or a flag, and restart".to_owned();
                return Err(invalid(key, &origin, issue));
            }
            let value = check(key, value, Path::new(""), &Sources::default()).map_err(|issue| invalid(key, &origin, issue))?;
            values.insert(key.path, (value, origin));
        }
        Ok(Self {
            settings: settings(&values)?,
            file: self.file.clone(),
            values,
        })
    }

    /// The value of a key and where it came from.
    pub fn get(&self, path: &str) -> Option<(&Value, &Origin)> {
        self.values.get(path).map(|(value, origin)| (value, origin))
    }
}

fn find_file(sources: &Sources) -> Option<PathBuf> {
    let named = sources.file.clone().or_else(|| {
        sources
            .variables
            .get(FILE_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    });
    match named {
        Some(path) => Some(sources.directory.join(path)),
        None => Some(sources.directory.join(FILE)).filter(|path| path.is_file()),
    }
}

fn apply_file(path: &Path, sources: &Sources, values: &mut BTreeMap<&'static str, (Value, Origin)>) -> Result<(), ConfigError> {
    let content = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let table: Table = content.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        message: syntax_message(&error, &content),
    })?;
    let origin = Origin::File(path.to_owned());
    let directory = path.parent().unwrap_or(Path::new(""));
    for (path, value) in flatten(table) {
        let Some(key) = find(&path) else {
            // A section that is known names its keys; else whole sections are what may have been meant.
            return Err(unknown(&path, &origin, KEYS.iter().map(|key| key.path).chain(sections())));
        };
        let value = check(key, value, directory, sources).map_err(|issue| invalid(key, &origin, issue))?;
        values.insert(key.path, (value, origin.clone()));
    }
    Ok(())
}

/// Describes what is wrong with a settings file. The parser shows the line; one that may hold a secret is only counted.
fn syntax_message(error: &toml::de::Error, content: &str) -> String {
    let before = error.span().and_then(|span| content.get(..span.start)).unwrap_or_default();
    let number = before.matches('\n').count();
    let mut lines = content.lines().take(number + 1).enumerate();
    match lines.any(|(at, line)| names_secret(line) && (at == number || goes_on(line))) {
        true => format!("line {}: {}", number + 1, error.message()),
        false => error.to_string().trim_end().to_owned(),
    }
}

/// Whether the line has the name of a secret in it.
fn names_secret(line: &str) -> bool {
    let mut secrets = KEYS.iter().filter(|key| key.kind == Kind::Secret);
    secrets.any(|key| key.path.rsplit('.').next().is_some_and(|name| line.contains(name)))
}

/// Whether the value that begins on the line may end on a later one, which does not name it.
fn goes_on(line: &str) -> bool {
    let value = line.split_once('=').map(|(_, value)| value.trim_start());
    value.is_some_and(|value| value.is_empty() || ["\"\"\"", "'''", "[", "{"].iter().any(|begin| value.starts_with(begin)))
}

fn apply_variables(sources: &Sources, values: &mut BTreeMap<&'static str, (Value, Origin)>) -> Result<(), ConfigError> {
    let known: BTreeMap<String, &Key> = KEYS.iter().map(|key| (key.variable(), key)).collect();
    for (name, value) in sources.variables.iter().filter(|(name, _)| name.starts_with("IBID_")) {
        let origin = Origin::Variable(name.clone());
        let Some(key) = known.get(name) else {
            if OTHER_VARIABLES.contains(&name.as_str()) || is_service_link(name) {
                continue;
            }
            return Err(unknown(
                name,
                &Origin::Variable("environment".to_owned()),
                known.keys().map(String::as_str),
            ));
        };
        let value = parse(key, value).and_then(|value| check(key, value, &sources.directory, sources));
        values.insert(key.path, (value.map_err(|issue| invalid(key, &origin, issue))?, origin));
    }
    Ok(())
}

/// Kubernetes and Docker links put `IBID_SERVICE_HOST`, `IBID_PORT_8000_TCP_ADDR` and the like into the
/// environment of anything that runs beside a service called `ibid`. They are nobody's slip.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.ends_with("_PORT") || name.contains("_PORT_")
}

/// Leaves of the file's tables as `section.name`, in order. An empty section says nothing.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) if inner.is_empty() && sections().any(|section| section == name) => {}
            Value::Table(inner) if !inner.is_empty() => {
                for (key, value) in inner {
                    let path = format!("{name}.{key}");
                    match value {
                        Value::Table(inner) if sections().any(|section| section == path) => {
                            leaves.extend(inner.into_iter().map(|(key, value)| (format!("{path}.{key}"), value)));
                        }
                        // Deeper tables than there are sections stay values, so that the error names the key.
                        value => leaves.push((path, value)),
                    }
                }
            }
            value => leaves.push((name, value)),
        }
    }
    leaves
}

/// `server`, `files`, `files.s3`, ...
fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| key.section())
}

/// The value that a variable or flag spells.
fn parse(key: &Key, text: &str) -> Result<Value, String> {
    parse_as(key.kind, text.trim())
}

fn parse_as(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Optional(_) if text.is_empty() => Ok(Value::String(String::new())),
        Kind::Optional(kind) => parse_as(*kind, text),
        Kind::Integer(..) => text
            .replace('_', "")
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("must be a whole number, not `{text}`")),
        Kind::Boolean => match text {
            "true" | "1" | "yes" | "on" => Ok(Value::Boolean(true)),
            "false" | "0" | "no" | "off" => Ok(Value::Boolean(false)),
            _ => Err(format!("must be `true` or `false`, not `{text}`")),
        },
        Kind::Texts | Kind::Networks => {
            let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
            Ok(Value::Array(texts.map(|text| Value::String(text.to_owned())).collect()))
        }
        Kind::Text | Kind::Secret | Kind::Path | Kind::Address | Kind::Choice(_) => Ok(Value::String(text.to_owned())),
    }
}

/// The value in the form that is kept, or what is wrong with it.
fn check(key: &Key, value: Value, directory: &Path, sources: &Sources) -> Result<Value, String> {
    check_as(key.kind, value, directory, sources)
}

fn check_as(kind: Kind, value: Value, directory: &Path, sources: &Sources) -> Result<Value, String> {
    let wrong_type = |wanted: &str, value: &Value| format!("must be {wanted}, not {} `{value}`", article(value.type_str()));
    match (kind, value) {
        (Kind::Optional(_), Value::String(text)) if text.trim().is_empty() => Ok(Value::String(String::new())),
        (Kind::Optional(kind), value) => check_as(*kind, value, directory, sources),
        (Kind::Secret, Value::String(text)) => Ok(Value::String(text.trim().to_owned())),
        // Whatever it is, it may be the secret.
        (Kind::Secret, _) => Err("must be a text".to_owned()),
        (Kind::Integer(least, most), Value::Integer(number)) if (least..=most).contains(&number) => Ok(Value::Integer(number)),
        (Kind::Integer(least, most), Value::Integer(number)) => Err(format!("must be {least} to {most}, not {number}")),
        (Kind::Integer(..), value) => Err(wrong_type("a whole number", &value)),
        (Kind::Boolean, value @ Value::Boolean(_)) => Ok(value),
        (Kind::Boolean, value) => Err(wrong_type("`true` or `false`", &value)),
        (Kind::Texts, Value::Array(texts)) if texts.iter().all(|text| text.as_str().is_some_and(|text| !text.trim().is_empty())) => {
            Ok(Value::Array(texts))
        }
        (Kind::Networks, value) => {
            let value = check_as(Kind::Texts, value, directory, sources)?;
            <Vec<IpNet>>::from_toml(&value)?;
            Ok(value)
        }
        (Kind::Texts, value) => Err(format!("must be a list of texts, such as [\"a\", \"b\"], not `{value}`")),
        (_, Value::String(text)) if text.trim().is_empty() => Err("must not be empty".to_owned()),
        (Kind::Text, value @ Value::String(_)) => Ok(value),
        (Kind::Choice(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(Value::String(word)),
        (Kind::Choice(words), Value::String(word)) => Err(format!("must be {}, not `{word}`", words.join(" or "))),
        (Kind::Address, Value::String(address)) => match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Value::String(address)),
            _ => Err(format!("must be HOST:PORT, such as 127.0.0.1:8000, not `{address}`")),
        },
        (Kind::Path, Value::String(path)) => {
            let home = sources.variables.get("HOME").map(PathBuf::from);
            let path = match (path.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => directory.join(path),
            };
            Ok(Value::String(path.to_string_lossy().into_owned()))
        }
        (Kind::Text | Kind::Choice(_) | Kind::Address | Kind::Path, value) => Err(wrong_type("a text", &value)),
    }
}

fn article(kind: &str) -> String {
    match kind.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn unknown<'a>(key: &str, origin: &Origin, known: impl Iterator<Item = &'a str>) -> ConfigError {
    ConfigError::UnknownKey {
        key: key.to_owned(),
        origin: origin.to_string(),
        meant: nearest(key, known).map(str::to_owned),
    }
}

fn invalid(key: &Key, origin: &Origin, issue: String) -> ConfigError {
    ConfigError::Invalid {
        key: key.path.to_owned(),
        origin: origin.to_string(),
        issue,
    }
}

/// Reads the structs of the layers from values that have been checked.
fn settings(values: &BTreeMap<&'static str, (Value, Origin)>) -> Result<Settings, ConfigError> {
    let flat = values.iter().map(|(key, (value, _))| (*key, value.clone())).collect();
    Settings::read(&flat).map_err(|invalid| ConfigError::Invalid {
        key: invalid.key.to_owned(),
        origin: values.get(invalid.key).map_or_else(String::new, |(_, origin)| origin.to_string()),
        issue: invalid.issue,
    })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
