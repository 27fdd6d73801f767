//! The checks.

use super::super::client::Client;
use super::super::error::with_causes;
use super::super::{CliError, console, serve, tools};
use super::Check;
use crate::config::Settings;
use ibid_catalog::{Catalog, PostgresOptions, SqliteOptions};
use ibid_embed::{ModelInfo, Runtime, RuntimeChoice};
use ibid_engine::Pipeline;
use ibid_files::{S3Store, StoreOptions};
use ibid_generate::{Llm, LlmError};
use ibid_index::{RemoteIndex, VectorIndex};
use ibid_plugin_host::{Host, HostSettings, Kind, Registry};
use ibid_system::disk::{DiskError, DiskGuard};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

/// What mends the share directory, whatever is wrong in it.
const SETUP: &str = "make setup   (in Ibid's source directory; or point --share-dir at a complete one)";

/// What ships with Ibid: library, model, plugins. Blocks.
pub fn share(settings: &Settings) -> Vec<Check> {
    let share = &settings.share_dir;
    vec![
        runtime(share, &settings.engine.runtime),
        model(share, &settings.engine.model),
        plugins(share, &settings.data_dir),
    ]
}

fn runtime(share: &Path, choice: &RuntimeChoice) -> Check {
    match Runtime::find(share, choice) {
        Ok(runtime) => Check::ok(
            "runtime",
            format!("ONNX Runtime {} loads from {}", runtime.version(), runtime.library().display()),
        ),
        Err(error) => Check::broken("runtime", error.to_string(), SETUP),
    }
}

fn model(share: &Path, name: &str) -> Check {
    let directory = share.join("models").join(name);
    let source = share.join("sources").join(name);
    let remedy = match source.is_dir() {
        true => format!(
            "{} model convert --force {} {}",
            console::program(),
            source.display(),
            directory.display()
        ),
        false => SETUP.to_owned(),
    };
    let info = match ModelInfo::read(&directory) {
        Ok(info) => info,
        Err(error) => return Check::broken("model", error.to_string(), remedy),
    };
    let mut files = vec![("model.onnx", &info.model_sha256), ("tokenizer.json", &info.tokenizer_sha256)];
    files.extend(
        info.ready
            .iter()
            .flat_map(|ready| &ready.external)
            .map(|(file, sha256)| (file.as_str(), sha256)),
    );
    for (file, expected) in files {
        let path = directory.join(file);
        match tools::sha256(&path) {
            Ok(found) if found == *expected => {}
            Ok(_) => {
                return Check::broken(
                    "model",
                    format!("{} is damaged: it is not what was converted", path.display()),
                    remedy,
                );
            }
            Err(error) => {
                return Check::broken("model", format!("{}: {error}", path.display()), remedy);
            }
        }
    }
    Check::ok("model", format!("{name}, {} dimensions, undamaged", info.dimension))
}

fn plugins(share: &Path, data: &Path) -> Check {
    let directory = share.join("plugins");
    let broken = |detail: String| Check::broken("plugins", detail, SETUP);
    // With the server's own cache of compiled code this takes no time; a doctor does not make one.
    let cache_dir = Some(data.join("cache")).filter(|cache| cache.is_dir());
    let host = match Host::new(HostSettings {
        cache_dir,
        ..HostSettings::default()
    }) {
        Ok(host) => host,
        Err(error) => return broken(format!("the sandbox cannot be set up: {error}")),
    };
    let registry = Registry::new();
    let mut findings: Vec<String> = match registry.load_dir(&host, &directory) {
        Ok(failures) => failures
            .iter()
            .map(|failure| format!("{}: {}", failure.path.display(), failure.error))
            .collect(),
        Err(error) => return broken(error.to_string()),
    };
    let pipeline = Pipeline::default();
    let wanted = [
        (Kind::Chunker, &pipeline.chunker.plugin),
        (Kind::Analyzer, &pipeline.analyzer.plugin),
        (Kind::Formatter, &pipeline.citations.plugin),
    ];
    findings.extend(
        wanted
            .into_iter()
            .filter_map(|(kind, name)| registry.resolve(kind, name).err().map(|error| error.to_string())),
    );
    for media_type in ["application/pdf", "text/plain", "text/markdown"] {
        if registry.extractor_for(media_type).is_none() {
            findings.push(format!("no plugin extracts {media_type}"));
        }
    }
    if !findings.is_empty() {
        return broken(findings.join("\n"));
    }
    let names: Vec<String> = registry
        .list()
        .iter()
        .map(|plugin| format!("{} {}", plugin.manifest().name, plugin.manifest().version))
        .collect();
    Check::ok("plugins", names.join(", "))
}

/// Whether the server could write there. What is not there yet is made by the first start.
pub fn data_dir(path: &Path, reserve: u64) -> Check {
    let remedy = "choose another one with --data-dir DIR, or make it yours: chown -R \"$USER\" DIR";
    if path.is_dir() {
        return match tempfile::Builder::new().prefix(".doctor-").tempfile_in(path) {
            Ok(_) => match DiskGuard::new(path, reserve).check(0) {
                Ok(()) => Check::ok("data", format!("{} can be written", path.display())),
                Err(_) => Check::note(
                    "data",
                    format!(
                        "on the disk of {} less is free than ingest.disk_reserve_bytes ({reserve}): uploads are refused, and documents wait",
                        path.display()
                    ),
                    "make room on that disk",
                ),
            },
            Err(error) if let Some(trouble) = DiskError::of(&error) => {
                let remedy = match trouble {
                    DiskError::Full => "make room on that disk",
                    DiskError::ReadOnly => {
                        "look in the system's log why the disk is read-only; check its file system, and mount it to be written"
                    }
                };
                Check::broken("data", format!("{} cannot be written: {error}", path.display()), remedy)
            }
            Err(error) => Check::broken("data", format!("{} cannot be written: {error}", path.display()), remedy),
        };
    }
    if path.exists() {
        return Check::broken("data", format!("{} is not a directory", path.display()), remedy);
    }
    let parent = path.ancestors().skip(1).find(|parent| parent.exists());
    match parent.map(|parent| {
        tempfile::Builder::new()
            .prefix(".doctor-")
            .tempfile_in(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    }) {
        Some(Err(error)) => Check::broken("data", format!("{} cannot be made: {error}", path.display()), remedy),
        _ => Check::ok("data", format!("{} is not there yet; the first start makes it", path.display())),
    }
}

/// Whether the catalog opens. A running server does not mind.
pub async fn catalog(data: &Path) -> Check {
    let path = data.join("catalog");
    if !path.exists() {
        return Check::ok("catalog", "not there yet; the first start makes it");
    }
    let broken = |error: &dyn std::error::Error| {
        let remedy = format!(
            "stop whatever else uses {}, check the disk, or restore the directory from a backup",
            data.display()
        );
        Check::broken("catalog", format!("{}: {}", path.display(), with_causes(error)), remedy)
    };
    let catalog = match Catalog::sqlite(&path, SqliteOptions::default()).await {
        Ok(catalog) => catalog,
        Err(error) => return broken(&error),
    };
    let listed = catalog.collections().await;
    catalog.close().await;
    match listed {
        Ok(collections) => Check::ok(
            "catalog",
            format!("opens, {}", console::count(collections.len() as u64, "collection")),
        ),
        Err(error) => broken(&error),
    }
}

/// Whether the catalog that servers share can be reached.
pub async fn shared_catalog(options: &PostgresOptions) -> Check {
    let looked = async {
        let catalog = Catalog::postgres(options).await?;
        let listed = catalog.collections().await;
        catalog.close().await;
        listed
    };
    match looked.await {
        Ok(collections) => Check::ok(
            "catalog",
            format!("in PostgreSQL, {}", console::count(collections.len() as u64, "collection")),
        ),
        Err(error) => Check::broken(
            "catalog",
            with_causes(&error),
            "check catalog.url and the database server; docs/servers.md says what it has to be",
        ),
    }
}

/// The language model's server, if the settings name one.
pub async fn llm(settings: &Settings) -> Option<Check> {
    let url = settings.engine.llm.base_url.as_ref()?;
    let remedy = format!(
        "change section llm of the settings; `{} config` shows what holds",
        console::program()
    );
    let llm = match serve::with_secrets(&settings.engine.llm).map(Llm::new) {
        Ok(Ok(llm)) => llm,
        Ok(Err(refusal)) => {
            return Some(Check::broken(
                "llm",
                format!("the setting `llm.{}` {}", refusal.key, refusal.issue),
                remedy,
            ));
        }
        Err(error) => return Some(Check::broken("llm", error.to_string(), remedy)),
    };
    let health = llm.health().await?;
    let model = settings.engine.llm.model.as_deref().unwrap_or_default();
    Some(match health.answered {
        Ok(_) if model.is_empty() => Check::note("llm", format!("{url} answers; llm.model names no model"), remedy),
        Ok(time) if health.lists_model => Check::ok("llm", format!("{url} answers in {} ms and has `{model}`", time.as_millis())),
        Ok(_) => Check::note("llm", format!("{url} answers, but does not list `{model}`"), remedy),
        Err(reason) => Check::note(
            "llm",
            format!("{url}: {}", LlmError::from(reason)),
            "start it, or change section llm of the settings",
        ),
    })
}

/// The object store, if the settings keep files in one.
pub async fn objects(options: &StoreOptions) -> Option<Check> {
    let StoreOptions::S3(s3) = options else { return None };
    let started = Instant::now();
    Some(match S3Store::probe(s3).await {
        Ok(()) => {
            let time = started.elapsed().as_millis();
            Check::ok("files", format!("{options} can be listed, read and written, in {time} ms"))
        }
        Err(error) => Check::broken("files", error.to_string(), "as it says there, in section files.s3 of the settings"),
    })
}

/// The Qdrant server, if the settings name one.
pub async fn qdrant(settings: &Settings) -> Option<Check> {
    let remedy = "start it, or change section qdrant of the settings";
    let options = match serve::with_secrets(&settings.engine.qdrant) {
        Ok(options) => options?,
        Err(error) => return Some(Check::broken("qdrant", error.to_string(), remedy)),
    };
    let url = options.url.clone();
    let health = match RemoteIndex::new(options) {
        Ok(index) => index.health().await,
        Err(error) => return Some(Check::broken("qdrant", error.to_string(), remedy)),
    };
    Some(match health {
        Ok(time) => Check::ok("qdrant", format!("{url} answers in {} ms and takes the key", time.as_millis())),
        Err(error) => Check::note("qdrant", error.detail(), remedy),
    })
}

/// Checks whether a server answers and is healthy; where none does, whether one could start.
pub async fn server(settings: &Settings, named: Option<Client>) -> Check {
    let start = format!("{} serve", console::program());
    let (client, address) = match named {
        Some(client) => (client, None),
        None => {
            let address = match serve::resolve(&settings.server.listen) {
                Ok(address) if address.port() == 0 => {
                    return Check::ok("server", "listens on any free port, so there is none to look at");
                }
                Ok(address) => address,
                Err(error) => {
                    return Check::broken("server", error.to_string(), "ibid serve --listen 127.0.0.1:8000");
                }
            };
            let reachable = match address.ip().is_unspecified() {
                true => SocketAddr::from(([127, 0, 0, 1], address.port())),
                false => address,
            };
            match Client::new(&format!("{}://{reachable}", serve::scheme(settings)), None, None) {
                Ok(client) => (client, Some(address)),
                Err(error) => return Check::broken("server", error.to_string(), start),
            }
        }
    };
    let at = client.server();
    match client.probe(&["health"]).await {
        Ok((status, health)) => healthy(&at, status, &health),
        Err(CliError::Unreachable { reason, .. }) => match address.map(TcpListener::bind) {
            None => Check::broken("server", format!("no server answers at {at} ({reason})"), start),
            Some(Ok(_)) => Check::note("server", format!("none is running at {at}; the port is free"), start),
            Some(Err(error)) => Check::broken(
                "server",
                format!("nothing answers at {at}, and the port cannot be taken: {error}"),
                format!("{start} --listen 127.0.0.1:8001"),
            ),
        },
        Err(_) => Check::broken(
            "server",
            format!("another program answers at {at}"),
            format!("stop it, or choose another port: {start} --listen 127.0.0.1:8001"),
        ),
    }
}

fn healthy(at: &str, status: u16, health: &Value) -> Check {
    let text = |key: &str| health.get(key).and_then(Value::as_str).map(console::clean);
    let Some(state) = text("status") else {
        return Check::broken(
            "server",
            format!("another program answers at {at}"),
            "stop it, or choose another port with --listen",
        );
    };
    let version = text("version").unwrap_or_else(|| "of unknown version".to_owned());
    if status == 200 && state == "healthy" {
        let own = env!("CARGO_PKG_VERSION");
        return match version == own {
            true => Check::ok("server", format!("{at} is healthy, version {version}")),
            false => Check::note(
                "server",
                format!("{at} is healthy, but runs version {version}; this program is {own}"),
                "restart the server",
            ),
        };
    }
    let services = health.get("services").and_then(Value::as_object);
    let unwell: Vec<String> = services
        .into_iter()
        .flatten()
        .filter(|(_, service)| service.get("status").and_then(Value::as_str) != Some("healthy"))
        .map(|(name, service)| {
            let message = service.get("message").and_then(Value::as_str).unwrap_or("no reason given");
            format!("{}: {}", console::clean(name), console::clean(message))
        })
        .collect();
    Check::broken(
        "server",
        format!("{at} is {state}\n{}", unwell.join("\n")).trim_end().to_owned(),
        "look at its log, then restart it",
    )
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use serde_json::json;

    #[test]
    fn health_is_reported() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            healthy("http://x", 200, &json!({"status": "healthy", "version": version})).state,
            State::Ok
        );
        assert_eq!(
            healthy("http://x", 200, &json!({"status": "healthy", "version": "0.0.0"})).state,
            State::Note
        );
        let sick = json!({"status": "unhealthy", "services": {"vector_db": {"status": "unhealthy", "message": "disk full"}, "embedding_service": {"status": "healthy"}}});
        let check = healthy("http://x", 503, &sick);
        assert_eq!(check.state, State::Broken);
        assert!(
            check.detail.contains("vector_db: disk full") && !check.detail.contains("embedding_service"),
            "{}",
            check.detail
        );
        assert_eq!(healthy("http://x", 200, &json!({"hello": 1})).state, State::Broken);
    }

    #[tokio::test]
    async fn a_port_without_a_server_is_distinguished_from_a_foreign_one() {
        let mut settings = crate::config::Effective::load(&Default::default()).expect("valid").settings;
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        settings.server.listen = taken.local_addr().expect("an address").to_string();
        // Something that takes connections and says what no web server says.
        let foreign = std::thread::spawn(move || {
            use std::io::Write;
            if let Ok((mut stream, _)) = taken.accept() {
                let _ = stream.write_all(b"220 mail ready\r\n");
            }
        });
        assert_eq!(server(&settings, None).await.state, State::Broken);
        foreign.join().expect("ended");
        let check = server(&settings, None).await;
        assert_eq!((check.state, check.remedy.is_some()), (State::Note, true), "{check:?}");
    }

    #[test]
    fn a_file_in_place_of_the_data_directory_is_found() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(data_dir(file.path(), 0).state, State::Broken);
        assert_eq!(data_dir(&file.path().with_extension("new"), 0).state, State::Ok);
    }
}
