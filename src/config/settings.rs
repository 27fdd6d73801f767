//! All settings: those of the program, and those of the layers.

use ibid_auth::AuthOptions;
use ibid_engine::EngineSettings;
use ibid_server::ServerSettings;
use ibid_settings::settings;
use ibid_telemetry::{LogSettings, TelemetrySettings};
use std::path::PathBuf;

settings! {
    /// All settings. Each layer declares its own, so that a setting is added in the struct of the layer that uses it.
    pub struct Settings {
        keys {
            /// Documents, index and catalog. Ibid owns this directory; back it up as a whole.
            "data_dir" => data_dir: PathBuf = default_data_dir(),
            /// What ships with Ibid: lib/ (ONNX Runtime), models/, plugins/. `make setup` fills it.
            "share_dir" => share_dir: PathBuf = default_share_dir(),
            /// Where `ibid model pull` fetches models: a hub that serves files as NAME/resolve/REVISION/FILE.
            "embedder.hub_url" => hub_url: String = "https://huggingface.co".to_owned(),
        }
        parts {
            /// HTTP and WebSocket.
            server: ServerSettings,
            /// Who may use the server.
            auth: AuthOptions,
            /// The pipelines and what they store.
            engine: EngineSettings,
            /// The log.
            log: LogSettings,
            /// Traces.
            telemetry: TelemetrySettings,
        }
    }
}

/// Returns `$XDG_DATA_HOME/ibid`, else `~/.local/share/ibid`, so that the same data is found from any directory.
fn default_data_dir() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("ibid-data"), |base| base.join("ibid"))
}

/// Returns `../share/ibid` beside the program: `target/share/ibid` for a build, `/usr/local/share/ibid` once installed.
fn default_share_dir() -> PathBuf {
    std::env::current_exe()
        .and_then(|program| program.canonicalize())
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.join("share/ibid")))
        .unwrap_or_else(|| PathBuf::from("/usr/local/share/ibid"))
}
