//! Prints settings: as TOML that can be used again, as JSON, and the table of all there are as Markdown.

use super::{Effective, KEYS, Kind, Origin};
use ibid_types::secret::HIDDEN;
use serde_json::{Map, json};
use std::fmt::Write;

impl Effective {
    /// The settings as a TOML file, each with where it came from as a comment.
    pub fn to_toml(&self) -> String {
        let mut out =
            String::from("# Effective settings of Ibid. Order of layers: default, file, IBID_* variable, flag; the last one wins.\n");
        match &self.file {
            Some(path) => _ = writeln!(out, "# Settings file: {}\n", path.display()),
            None => out.push_str("# Settings file: none (./ibid.toml, --config FILE or IBID_CONFIG)\n\n"),
        }
        let width = self.lines().map(|(_, line, _)| line.chars().count()).max().unwrap_or(0).min(60);
        let mut section = None;
        for (path, line, origin) in self.lines() {
            let here = path.rsplit_once('.').map(|(section, _)| section);
            if here != section {
                _ = writeln!(out, "\n[{}]", here.unwrap_or_default());
                section = here;
            }
            _ = writeln!(out, "{line:width$}  # {origin}");
        }
        out
    }

    /// The settings as JSON: `{key: {value, origin, variable, help, live}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut all = Map::new();
        for key in KEYS.iter() {
            if let Some((value, origin)) = self.get(key.path) {
                let value = match is_hidden(key.kind, value) {
                    true => toml::Value::String(HIDDEN.to_owned()),
                    false => value.clone(),
                };
                let entry = json!({ "value": value, "origin": origin.to_string(), "variable": key.variable(), "help": key.help(), "live": key.is_live() });
                all.insert(key.path.to_owned(), entry);
            }
        }
        all.into()
    }

    fn lines(&self) -> impl Iterator<Item = (&'static str, String, &Origin)> {
        KEYS.iter().filter_map(|key| {
            let (value, origin) = self.get(key.path)?;
            let name = key.path.rsplit('.').next().unwrap_or(key.path);
            let line = match is_hidden(key.kind, value) {
                // As a comment, so that the file can be used again without the placeholder becoming the key.
                true => format!("#{name} = \"{HIDDEN}\""),
                false => format!("{name} = {value}"),
            };
            Some((key.path, line, origin))
        })
    }
}

/// The reference of all settings, as Markdown: a table for each section.
pub fn reference() -> String {
    let mut out = String::from(
        "# Settings\n\nA TOML file (`--config FILE`, `IBID_CONFIG`, or `./ibid.toml`), then `IBID_*` variables, then flags (`--set KEY=VALUE`); the last one\n\
         wins. A key that does not exist is an error. `ibid config` prints what holds and where it came from. Settings that are *live* can be\n\
         changed while the server runs, by `PUT /config`; of a number both ends are included. This page is what `ibid config --reference` prints.\n",
    );
    let mut section = None;
    for key in KEYS.iter() {
        let here = key.section().unwrap_or_default();
        if section != Some(here) {
            let title = if here.is_empty() {
                "Of the whole server".to_owned()
            } else {
                format!("`[{here}]`")
            };
            _ = writeln!(
                out,
                "\n## {title}\n\n| key | what | values | default | variable |\n| --- | --- | --- | --- | --- |"
            );
            section = Some(here);
        }
        let default = match key.default() {
            // Of this machine, and of no use on a page.
            toml::Value::String(_) if matches!(key.kind, Kind::Path) => "see `ibid config`".to_owned(),
            value => format!("`{value}`"),
        };
        let live = if key.is_live() { " *Live.*" } else { "" };
        let help = key.help().replace('|', "\\|");
        _ = writeln!(
            out,
            "| `{}` | {help}{live} | {} | {default} | `{}` |",
            key.path,
            values(key.kind),
            key.variable()
        );
    }
    out
}

/// What a setting may be, for people.
fn values(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Optional(inner) => format!("{}, or empty", values(*inner)),
        Kind::Secret => "a text, never printed".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Address => "`HOST:PORT`".to_owned(),
        Kind::Integer(least, most) => format!("{least} to {most}"),
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Texts => "texts".to_owned(),
        Kind::Networks => "addresses and networks".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Whether the value is a secret that somebody set.
fn is_hidden(kind: Kind, value: &toml::Value) -> bool {
    kind == Kind::Secret && value.as_str().is_none_or(|text| !text.is_empty())
}
