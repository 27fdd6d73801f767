//! Any settings file, variables and flags: they are taken and can be printed and read again, or refused by the name of the key;
//! a secret shows up in neither.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A secret that no output may contain.
const SECRET: &str = "hunter2hunter2";

/// The settings with `file` as their file.
fn load(file: &str, variables: &[(String, String)], flags: &[(String, String)]) -> (Result<Effective, ConfigError>, Sources) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("fuzz.toml");
    std::fs::write(&path, file).expect("the settings file is written");
    let sources = Sources {
        file: Some(path),
        variables: variables.iter().cloned().collect(),
        directory: directory.path().to_owned(),
        flags: flags
            .iter()
            .map(|(key, value)| Flag {
                name: "--set".to_owned(),
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
    };
    (Effective::load(&sources), sources)
}

fn is_secret(path: &str) -> bool {
    find(path).is_some_and(|key| key.kind == Kind::Secret)
}

fn check(file: &str, variables: &[(String, String)], flags: &[(String, String)]) -> Result<(), TestCaseError> {
    let given = file.len()
        + variables
            .iter()
            .chain(flags)
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>();
    match load(file, variables, flags).0 {
        Ok(effective) => {
            let printed = effective.to_toml();
            prop_assert!(
                !printed.contains(SECRET) && !effective.to_json().to_string().contains(SECRET),
                "{printed}"
            );
            let again = load(&printed, &[], &[])
                .0
                .map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
            for key in KEYS.iter().filter(|key| !is_secret(key.path)) {
                let value = |effective: &Effective| effective.get(key.path).map(|(value, _)| value.clone());
                prop_assert_eq!(value(&again), value(&effective), "{}", key.path);
            }
        }
        Err(error) => {
            let told = error.to_string();
            prop_assert!(!told.contains(SECRET), "{told}");
            prop_assert!(told.len() <= 8 * given + 1_000, "{told}");
            match error {
                ConfigError::Syntax { .. } => {}
                ConfigError::Invalid { key, issue, .. } => prop_assert!(find(&key).is_some() && !issue.is_empty(), "{key}: {issue}"),
                ConfigError::UnknownKey { key, meant, .. } => {
                    prop_assert!(find(&key).is_none(), "{key}");
                    // What is meant is a setting or its variable, or a section.
                    let known = |meant: &String| {
                        KEYS.iter()
                            .any(|key| key.path == meant || key.variable() == *meant || key.section() == Some(meant))
                    };
                    prop_assert!(meant.as_ref().is_none_or(known), "{meant:?}");
                }
                ConfigError::Unreadable { .. } => prop_assert!(false, "it is there"),
            }
        }
    }
    Ok(())
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::sample::select(KEYS.as_slice()).prop_map(|key| key.path.to_owned()),
        1 => "[a-z]{1,8}(\\.[a-z_]{1,8}){0,3}",
    ]
}

/// Values as variables and flags have them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,9}",
        prop::sample::select(vec!["true", "off", "json", "debug", "127.0.0.1:1", "a, b", "~/x", "1_000", ""]).prop_map(str::to_owned),
        ".{0,12}",
    ]
}

/// Values as files have them, most of them right in form.
fn written() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => text().prop_map(|text| Value::from(text).to_string()),
        4 => "-?[0-9]{1,9}",
        2 => prop::sample::select(vec!["true", "false", "[]", "[\"a\", \"b\"]", "{ a = 1 }", "1.5", "2024-08-15", "''", "[[[1]]]"]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ]
}

/// A settings file: one line for each key, under its section or with its whole path.
fn file() -> impl Strategy<Value = String> {
    let line = (path(), written(), any::<bool>()).prop_map(|(path, value, whole)| match path.rsplit_once('.') {
        Some((section, name)) if !whole => format!("[{section}]\n{name} = {value}\n"),
        _ => format!("{path} = {value}\n"),
    });
    vec(line, 0..3).prop_map(|mut lines| {
        // What has its whole path stands before the first section.
        lines.sort_by_key(|line| line.starts_with('['));
        lines.concat()
    })
}

/// Settings files with a secret, written in one of many ways, and something wrong behind it.
fn file_with_secret() -> impl Strategy<Value = String> {
    let secrets: Vec<&str> = KEYS.iter().map(|key| key.path).filter(|path| is_secret(path)).collect();
    let form = prop::sample::select(vec![
        "\"S\"",
        "'S'",
        "\"\"\"\nS\"\"\"",
        "'''\nS'''",
        "\"\"\"a\nb=c\nS\n\"\"\"",
        "S",
        "\"S",
        "\"\"\"\nS",
        "'''\nS",
        "[\"S\"]",
        "[\n\"S\"",
        "{ a = \"S\" }",
        "{\n a = \"S\"",
        "\"S\\q\"",
        "\"\"\"\nS\\q\"\"\"",
        "\n\"S\"",
        "\"\"\"\n[a]\nS\"\"\"",
    ]);
    let after = prop::sample::select(vec!["", " x", "\nx", "\n[", " \"", "\n= 3", "\u{0}", "\nlevel = 3"]);
    (prop::sample::select(secrets), form, after, any::<bool>()).prop_map(|(path, form, after, inline)| {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        let value = form.replace('S', SECRET);
        match inline {
            true => format!("{section} = {{ {name} = {value}{after} }}\n"),
            false => format!("[{section}]\n{name} = {value}{after}\n"),
        }
    })
}

proptest! {
    #[test]
    fn any_text_is_a_settings_file_or_refused(file in prop_oneof!["\\PC{0,100}", "[\\[\\]{}=\"'a-z0-9.#\n ]{0,80}"]) {
        check(&file, &[], &[])?;
    }

    #[test]
    fn what_is_nearly_a_settings_file_is_taken_or_refused(file in file()) {
        check(&file, &[], &[])?;
    }

    #[test]
    fn a_secret_is_never_shown(file in file_with_secret()) {
        check(&file, &[], &[])?;
    }

    #[test]
    fn any_variable_and_flag_is_taken_or_refused(variables in vec((path(), text()), 0..3), flags in vec((path(), text()), 0..3), odd in "[A-Z_]{0,8}") {
        let name = |path: &str| format!("IBID_{}", path.replace('.', "_").to_uppercase());
        let mut variables: Vec<_> = variables.iter().map(|(path, value)| (name(path), value.clone())).collect();
        if !odd.is_empty() {
            variables.push((odd, SECRET.to_owned()));
        }
        // The variable that names the file has its own meaning.
        variables.retain(|(name, _)| name != FILE_VARIABLE);
        check("", &variables, &flags)?;
    }

    #[test]
    fn what_changes_while_the_server_runs_is_checked_as_in_a_file(path in path(), text in written()) {
        let effective = load("", &[], &[]).0.expect("the defaults are valid");
        let Ok(mut table) = format!("v = {text}").parse::<Table>() else { return Ok(()) };
        let value = table.remove("v").expect("it was written");
        let in_file = format!("{path} = {text}\n");
        match effective.changed(vec![(path.clone(), value)]) {
            Ok(changed) => {
                prop_assert!(find(&path).is_some_and(Key::is_live));
                let loaded = load(&in_file, &[], &[]).0.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(changed.get(&path).map(|(value, _)| value.clone()), loaded.get(&path).map(|(value, _)| value.clone()));
            }
            Err(error) if find(&path).is_some_and(Key::is_live) => prop_assert!(load(&in_file, &[], &[]).0.is_err(), "{error}"),
            Err(_) => {}
        }
    }
}
