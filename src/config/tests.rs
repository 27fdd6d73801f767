use super::*;
use ibid_types::secret::Secret;
use std::fs;
use std::time::Duration;

fn sources(file: Option<&str>, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    if let Some(content) = file {
        fs::write(directory.path().join("ibid.toml"), content).expect("the settings file is written");
    }
    let sources = Sources {
        file: None,
        variables: variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        directory: directory.path().to_owned(),
        flags: flags
            .iter()
            .map(|(key, value)| Flag {
                name: "--set".to_owned(),
                key: key.to_string(),
                value: value.to_string(),
            })
            .collect(),
    };
    (directory, sources)
}

fn refusal(file: Option<&str>, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let (_directory, sources) = sources(file, variables, flags);
    Effective::load(&sources).expect_err("must be refused").to_string()
}

#[test]
fn defaults_fill_every_setting() {
    let (_directory, sources) = sources(None, &[], &[]);
    let effective = Effective::load(&sources).expect("the defaults are valid");
    assert_eq!(effective.settings.server.listen, "127.0.0.1:8000");
    assert_eq!(effective.settings.engine.default_collection, "documents");
    assert!(KEYS.iter().all(|key| matches!(effective.get(key.path), Some((_, Origin::Default)))));
    // A default is said once: structs that no file was read for have the same.
    assert_eq!(format!("{:?}", effective.settings), format!("{:?}", Settings::default()));
}

#[test]
fn later_layers_win() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 7\n[log]\nformat = \"json\"\n[files]\nstore = \"s3\"\n[files.s3]\nbucket = \"documents\"\n";
    let (_directory, sources) = sources(
        Some(file),
        &[("IBID_SERVER_LISTEN", "127.0.0.1:2"), ("IBID_LOG_LEVEL", "debug")],
        &[("server.listen", "127.0.0.1:3")],
    );
    let effective = Effective::load(&sources).expect("valid");
    assert_eq!(effective.settings.server.listen, "127.0.0.1:3");
    assert_eq!(effective.settings.server.max_connections, 7);
    assert_eq!(effective.settings.log.level, "debug");
    assert_eq!(effective.settings.engine.files.to_string(), "s3://documents at AWS S3 in us-east-1");
    let origin = |path: &str| effective.get(path).map(|(_, origin)| origin.clone()).expect("known");
    assert_eq!(origin("server.listen"), Origin::Flag("--set".to_owned()));
    assert_eq!(origin("log.level"), Origin::Variable("IBID_LOG_LEVEL".to_owned()));
    assert!(matches!(origin("log.format"), Origin::File(_)));
    assert_eq!(origin("query.timeout_seconds"), Origin::Default);
}

#[test]
fn unknown_keys_name_what_was_meant() {
    let message = refusal(Some("[server]\nlisen = \"x:1\"\n"), &[], &[]);
    assert!(
        message.contains("`server.lisen`") && message.contains("did you mean `server.listen`?"),
        "{message}"
    );
    let message = refusal(None, &[("IBID_SERVER_LISTENS", "x:1")], &[]);
    assert!(
        message.contains("`IBID_SERVER_LISTENS`") && message.contains("`IBID_SERVER_LISTEN`"),
        "{message}"
    );
    let message = refusal(None, &[], &[("datadir", "x")]);
    assert!(message.contains("`datadir`") && message.contains("`data_dir`"), "{message}");
    assert!(refusal(Some("[colours]\nsky = 1\n"), &[], &[]).contains("`colours.sky`"));
    let message = refusal(Some("[files.s3]\nbuckets = \"x\"\n"), &[], &[]);
    assert!(
        message.contains("`files.s3.buckets`") && message.contains("did you mean `files.s3.bucket`?"),
        "{message}"
    );
    assert!(refusal(Some("[sever]\n"), &[], &[]).contains("did you mean `server`?"));
}

#[test]
fn wrong_values_say_what_would_be_right() {
    for (file, wanted) in [
        ("[server]\nlisten = \"localhost\"\n", "must be HOST:PORT"),
        ("[server]\nlisten = \"localhost:99999\"\n", "must be HOST:PORT"),
        ("[server]\nmax_connections = 0\n", "must be 1 to 1000000, not 0"),
        ("[server]\nmax_connections = \"many\"\n", "must be a whole number, not a string"),
        (
            "[server]\nallow_remote_without_auth = 1\n",
            "must be `true` or `false`, not an integer",
        ),
        ("[log]\nformat = \"xml\"\n", "must be text or json, not `xml`"),
        ("data_dir = \"\"\n", "must not be empty"),
        ("server = 3\n", "there is no setting `server`"),
        ("[server.listen]\nhost = \"x\"\n", "must be a text, not a table"),
        ("[server\n", "is not valid TOML"),
    ] {
        let message = refusal(Some(file), &[], &[]);
        assert!(message.contains(wanted), "{file} gave: {message}");
    }
    assert!(
        refusal(None, &[("IBID_EMBEDDER_THREADS", "two")], &[])
            .contains("IBID_EMBEDDER_THREADS: `embedder.threads` must be a whole number")
    );
}

#[test]
fn a_named_file_must_be_there_and_paths_start_at_it() {
    let (directory, mut sources) = sources(None, &[("HOME", "/home/ada")], &[]);
    sources.file = Some("etc/other.toml".into());
    assert!(matches!(Effective::load(&sources), Err(ConfigError::Unreadable { .. })));
    fs::create_dir(directory.path().join("etc")).expect("made");
    fs::write(
        directory.path().join("etc/other.toml"),
        "data_dir = \"data\"\nshare_dir = \"~/share\"\n",
    )
    .expect("written");
    let effective = Effective::load(&sources).expect("valid");
    assert_eq!(effective.settings.data_dir, directory.path().join("etc/data"));
    assert_eq!(effective.settings.share_dir, Path::new("/home/ada/share"));
    sources.variables.insert("IBID_DATA_DIR".to_owned(), "here".to_owned());
    assert_eq!(
        Effective::load(&sources).expect("valid").settings.data_dir,
        directory.path().join("here")
    );
}

#[test]
fn variables_that_orchestrators_set_are_no_slip() {
    let variables = [
        ("IBID_SERVICE_HOST", "10.0.0.1"),
        ("IBID_SERVICE_PORT", "8000"),
        ("IBID_PORT", "tcp://10.0.0.1:8000"),
        ("IBID_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("IBID_SERVER", "http://127.0.0.1:8000"),
    ];
    let (_directory, sources) = sources(None, &variables, &[]);
    assert!(Effective::load(&sources).is_ok());
}

#[test]
fn what_is_printed_can_be_read_again() {
    let (directory, sources) = sources(
        None,
        &[("IBID_SERVER_MAX_UPLOAD_BYTES", "1_000")],
        &[("log.level", "info,ibid=\"x\"")],
    );
    let effective = Effective::load(&sources).expect("valid");
    let printed = effective.to_toml();
    assert!(printed.contains("# IBID_SERVER_MAX_UPLOAD_BYTES"), "{printed}");
    fs::write(directory.path().join("ibid.toml"), &printed).expect("written");
    let again = Sources {
        variables: BTreeMap::new(),
        flags: Vec::new(),
        ..sources
    };
    let read = Effective::load(&again).expect("valid").settings;
    assert_eq!(format!("{read:?}"), format!("{:?}", effective.settings));
    assert_eq!(effective.to_json()["server.max_upload_bytes"]["value"], 1000);
}

#[test]
fn secrets_are_never_printed() {
    let (directory, sources) = sources(None, &[("IBID_LLM_API_KEY", " sk-very-secret ")], &[]);
    let effective = Effective::load(&sources).expect("valid");
    assert_eq!(
        effective.settings.engine.llm.api_key.as_ref().map(Secret::expose),
        Some("sk-very-secret")
    );
    let printed = effective.to_toml();
    let all = format!("{printed}{}{:?}", effective.to_json(), effective.settings);
    assert!(
        !all.contains("very-secret") && printed.contains("#api_key = \"(hidden)\""),
        "{printed}"
    );
    assert_eq!(effective.to_json()["llm.api_key"]["value"], "(hidden)");
    fs::write(directory.path().join("ibid.toml"), &printed).expect("written");
    let again = Sources {
        variables: BTreeMap::new(),
        ..sources
    };
    assert!(Effective::load(&again).expect("valid").settings.engine.llm.api_key.is_none());
    let message = refusal(Some("[llm]\napi_key = 12345\n"), &[], &[]);
    assert!(
        message.contains("`llm.api_key` must be a text") && !message.contains("12345"),
        "{message}"
    );
    let message = refusal(Some("[llm]\nmodel = \"m\"\napi_key = sk-very-secret\n"), &[], &[]);
    assert!(message.contains("line 3: ") && !message.contains("very-secret"), "{message}");
    let message = refusal(Some("[llm]\nmodel = m\n"), &[], &[]);
    assert!(message.contains("model = m"), "{message}");
}

#[test]
fn what_is_optional_may_be_empty_and_else_is_checked() {
    let (directory, sources) = sources(
        Some("[llm]\napi_key_file = \"key\"\nmodel = \"\"\n"),
        &[("IBID_LLM_BASE_URL", "")],
        &[],
    );
    let llm = Effective::load(&sources).expect("valid").settings.engine.llm;
    assert_eq!(llm.api_key_file, Some(directory.path().join("key")));
    assert!(llm.model.is_none() && llm.base_url.is_none() && llm.ca_file.is_none());
    assert!(refusal(Some("[llm]\nmodel = 3\n"), &[], &[]).contains("must be a text, not an integer"));
}

#[test]
fn only_some_settings_change_while_the_server_runs_and_their_values_are_checked() {
    let (_directory, sources) = sources(None, &[], &[]);
    let effective = Effective::load(&sources).expect("valid");
    let change = |key: &str, value: toml::Value| effective.changed(vec![(key.to_owned(), value)]);
    let changed = change("query.timeout_seconds", 7.into()).expect("may change");
    assert_eq!(changed.settings.engine.query_timeout, Duration::from_secs(7));
    let origin = changed.get("query.timeout_seconds").map(|(_, origin)| origin.clone());
    assert_eq!(origin, Some(super::Origin::Running));
    assert_eq!(
        effective.settings.engine.query_timeout,
        Duration::from_secs(60),
        "what was there stays"
    );
    for (key, value, wanted) in [
        ("query.timeout_seconds", toml::Value::from(0), "must be 1 to 3600"),
        ("query.timeout_seconds", toml::Value::from("7"), "must be a whole number"),
        (
            "server.listen",
            toml::Value::from("127.0.0.1:1"),
            "cannot change while the server runs",
        ),
        ("query.timeout_second", toml::Value::from(7), "did you mean"),
    ] {
        let message = change(key, value).expect_err(key).to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn the_example_file_lists_every_setting() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ibid.example.toml")).expect("the example is there");
    // A `#` with no space after it comments out a setting; uncommented, the file must be valid and complete.
    let active: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let active = active.join("\n");
    let (directory, sources) = sources(Some(&active), &[("HOME", "/home/ada")], &[]);
    let effective = Effective::load(&sources).expect("the example is valid");
    let unset: Vec<_> = KEYS
        .iter()
        .filter(|key| matches!(effective.get(key.path), Some((_, Origin::Default))))
        .map(|key| key.path)
        .collect();
    assert!(unset.is_empty(), "not in the example: {unset:?}");
    for key in KEYS
        .iter()
        .filter(|key| !matches!(key.kind, Kind::Path | Kind::Optional(Kind::Path)))
    {
        assert_eq!(
            effective.get(key.path).map(|(value, _)| value.clone()),
            Some(key.default()),
            "{} in the example is not its default",
            key.path
        );
    }
    drop(directory);
}

/// A value that `key` may have and that is not its default.
fn other_value(key: &Key) -> Value {
    let default = key.default();
    fn other(kind: Kind, default: &Value) -> Value {
        match kind {
            Kind::Optional(kind) => other(*kind, default),
            Kind::Integer(least, most) => Value::Integer(if default.as_integer() == Some(least) { most } else { least }),
            Kind::Boolean => Value::Boolean(default.as_bool() != Some(true)),
            Kind::Texts => vec!["one", "two"].into(),
            Kind::Networks => vec!["10.0.0.0/8", "192.0.2.7"].into(),
            Kind::Choice(words) => {
                let word = words.iter().find(|word| default.as_str() != Some(**word));
                (*word.expect("a choice has two words")).into()
            }
            Kind::Address => "192.0.2.7:1".into(),
            Kind::Path => "/a/path".into(),
            Kind::Text | Kind::Secret => "another".into(),
        }
    }
    other(key.kind, &default)
}

#[test]
fn every_key_goes_from_the_file_into_its_struct() {
    let mut file = String::new();
    let mut section = None;
    for key in KEYS.iter() {
        if key.section() != section {
            section = key.section();
            file.push_str(&format!("[{}]\n", section.unwrap_or_default()));
        }
        let name = key.path.rsplit('.').next().unwrap_or_default();
        file.push_str(&format!("{name} = {}\n", other_value(key)));
    }
    let (_directory, sources) = sources(Some(&file), &[], &[]);
    let effective = Effective::load(&sources).expect("valid");
    let mut held = ibid_settings::Values::default();
    effective.settings.write(&mut held);
    for key in KEYS.iter() {
        let value = other_value(key);
        assert_ne!(value, key.default(), "{}", key.path);
        assert_eq!(effective.get(key.path).map(|(value, _)| value), Some(&value), "{}", key.path);
        assert_eq!(held.get(key.path), Some(&value), "{} in its struct", key.path);
    }
}

#[test]
fn every_number_out_of_range_is_refused_with_the_range() {
    for key in KEYS.iter() {
        let Kind::Integer(least, most) = key.kind else { continue };
        assert!(most < i64::MAX, "{} has no range", key.path);
        for number in [least - 1, most + 1] {
            let message = refusal(None, &[], &[(key.path, &number.to_string())]);
            assert!(
                message.contains(&format!("`{}` must be {least} to {most}, not {number}", key.path)),
                "{message}"
            );
        }
    }
}

#[test]
fn every_mistyped_key_names_the_one_that_was_meant() {
    for key in KEYS.iter() {
        let message = refusal(None, &[], &[(&format!("{}x", key.path), "1")]);
        assert!(message.contains(&format!("did you mean `{}`?", key.path)), "{message}");
    }
}

#[test]
fn networks_are_checked_as_they_are_read() {
    let message = refusal(Some("[server]\ntrusted_proxies = [\"proxy.example.org\"]\n"), &[], &[]);
    assert!(
        message.contains("`server.trusted_proxies`") && message.contains("`proxy.example.org`"),
        "{message}"
    );
}

#[test]
fn the_reference_on_the_page_is_that_of_the_program() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).expect("the page is there");
    assert!(
        page == crate::config::reference(),
        "docs/configuration.md is out of date: ibid config --reference > docs/configuration.md"
    );
}

/// The lines of a table of `docs/operations.md` that tests check, without its head.
fn checked_table(name: &str) -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).expect("the page is there");
    let begin = format!("<!-- {name}: checked by a test -->\n");
    let (_, rest) = page.split_once(begin.as_str()).expect("the section is there");
    let (table, _) = rest.split_once("<!-- end of").expect("the section has an end");
    table.lines().skip(2).map(str::to_owned).collect()
}

#[test]
fn the_table_of_limits_has_each_with_its_default() {
    use ibid_telemetry::catalogue::{ALL, limit};
    let rows = checked_table("limits");
    assert_eq!(rows.len(), limit::ALL.len());
    for limit in limit::ALL {
        let key = find(limit).unwrap_or_else(|| panic!("{limit} is no setting"));
        let begin = format!("| `{limit}` | {} |", key.default());
        let row = rows.iter().find(|row| row.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("no row that begins with {begin}"));
        let gauge = row.split('`').rev().nth(1).filter(|name| name.starts_with("ibid_"));
        assert!(
            gauge.is_none_or(|gauge| ALL.iter().any(|metric| metric.name == gauge)),
            "no such metric: {row}"
        );
    }
}
