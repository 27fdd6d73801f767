//! A key: what the program knows of a setting without knowing the struct that holds it.

use toml::Value;

/// The values that a setting may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text but the empty one.
    Text,
    /// As the kind inside, or the empty text for none.
    Optional(&'static Kind),
    /// A text that is never printed; empty for none.
    Secret,
    /// A file or directory. `~/` is the home directory; in a settings file, relative paths start at its directory.
    Path,
    /// `HOST:PORT`; the host an IP address or a name.
    Address,
    /// A whole number, both ends included.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
    /// Texts; a variable or flag separates them by commas.
    Texts,
    /// As `Texts`, each an IP address or a network such as `10.0.0.0/8`.
    Networks,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.name`, or a name alone.
    pub path: &'static str,
    /// The values that it may have.
    pub kind: Kind,
    default: fn() -> Value,
    lines: &'static [&'static str],
    live: bool,
}

impl Key {
    /// Makes a key from the parts that [`settings!`](crate::settings!) reads off a field.
    pub const fn new(path: &'static str, kind: Kind, default: fn() -> Value, lines: &'static [&'static str]) -> Self {
        Self {
            path,
            kind,
            default,
            lines,
            live: false,
        }
    }

    /// Limits a number, both ends included.
    pub const fn range(mut self, least: i64, most: i64) -> Self {
        self.kind = Kind::Integer(least, most);
        self
    }

    /// Requires `HOST:PORT`.
    pub const fn address(mut self) -> Self {
        self.kind = Kind::Address;
        self
    }

    /// Lets the setting change while the server runs (`PUT /config`). Right for values that the server looks up for each request,
    /// not for those that sockets, threads and files were opened with.
    pub const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Returns the value where nobody sets another.
    pub fn default(&self) -> Value {
        (self.default)()
    }

    /// Whether the setting can change while the server runs.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Returns the documentation of the field, as one line.
    pub fn help(&self) -> String {
        self.lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// Returns the environment variable: `server.listen` is `IBID_SERVER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("IBID_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// Returns the section: `server`, or `files.s3` within `files`; `None` for settings of the whole server.
    pub fn section(&self) -> Option<&'static str> {
        self.path.rsplit_once('.').map(|(section, _)| section)
    }
}
