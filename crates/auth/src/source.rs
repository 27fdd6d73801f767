//! Loads the keys that verify tokens, and keeps them fresh.
//!
//! When keys cannot be read again, the old ones stay. Clients that send tokens with made-up `kid`s cause at most one fetch in [`BETWEEN`].

use super::keyset::KeySet;
use super::settings::{SetupError, TokenKeys};
use super::{Denial, TokenSettings};
use ibid_system::watch::Watch;
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Certificate, Client, Url, redirect};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

/// The largest key set, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// The longest time that a fetch may take.
const FETCH: Duration = Duration::from_secs(5);
/// The longest time that a token with an unknown `kid` waits for the fetch that it caused.
const WAIT: Duration = Duration::from_secs(6);
/// The shortest time between two fetches.
const BETWEEN: Duration = Duration::from_secs(5);
/// The most redirects that are followed.
const REDIRECTS: usize = 3;

/// The keys at one moment.
#[derive(Debug, Clone, Default)]
struct State {
    /// `None` until they are read for the first time.
    keys: Option<Arc<KeySet>>,
    /// The number of attempts to read them.
    attempts: u64,
}

/// The keys, and the task that keeps them fresh.
#[derive(Debug)]
pub(super) struct Keys {
    state: watch::Receiver<State>,
    fetches: Option<Arc<Fetches>>,
    _refreshing: Option<AbortOnDropHandle<()>>,
}

/// When keys were last fetched, and a channel to request another fetch.
#[derive(Debug)]
struct Fetches {
    asked: Notify,
    last: Mutex<Instant>,
}

impl Fetches {
    fn due(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= BETWEEN
    }

    fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Keys {
    /// Reads the keys. A file must be valid; a server that does not answer is asked again later.
    pub async fn open(settings: &TokenSettings) -> Result<Self, SetupError> {
        let algorithm = settings.algorithm;
        match &settings.keys {
            TokenKeys::Secret(secret) => {
                let keys = KeySet::of_secret(secret.expose().as_bytes(), algorithm);
                keys.map(Self::fixed).map_err(|issue| SetupError::Key {
                    setting: "auth.secret",
                    issue,
                })
            }
            TokenKeys::SecretFile(path) => {
                let bytes = read("auth.secret_file", path).await?;
                let keys = KeySet::of_secret(bytes.trim_ascii(), algorithm);
                keys.map(Self::fixed).map_err(|issue| unusable("auth.secret_file", path, issue))
            }
            TokenKeys::PublicKeyFile(path) => {
                let bytes = read("auth.public_key_file", path).await?;
                let keys = KeySet::of_pem(&bytes, algorithm);
                keys.map(Self::fixed).map_err(|issue| unusable("auth.public_key_file", path, issue))
            }
            TokenKeys::JwksFile(path) => {
                let changes = Watch::new([path.clone()]).await;
                let bytes = read("auth.jwks_file", path).await?;
                let keys = KeySet::of_jwks(&bytes, algorithm).map_err(|issue| unusable("auth.jwks_file", path, issue))?;
                Ok(Self::of_file(path.clone(), keys, changes, algorithm))
            }
            TokenKeys::JwksUrl { url, ca_file, refresh } => {
                let fetcher = Fetcher::new(url, ca_file.as_deref(), algorithm).await?;
                Ok(Self::of_url(fetcher, *refresh).await)
            }
        }
    }

    /// Returns whether there are keys at present.
    pub fn are_loaded(&self) -> bool {
        self.state.borrow().keys.is_some()
    }

    /// Returns the key for a token with this `kid`.
    pub async fn find(&self, kid: Option<&str>) -> Result<DecodingKey, Denial> {
        let State { keys, attempts } = self.state.borrow().clone();
        let found = |keys: &Option<Arc<KeySet>>| keys.as_ref().and_then(|keys| keys.find(kid).cloned());
        if let Some(key) = found(&keys) {
            return Ok(key);
        }
        let unknown = match keys {
            Some(_) => Denial::InvalidToken("no key has its `kid`"),
            None => Denial::Unavailable,
        };
        // Without a `kid`, another fetch would not help.
        let Some(fetches) = self.fetches.as_ref().filter(|fetches| kid.is_some() && fetches.due()) else {
            return Err(unknown);
        };
        fetches.asked.notify_one();
        let mut state = self.state.clone();
        match timeout(WAIT, state.wait_for(|state| state.attempts > attempts)).await {
            Ok(Ok(state)) => found(&state.keys).ok_or(unknown),
            Ok(Err(_)) | Err(_) => Err(unknown),
        }
    }

    fn fixed(keys: KeySet) -> Self {
        Self {
            state: watch::channel(State::with(keys)).1,
            fetches: None,
            _refreshing: None,
        }
    }

    fn of_file(path: PathBuf, keys: KeySet, mut changes: Watch, algorithm: Algorithm) -> Self {
        let (update, state) = watch::channel(State::with(keys));
        let refreshing = async move {
            loop {
                changes.changed().await;
                let read = read("auth.jwks_file", &path).await.map_err(|error| error.to_string());
                take(&update, read.and_then(|bytes| KeySet::of_jwks(&bytes, algorithm)), "auth.jwks_file");
            }
        };
        Self {
            state,
            fetches: None,
            _refreshing: Some(AbortOnDropHandle::new(tokio::spawn(refreshing))),
        }
    }

    async fn of_url(fetcher: Fetcher, refresh: Duration) -> Self {
        let (update, state) = watch::channel(State::default());
        let fetches = Arc::new(Fetches {
            asked: Notify::new(),
            last: Mutex::new(Instant::now()),
        });
        let mut fresh = take(&update, fetcher.fetch().await, "auth.jwks_url");
        let asked = fetches.clone();
        let refreshing = async move {
            loop {
                asked.note();
                let again = Instant::now() + if fresh { refresh } else { refresh.min(BETWEEN) };
                loop {
                    tokio::select! {
                        () = tokio::time::sleep_until(again) => break,
                        () = asked.asked.notified() => if asked.due() { break },
                    }
                }
                fresh = take(&update, fetcher.fetch().await, "auth.jwks_url");
            }
        };
        Self {
            state,
            fetches: Some(fetches),
            _refreshing: Some(AbortOnDropHandle::new(tokio::spawn(refreshing))),
        }
    }
}

impl State {
    fn with(keys: KeySet) -> Self {
        Self {
            keys: Some(Arc::new(keys)),
            attempts: 0,
        }
    }
}

/// Replaces the keys, or keeps the old ones and logs why.
fn take(update: &watch::Sender<State>, keys: Result<KeySet, String>, setting: &str) -> bool {
    let fresh = keys.is_ok();
    update.send_modify(|state| {
        state.attempts += 1;
        match keys {
            Ok(keys) => {
                tracing::debug!(setting, keys = keys.len(), "read the keys that verify tokens");
                state.keys = Some(Arc::new(keys));
            }
            Err(issue) if state.keys.is_some() => tracing::error!(
                setting,
                issue,
                "the keys that verify tokens cannot be read again: the old ones stay"
            ),
            Err(issue) => tracing::error!(
                setting,
                issue,
                "the keys that verify tokens cannot be read: tokens are refused until they can be"
            ),
        }
    });
    fresh
}

async fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, SetupError> {
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| SetupError::unreadable(setting, path, &error))?;
    if bytes.len() > MAX_BYTES {
        return Err(unusable(setting, path, format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn unusable(setting: &'static str, path: &Path, issue: String) -> SetupError {
    SetupError::File {
        setting,
        path: path.to_owned(),
        issue,
    }
}

/// Fetches a key set over HTTP.
struct Fetcher {
    client: Client,
    url: Url,
    algorithm: Algorithm,
}

impl Fetcher {
    async fn new(url: &str, ca_file: Option<&Path>, algorithm: Algorithm) -> Result<Self, SetupError> {
        let wrong = |issue: String| SetupError::Settings(format!("auth.jwks_url: {issue}"));
        let url = Url::parse(url).map_err(|error| wrong(format!("it is not a URL: {error}")))?;
        let secure = url.scheme() == "https";
        if !(secure || url.scheme() == "http") || !url.has_host() {
            return Err(wrong("it must begin with https:// or http://".to_owned()));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !secure && !loopback {
            tracing::warn!(host, "auth.jwks_url is not https: an attacker on the network can replace the keys");
        }
        ibid_system::tls::install_provider();
        let mut client = Client::builder()
            .timeout(FETCH)
            .https_only(secure)
            .redirect(redirect::Policy::limited(REDIRECTS))
            .user_agent(concat!("ibid/", env!("CARGO_PKG_VERSION")));
        if loopback {
            client = client.no_proxy();
        }
        if let Some(path) = ca_file {
            let pem = read("auth.jwks_ca_file", path).await?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| unusable("auth.jwks_ca_file", path, error.to_string()))?;
            client = client.tls_certs_only(authorities);
        } else if !secure {
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| wrong(error.without_url().to_string()))?;
        Ok(Self { client, url, algorithm })
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        // A URL may hold secrets, which must not be logged.
        let describe = |error: reqwest::Error| causes(&error.without_url());
        let request = self
            .client
            .get(self.url.clone())
            .header("accept", "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(describe)?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(describe)? {
            if bytes.len() + piece.len() > MAX_BYTES {
                return Err(format!("it has more than {MAX_BYTES} bytes"));
            }
            bytes.extend_from_slice(&piece);
        }
        KeySet::of_jwks(&bytes, self.algorithm)
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
