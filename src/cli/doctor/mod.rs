//! `ibid doctor`: looks at everything that serving needs, and at the server if there is one.
//!
//! Each check says what it found, and with a finding the command that mends it. Nothing is changed, unless `--repair` asks for it.

mod checks;
mod doors;
mod storage;

use super::args::DoctorArgs;
use super::client::Client;
use super::{CliError, console, serve, tools};
use crate::config::{Effective, Settings};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it must be.
    Ok,
    /// Worth knowing; serving works without it.
    Note,
    /// Serving does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    /// What it is about.
    name: &'static str,
    /// What was found.
    state: State,
    /// For people.
    detail: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn note(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Note,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn broken(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Broken,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Runs all checks and prints them. `server` is an address the user named, to look at instead of the
/// one in the settings.
pub async fn run(args: DoctorArgs, server: Option<Client>) -> Result<(), CliError> {
    let mut checks = Vec::new();
    match tools::settings(&args.settings) {
        Ok(effective) => {
            checks.push(settings_check(&effective));
            checks.extend(look(effective.settings, server, args.repair).await?);
        }
        Err(error) => {
            let remedy = format!("change it as it says; `{} config` shows what holds then", console::program());
            checks.push(Check::broken("settings", error.to_string(), remedy));
        }
    }
    if args.json {
        console::json(&json!({ "checks": checks, "broken": broken(&checks) }))?;
    } else {
        console::print(&render(&checks, console::colours_output()))?;
    }
    match broken(&checks) {
        0 => Ok(()),
        count => Err(CliError::Incomplete(format!("{} broken", console::count(count as u64, "thing")))),
    }
}

async fn look(settings: Settings, server: Option<Client>, repair: bool) -> Result<Vec<Check>, CliError> {
    // Loading the library, the model and the plugins blocks, and takes a second or two.
    let local = settings.clone();
    let files = tokio::task::spawn_blocking(move || checks::share(&local));
    let data = checks::data_dir(&settings.data_dir, settings.engine.disk_reserve_bytes);
    let shared = match serve::with_secrets(&settings.engine.catalog) {
        Ok(None) => None,
        Ok(Some(options)) => Some(checks::shared_catalog(&options).await),
        Err(error) => Some(Check::broken(
            "catalog",
            error.to_string(),
            "change section catalog of the settings",
        )),
    };
    let is_shared = shared.is_some();
    let catalog = match shared {
        Some(check) => check,
        None => checks::catalog(&settings.data_dir).await,
    };
    let (objects, storage) = match serve::with_secrets(&settings.engine.files) {
        Ok(options) => (
            checks::objects(&options).await,
            match is_shared {
                // What servers share is compared by each of them when it starts, beside the others.
                true => Vec::new(),
                false => storage::look(&settings.data_dir, &options, repair).await,
            },
        ),
        Err(error) => {
            let remedy = "change section files.s3 of the settings";
            (Some(Check::broken("files", error.to_string(), remedy)), Vec::new())
        }
    };
    let llm = checks::llm(&settings).await;
    let qdrant = checks::qdrant(&settings).await;
    let auth = doors::auth(&settings).await;
    let tls = doors::tls(&settings);
    let server = checks::server(&settings, server).await;
    let mut checks = files
        .await
        .map_err(|error| CliError::Failed(format!("a check broke off: {error}")))?;
    checks.extend([data, catalog]);
    checks.extend(objects);
    checks.extend(storage);
    checks.extend(llm);
    checks.extend(qdrant);
    checks.extend([auth, tls, server]);
    Ok(checks)
}

fn settings_check(effective: &Effective) -> Check {
    match &effective.file {
        Some(path) => Check::ok("settings", format!("from {}", path.display())),
        None => Check::ok("settings", "defaults, variables and flags; no file"),
    }
}

fn broken(checks: &[Check]) -> usize {
    checks.iter().filter(|check| check.state == State::Broken).count()
}

fn render(checks: &[Check], colours: bool) -> String {
    let mut out = String::new();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (state, colour) = match check.state {
            State::Ok => ("ok", 32),
            State::Note => ("note", 33),
            State::Broken => ("BROKEN", 31),
        };
        let state = match colours {
            true => format!("\x1b[{colour}m{state:<8}\x1b[0m"),
            false => format!("{state:<8}"),
        };
        let indent = " ".repeat(8 + width + 2);
        let detail = console::clean(&check.detail).replace('\n', &format!("\n{indent}"));
        let _ = writeln!(out, "{state}{:<width$}  {detail}", check.name);
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(out, "{indent}-> {}", remedy.replace('\n', &format!("\n{indent}   ")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_with_their_remedies() {
        let checks = [
            Check::ok("runtime", "ONNX Runtime 1.32.0"),
            Check::broken("model", "it is not there", "make setup"),
            Check::note("server", "nothing listens", "ibid serve\nor make run"),
        ];
        let expected = "\
ok      runtime  ONNX Runtime 1.32.0
BROKEN  model    it is not there
                 -> make setup
note    server   nothing listens
                 -> ibid serve
                    or make run
";
        assert_eq!(render(&checks, false), expected);
        assert!(render(&checks, true).contains("\x1b[31mBROKEN  \x1b[0mmodel    it is not there"));
        assert_eq!(broken(&checks), 1);
    }

    #[tokio::test]
    async fn the_checks_find_what_an_empty_machine_lacks() {
        let directory = tempfile::tempdir().expect("a directory");
        let sources = crate::config::Sources {
            directory: directory.path().to_owned(),
            ..Default::default()
        };
        let mut settings = Effective::load(&sources).expect("valid").settings;
        settings.data_dir = directory.path().join("data");
        settings.share_dir = directory.path().join("share");
        settings.server.listen = "127.0.0.1:0".to_owned();
        let checks = look(settings, None, false).await.expect("looked");
        let state = |name: &str| checks.iter().find(|check| check.name == name).map(|check| check.state);
        for name in ["runtime", "model", "plugins"] {
            assert_eq!(state(name), Some(State::Broken), "{name}");
        }
        // They are made by the first start.
        for name in ["data", "catalog"] {
            assert_eq!(state(name), Some(State::Ok), "{name}");
        }
        assert!(
            checks
                .iter()
                .filter(|check| check.state == State::Broken)
                .all(|check| check.remedy.is_some())
        );
        assert!(!directory.path().join("data").exists(), "a doctor changes nothing");
    }
}
