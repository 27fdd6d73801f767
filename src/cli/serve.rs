//! `ibid serve`: settings, log, engine, server, signals; in this order, and back.

use super::args::ServeArgs;
use super::live::LiveSettings;
use super::{CliError, console, tools};
use crate::config::{Effective, Settings};
use ibid_auth::{Authenticator, Subject};
use ibid_engine::{Engine, EngineSettings, Read};
use ibid_server::Server;
use ibid_settings::LayerSettings;
use ibid_telemetry::{self as telemetry, LogLevel, trace::Exporter};
use std::fmt::Write;
use std::fs::DirBuilder;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long blocking work may go on when all else has ended: a write to disk, at most.
const LAST_WORK: Duration = Duration::from_secs(5);

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
    let address = resolve(&settings.server.listen)?;
    let usage = |error: &dyn std::error::Error| CliError::Usage(error.to_string());
    let auth = settings.auth.settings(&settings.data_dir).map_err(|error| usage(&error))?;
    settings.server.tls().map_err(|error| usage(&error))?;
    let engine_settings = engine_settings(settings)?;
    // Before the engine loads, which takes seconds.
    ibid_server::check(&settings.server, address, auth.is_some()).map_err(|error| cannot_start(&error))?;
    make_data_dir(&settings.data_dir)?;
    let auth = Authenticator::open(auth).await.map_err(|error| cannot_start(&error))?;
    check_port(address)?;
    if let Some(file) = &effective.file {
        tracing::info!(file = %file.display(), "settings");
    }
    let mut signals = Signals::new()?;
    console::note("Starting: loading the model and the plugins ...");
    let engine = tokio::select! {
        started = Engine::start(engine_settings) => started.map_err(|error| cannot_start(&error))?,
        () = signals.next() => return Err(CliError::Interrupted),
    };
    let server = match Server::bind(settings.server.clone(), address, auth, engine.clone()).await {
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

/// Replaces the secrets that are kept in files by what the files contain.
///
/// # Errors
/// If a file cannot be read, or a secret is given twice.
pub fn with_secrets<S: LayerSettings + Clone>(settings: &S) -> Result<S, CliError> {
    let mut settings = settings.clone();
    settings.read_secret_files().map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(settings)
}

/// Returns what the engine is started with.
fn engine_settings(settings: &Settings) -> Result<EngineSettings, CliError> {
    Ok(with_secrets(&settings.engine)?.in_directories(&settings.data_dir, &settings.share_dir))
}

/// Returns the scheme of the server's addresses.
pub fn scheme(settings: &Settings) -> &'static str {
    match settings.server.tls_cert_file {
        None => "http",
        Some(_) => "https",
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
    use ibid_index::RemoteOptions;

    fn settings() -> Settings {
        Effective::load(&Sources::default()).expect("the defaults are valid").settings
    }

    #[test]
    fn the_engine_gets_its_directories_and_secrets() {
        let mut settings = settings();
        settings.data_dir = "data".into();
        settings.engine.qdrant = Some(RemoteOptions::new("http://127.0.0.1:6334"));
        let engine = engine_settings(&settings).expect("no file is named");
        assert_eq!(engine.data_dir, Path::new("data"));
        settings.engine.qdrant.as_mut().expect("set").api_key_file = Some("/no/such/file".into());
        assert!(matches!(engine_settings(&settings), Err(CliError::Usage(message)) if message.contains("`qdrant.api_key_file`")));
    }

    #[test]
    fn a_name_without_an_address_is_refused() {
        assert!(resolve("localhost:0").expect("localhost has an address").ip().is_loopback());
        assert!(matches!(resolve("no such host:80"), Err(CliError::Usage(_))));
    }

    #[test]
    fn the_error_of_a_taken_port_names_a_way_out() {
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
