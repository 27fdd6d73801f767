//! `ibid serve`: settings, log, engine, server, signals; in this order, and back.

use super::args::ServeArgs;
use super::live::LiveSettings;
use super::{CliError, console, tools};
use crate::config::{Effective, FileStoreKind, LlmOnFailure, Settings};
use ibid_auth::{Authenticator, Subject};
use ibid_catalog::PostgresOptions;
use ibid_engine::{Engine, EngineSettings, OnFailure};
use ibid_files::{S3Options, StoreOptions};
use ibid_generate::llm::LlmSettings;
use ibid_index::RemoteOptions;
use ibid_server::{AlertLevels, Forwarding, LimitSettings, PerMinute, Proxies, Server, ServerSettings, ServerTuning, TlsFiles};
use ibid_telemetry::{self as telemetry, LogLevel, trace::Exporter};
use ibid_types::secret::Secret;
use ipnet::IpNet;
use std::fmt::Write;
use std::fs::DirBuilder;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long blocking work may go on when all else has ended: a write to disk, at most.
const LAST_WORK: Duration = Duration::from_secs(5);
/// What one upload request may hold beside its largest file.
const REQUEST_ROOM: u64 = 1 << 20;

/// Serves until a signal says stop.
pub fn run(args: &ServeArgs) -> Result<(), CliError> {
    let effective = tools::settings(&args.settings)?;
    telemetry::install().map_err(|error| CliError::Failed(format!("metrics cannot be kept: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let exporter = Exporter::new(&effective.settings.telemetry, runtime.handle()).map_err(|error| CliError::Usage(error.to_string()))?;
    let log = telemetry::init(&effective.settings.log, exporter.as_ref())?;
    let result = runtime.block_on(serve(&effective, log));
    // While there is a runtime to send on.
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    runtime.shutdown_timeout(LAST_WORK);
    result
}

async fn serve(effective: &Effective, log: LogLevel) -> Result<(), CliError> {
    let settings = &effective.settings;
    let server_settings = server_settings(settings)?;
    // Before the engine loads, which takes seconds.
    ibid_server::check(&server_settings).map_err(|error| cannot_start(&error))?;
    make_data_dir(&settings.data_dir)?;
    let auth = Authenticator::open(server_settings.auth.clone())
        .await
        .map_err(|error| cannot_start(&error))?;
    check_port(server_settings.listen)?;
    if let Some(file) = &effective.file {
        tracing::info!(file = %file.display(), "settings");
    }
    let mut signals = Signals::new()?;
    console::note("Starting: loading the model and the plugins ...");
    let engine = tokio::select! {
        started = Engine::start(engine_settings(settings)?) => started.map_err(|error| cannot_start(&error))?,
        () = signals.next() => return Err(CliError::Interrupted),
    };
    let server = match Server::bind(server_settings, auth, engine.clone()).await {
        Ok(server) => server,
        Err(error) => {
            engine.shutdown().await;
            return Err(cannot_start(&error));
        }
    };
    let server = server.with_configuration(Arc::new(LiveSettings::new(effective.clone(), engine.clone(), log)));
    let address = server.local_addr();
    // A closed standard output is no reason not to serve.
    let _ = console::print(&banner(settings, address, &holdings(&engine).await));
    let shutdown = CancellationToken::new();
    let watcher = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            signals.next().await;
            console::note("Stopping: queries in flight may finish. Once more stops at once; nothing that was accepted is lost.");
            shutdown.cancel();
            signals.next().await;
            tracing::warn!("stopped at once");
            std::process::exit(130);
        }
    });
    tokio::spawn(telemetry::aggregate_histograms(shutdown.clone()));
    let served = server.run(shutdown).await;
    engine.shutdown().await;
    watcher.abort();
    served.map_err(|error| CliError::Failed(error.to_string()))?;
    tracing::info!("stopped");
    Ok(())
}

fn cannot_start(error: &dyn std::error::Error) -> CliError {
    let mut message = format!("the server cannot start: {error}");
    // Some of these messages send the reader there themselves.
    if !message.contains("ibid doctor") {
        message.push_str(&format!("\n`{} doctor` looks at everything that it needs", console::program()));
    }
    CliError::Failed(message)
}

/// SIGINT (Ctrl-C) and SIGTERM, which say the same.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Runtime);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What the engine takes of the settings.
///
/// # Errors
/// If the file of a key cannot be read.
fn engine_settings(settings: &Settings) -> Result<EngineSettings, CliError> {
    Ok(EngineSettings {
        default_collection: settings.default_collection.clone(),
        model: settings.embedder.model.clone(),
        runtime: settings.embedder.runtime_choice(),
        precision: settings.embedder.precision,
        max_models: settings.embedder.max_models,
        unload_models_after: Duration::from_secs(settings.embedder.unload_seconds),
        embedder_threads: settings.embedder.threads,
        embedder_queue: settings.embedder.queue,
        max_upload_bytes: settings.server.max_upload_bytes,
        disk_reserve_bytes: settings.ingest.disk_reserve_bytes,
        max_documents_in_flight: settings.ingest.documents_in_flight,
        reindex_percent: settings.ingest.reindex_percent,
        kept_events: settings.ingest.kept_events,
        max_resumable_uploads: settings.ingest.resumable_uploads,
        resumable_expiry: Duration::from_secs(settings.ingest.resumable_seconds),
        max_concurrent_queries: settings.query.max_concurrent,
        max_waiting_queries: settings.query.max_waiting,
        max_open_uploads: settings.ingest.max_open_uploads,
        query_timeout: settings.query.timeout(),
        llm: llm_settings(settings)?,
        llm_on_failure: match settings.llm.on_failure {
            LlmOnFailure::Fail => OnFailure::Fail,
            LlmOnFailure::Fallback => OnFailure::Fallback,
        },
        default_place: settings.index.default,
        files: store_options(settings)?,
        qdrant: qdrant_options(settings)?,
        catalog: catalog_options(settings)?,
        plugin_install: settings.plugins.install,
        allowed_plugins: settings.plugins.allow.clone(),
        ..EngineSettings::new(&settings.data_dir, &settings.share_dir)
    })
}

/// What the engine takes of section `llm`.
///
/// # Errors
/// If the file of the key cannot be read, or there are two keys.
pub fn llm_settings(settings: &Settings) -> Result<LlmSettings, CliError> {
    let llm = &settings.llm;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let path = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let api_key = secret_of("llm.api_key", &llm.api_key, &llm.api_key_file)?;
    Ok(LlmSettings {
        base_url: given(&llm.base_url),
        model: given(&llm.model),
        api_key,
        ca_file: path(&llm.ca_file),
        allowed_base_urls: llm.allowed_base_urls.clone(),
        allowed_models: llm.allowed_models.clone(),
        max_answer_tokens: llm.max_answer_tokens,
        context_chars: llm.context_chars,
        connect_timeout: Duration::from_secs(llm.connect_timeout_seconds),
        first_token_timeout: Duration::from_secs(llm.first_token_timeout_seconds),
        idle_timeout: Duration::from_secs(llm.idle_timeout_seconds),
        answer_timeout: Duration::from_secs(llm.answer_timeout_seconds),
        retries: llm.retries,
    })
}

/// The secret of a setting that has a twin which names a file, with `_file` after its name.
///
/// # Errors
/// If the file cannot be read, or both are set.
fn secret_of(setting: &str, key: &Secret, file: &Path) -> Result<Option<Secret>, CliError> {
    match (file.as_os_str().is_empty(), key.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Ok(Some(key.clone())),
        (false, false) => Err(CliError::Usage(format!("set `{setting}` or `{setting}_file`, not both"))),
        (false, true) => match std::fs::read_to_string(file) {
            Ok(key) if !key.trim().is_empty() => Ok(Some(Secret::new(key.trim()))),
            Ok(_) => Err(CliError::Usage(format!("`{setting}_file`: {} holds no key", file.display()))),
            Err(error) => {
                let message = format!("`{setting}_file`: {} cannot be read: {error}", file.display());
                Err(CliError::Usage(message))
            }
        },
    }
}

/// What the file store takes of section `files`.
///
/// # Errors
/// If the file of the secret cannot be read, or there are two secrets.
pub fn store_options(settings: &Settings) -> Result<StoreOptions, CliError> {
    let s3 = &settings.files.s3;
    if settings.files.store == FileStoreKind::Directory {
        return Ok(StoreOptions::Directory);
    }
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let secret = secret_of("files.s3.secret_access_key", &s3.secret_access_key, &s3.secret_access_key_file)?;
    Ok(StoreOptions::S3(Box::new(S3Options {
        prefix: s3.prefix.clone(),
        endpoint: given(&s3.endpoint),
        region: s3.region.clone(),
        access_key_id: given(&s3.access_key_id),
        secret_access_key: secret.unwrap_or_default(),
        path_style: s3.path_style,
        ca_file: Some(s3.ca_file.clone()).filter(|path| !path.as_os_str().is_empty()),
        patience: Duration::from_secs(s3.retry_seconds),
        cache_bytes: s3.cache_mb.saturating_mul(1_000_000),
        ..S3Options::new(&s3.bucket)
    })))
}

/// What the catalog takes of section `catalog`; `None` where it names no database.
///
/// # Errors
/// If the file of the address cannot be read, or there are two addresses.
pub fn catalog_options(settings: &Settings) -> Result<Option<PostgresOptions>, CliError> {
    let catalog = &settings.catalog;
    let url = secret_of("catalog.url", &catalog.url, &catalog.url_file)?;
    Ok(url.map(|url| PostgresOptions {
        connections: catalog.connections,
        ..PostgresOptions::new(url.expose())
    }))
}

/// What the index takes of section `qdrant`; `None` where it names no server.
///
/// # Errors
/// If the file of the key cannot be read, or there are two keys.
pub fn qdrant_options(settings: &Settings) -> Result<Option<RemoteOptions>, CliError> {
    let qdrant = &settings.qdrant;
    if qdrant.url.is_empty() {
        return Ok(None);
    }
    Ok(Some(RemoteOptions {
        url: qdrant.url.clone(),
        api_key: secret_of("qdrant.api_key", &qdrant.api_key, &qdrant.api_key_file)?,
        prefix: qdrant.collection_prefix.clone(),
        timeout: Duration::from_secs(qdrant.timeout_seconds),
        connect_timeout: Duration::from_secs(qdrant.connect_timeout_seconds),
        retries: qdrant.retries,
        request_bytes: qdrant.request_bytes,
        shards: Some(qdrant.shards).filter(|shards| *shards > 0),
        replicas: qdrant.replicas,
        write_consistency: qdrant.write_consistency,
        quantization: qdrant.quantization,
        vectors_on_disk: qdrant.vectors_on_disk,
        graph_on_disk: qdrant.graph_on_disk,
        payload_on_disk: qdrant.payload_on_disk,
    }))
}

/// What the server takes of the settings.
///
/// # Errors
/// If the name in `server.listen` has no address.
fn server_settings(settings: &Settings) -> Result<ServerSettings, CliError> {
    let server = &settings.server;
    let tuning = server_tuning(settings)?;
    let defaults = ServerSettings::default();
    Ok(ServerSettings {
        listen: resolve(&server.listen)?,
        tls: tls_files(settings)?,
        auth: super::auth::settings(settings)?,
        allow_remote_without_auth: server.allow_remote_without_auth,
        allowed_origins: server.allowed_origins.clone(),
        allowed_hosts: server.allowed_hosts.clone(),
        max_connections: server.max_connections,
        max_message_bytes: server.max_message_bytes,
        max_upload_bytes: server.max_upload_bytes,
        max_upload_request_bytes: defaults
            .max_upload_request_bytes
            .max(server.max_upload_bytes.saturating_add(REQUEST_ROOM)),
        ping_interval: Duration::from_secs(server.ping_interval_seconds),
        alerts: tuning.alerts,
        shutdown_deadline: Duration::from_secs(server.shutdown_deadline_seconds),
        access_lines_per_second: tuning.access_lines_per_second,
        max_queries_per_connection: tuning.max_queries_per_connection,
        outgoing_messages: server.outgoing_messages,
        limits: tuning.limits,
        ..defaults
    })
}

/// What of it can change while the server runs.
///
/// # Errors
/// If a network is none.
pub fn server_tuning(settings: &Settings) -> Result<ServerTuning, CliError> {
    Ok(ServerTuning {
        limits: limits(settings)?,
        alerts: AlertLevels {
            cpu_percent: settings.monitor.cpu_alert_percent,
            memory_percent: settings.monitor.memory_alert_percent,
            response_seconds: settings.monitor.response_alert_seconds,
        },
        max_queries_per_connection: settings.query.max_per_connection,
        access_lines_per_second: settings.log.access_per_second,
    })
}

/// What each client may ask.
fn limits(settings: &Settings) -> Result<LimitSettings, CliError> {
    let (server, limits) = (&settings.server, &settings.limits);
    let per_minute = |subject, address| PerMinute { subject, address };
    Ok(LimitSettings {
        exempt: networks("limits.exempt_addresses", &limits.exempt_addresses)?,
        proxies: Proxies {
            trusted: networks("server.trusted_proxies", &server.trusted_proxies)?,
            forwarding: match server.forwarded_header.as_str() {
                "forwarded" => Forwarding::Forwarded,
                _ => Forwarding::XForwardedFor,
            },
        },
        requests: per_minute(limits.subject_requests_per_minute, limits.address_requests_per_minute),
        queries: per_minute(limits.subject_queries_per_minute, limits.address_queries_per_minute),
        uploads: per_minute(limits.subject_uploads_per_minute, limits.address_uploads_per_minute),
        failed_authentications: limits.address_failed_authentications_per_minute,
        queries_at_once: limits.queries_at_once,
        connections: limits.address_connections,
        tracked_clients: limits.tracked_clients,
    })
}

/// Networks, of which an address is the smallest.
fn networks(key: &str, texts: &[String]) -> Result<Vec<IpNet>, CliError> {
    texts
        .iter()
        .map(|text| {
            let text = text.trim();
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| CliError::Usage(format!("`{key}`: `{text}` is no address and no network such as 10.0.0.0/8")))
        })
        .collect()
}

/// How the server's addresses begin.
pub fn scheme(settings: &Settings) -> &'static str {
    match settings.server.tls_cert_file.as_os_str().is_empty() {
        true => "http",
        false => "https",
    }
}

/// The files of the certificate; `None` where there is none.
///
/// # Errors
/// If one is set without the other.
pub fn tls_files(settings: &Settings) -> Result<Option<TlsFiles>, CliError> {
    let (cert, key) = (&settings.server.tls_cert_file, &settings.server.tls_key_file);
    match (cert.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
        })),
        _ => Err(CliError::Usage(
            "server.tls_cert_file and server.tls_key_file must both be set, or neither".to_owned(),
        )),
    }
}

/// The address of `HOST:PORT`; of a name with several, an IPv4 one, which is what clients try.
pub fn resolve(listen: &str) -> Result<SocketAddr, CliError> {
    let unknown = |why: String| CliError::Usage(format!("`server.listen`: there is no address for {listen} ({why})"));
    let addresses: Vec<SocketAddr> = listen.to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
    let best = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    best.copied().ok_or_else(|| unknown("the name has none".to_owned()))
}

/// What people upload is nobody else's business: the directory is its owner's.
fn make_data_dir(path: &Path) -> Result<(), CliError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        CliError::Failed(format!(
            "the data directory {} cannot be made: {error}. Choose another one with --data-dir DIR",
            path.display()
        ))
    })
}

/// Loading takes seconds: that the port is taken should be known before. The server takes it for good
/// later, and would say so then.
fn check_port(address: SocketAddr) -> Result<(), CliError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(CliError::Failed(format!(
            "cannot listen on {address}: {error}. If another Ibid runs there, use it or stop it (`{} doctor` tells); else choose a port with --listen {}",
            console::program(),
            SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024))
        ))),
    }
}

/// What is in there already, for people.
async fn holdings(engine: &Arc<Engine>) -> String {
    let collections = async { engine.session(Arc::new(Subject::anyone())).with::<Read>()?.collections().await };
    match collections.await {
        Ok(list) if list.collections.is_empty() => "nothing yet".to_owned(),
        Ok(list) => {
            let sum = |part: fn(&ibid_protocol::CollectionStats) -> u64| list.collections.iter().map(|c| part(&c.stats)).sum::<u64>();
            let documents = console::count(sum(|stats| stats.total_documents), "document");
            let chunks = console::count(sum(|stats| stats.total_chunks), "chunk");
            format!(
                "{documents} ({chunks}) in {}",
                console::count(list.collections.len() as u64, "collection")
            )
        }
        Err(error) => format!("unknown: {error}"),
    }
}

/// What is served, where, and what to try next.
fn banner(settings: &Settings, address: SocketAddr, holdings: &str) -> String {
    let program = console::program();
    // A wildcard is no address to connect to.
    let reachable = match (address.ip().is_unspecified(), address.is_ipv4()) {
        (false, _) => address,
        (true, true) => SocketAddr::from(([127, 0, 0, 1], address.port())),
        (true, false) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
    };
    let url = format!("{}://{reachable}", scheme(settings));
    let server = if url == "http://127.0.0.1:8000" {
        String::new()
    } else {
        format!(" --server {url}")
    };
    let mut out = String::new();
    let _ = writeln!(out, "Ibid {} serves {url}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(out, "  data   {}", settings.data_dir.display());
    let _ = writeln!(out, "  holds  {holdings}");
    let _ = writeln!(out, "\nTry next, in another shell:");
    let _ = writeln!(out, "  {program} ingest{server} FILE.pdf");
    let _ = writeln!(out, "  {program} ask{server} \"What does it say about ...?\"");
    let _ = writeln!(out, "  curl {url}/health");
    let _ = writeln!(out, "Stop with Ctrl-C.");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn settings() -> Settings {
        Effective::load(&Sources::default()).expect("the defaults are valid").settings
    }

    #[test]
    fn settings_reach_the_server_and_the_engine() {
        let mut settings = settings();
        settings.server.listen = "localhost:0".to_owned();
        settings.server.max_upload_bytes = 4 << 30;
        settings.server.ping_interval_seconds = 7;
        settings.query.timeout_seconds = 9;
        settings.embedder.threads = 3;
        let server = server_settings(&settings).expect("localhost has an address");
        assert!(server.listen.ip().is_loopback());
        assert_eq!(server.ping_interval, Duration::from_secs(7));
        assert!(server.max_upload_request_bytes > server.max_upload_bytes);
        let engine = engine_settings(&settings).unwrap();
        assert_eq!((engine.query_timeout, engine.embedder_threads), (Duration::from_secs(9), 3));
        assert_eq!(engine.max_upload_bytes, server.max_upload_bytes);
        // What the server takes by itself and what the table of settings says are the same.
        let limits = limits(&settings).expect("the defaults are valid");
        assert_eq!(format!("{limits:?}"), format!("{:?}", LimitSettings::default()));
        let defaults = ServerSettings::default();
        assert_eq!(
            (
                server.outgoing_messages,
                server.max_queries_per_connection,
                server.access_lines_per_second
            ),
            (
                defaults.outgoing_messages,
                defaults.max_queries_per_connection,
                defaults.access_lines_per_second
            )
        );
        let defaults = EngineSettings::new("", "");
        assert_eq!(
            (engine.max_waiting_queries, engine.max_open_uploads),
            (defaults.max_waiting_queries, defaults.max_open_uploads)
        );
        assert!(matches!(engine.files, StoreOptions::Directory));
        settings.files.store = FileStoreKind::S3;
        settings.files.s3.bucket = "documents".to_owned();
        let StoreOptions::S3(s3) = store_options(&settings).unwrap() else {
            panic!("not the store that was chosen");
        };
        assert_eq!(format!("{s3:?}"), format!("{:?}", S3Options::new("documents")));
        assert!(engine.qdrant.is_none());
        settings.qdrant.url = "http://127.0.0.1:6334".to_owned();
        let qdrant = qdrant_options(&settings).unwrap().unwrap();
        let defaults = RemoteOptions::new(&settings.qdrant.url);
        assert_eq!(format!("{qdrant:?}"), format!("{defaults:?}"));
        settings.qdrant.api_key_file = "/no/such/file".into();
        assert!(matches!(qdrant_options(&settings), Err(CliError::Usage(message)) if message.contains("`qdrant.api_key_file`")));
        settings.server.trusted_proxies = vec!["proxy.example.org".to_owned()];
        assert!(matches!(server_settings(&settings), Err(CliError::Usage(message)) if message.contains("server.trusted_proxies")));
        settings.server.trusted_proxies.clear();
        settings.server.listen = "no such host:80".to_owned();
        assert!(matches!(server_settings(&settings), Err(CliError::Usage(_))));
    }

    #[test]
    fn a_taken_port_is_told_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let message = check_port(address).expect_err("taken").to_string();
        assert!(message.contains("--listen") && message.contains(&address.to_string()), "{message}");
    }

    #[test]
    fn the_banner_gives_commands_that_work() {
        let settings = settings();
        let shown = banner(&settings, SocketAddr::from(([127, 0, 0, 1], 8000)), "nothing yet");
        assert!(
            shown.contains("serves http://127.0.0.1:8000\n") && shown.contains(" ingest FILE.pdf"),
            "{shown}"
        );
        let shown = banner(&settings, SocketAddr::from(([0, 0, 0, 0], 9000)), "nothing yet");
        assert!(shown.contains(" ask --server http://127.0.0.1:9000 "), "{shown}");
    }
}
