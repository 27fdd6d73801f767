//! Generates answers with a language model, over any OpenAI-compatible server: Ollama, vLLM, llama.cpp, hosted ones.
//!
//! [`Llm`] holds the servers that the operator allows; [`OpenAi`] is the generator for one model of one of them. The model sees numbered
//! passages and cites them by number. The generator itself chooses the quotation from the cited passage, so that a citation is exact
//! whatever the model writes.

mod answer;
mod client;
mod error;
mod markers;
mod openai;
mod prompt;
mod quote;
mod settings;
mod thinking;

pub use error::{LlmError, LlmReason};
pub use openai::OpenAi;
pub use prompt::{DEFAULT_PROMPT, DEFAULT_SYSTEM};
pub use settings::LlmSettings;

use client::Upstream;
use ibid_embed::Model;
use prompt::Template;
use reqwest::{Certificate, Client, Url};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A pipeline's options for its language model; `None` takes the operator's setting.
#[derive(Debug, Clone, Default)]
pub struct LlmOptions {
    /// The server.
    pub base_url: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The system message.
    pub system: Option<String>,
    /// The message with the passages and the question.
    pub prompt: Option<String>,
    /// The temperature for queries that set none.
    pub temperature: Option<f32>,
    /// The longest answer, in tokens; at most the operator's setting.
    pub max_tokens: Option<u32>,
    /// The most characters of passages in the prompt.
    pub context_chars: Option<usize>,
    /// The longest time until the first token.
    pub first_token_timeout: Option<Duration>,
    /// The longest time between two tokens.
    pub idle_timeout: Option<Duration>,
    /// How often a request is retried.
    pub retries: Option<u32>,
}

/// An option of a pipeline that is not allowed, or a setting that is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {issue}")]
pub struct Refusal {
    /// The field of [`LlmOptions`] or [`LlmSettings`].
    pub key: &'static str,
    /// What is wrong and what to do.
    pub issue: String,
}

impl Refusal {
    fn new(key: &'static str, issue: impl Into<String>) -> Self {
        Self { key, issue: issue.into() }
    }
}

/// The health of the operator's server.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmHealth {
    /// The time that its response took, or why there was none.
    pub answered: Result<Duration, LlmReason>,
    /// Whether it lists the operator's model.
    pub lists_model: bool,
}

/// How long a health check's result is reused: checks are frequent, and any client may cause one.
const HEALTH_HOLDS: Duration = Duration::from_secs(5);
/// A server that takes longer to list its models counts as down.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(4);
/// How long idle connections are kept: less than the 60 s and more after which servers and load balancers drop them.
const POOLED: Duration = Duration::from_secs(30);

/// The servers of language models that may be used.
pub struct Llm {
    settings: LlmSettings,
    base: Option<Url>,
    allowed: Vec<Url>,
    certificates: Vec<Certificate>,
    /// By address, so that all pipelines share connections, and what was learned about a server.
    upstreams: Mutex<HashMap<Url, Upstream>>,
    health: tokio::sync::Mutex<Option<(Instant, LlmHealth)>>,
}

impl Llm {
    /// Checks the settings. Sends no request yet.
    ///
    /// # Errors
    /// If an address is malformed, or a certificate file cannot be read.
    pub fn new(settings: LlmSettings) -> Result<Self, Refusal> {
        ibid_system::tls::install_provider();
        let base = settings.base_url.as_deref().map(|url| address(url, "base_url")).transpose()?;
        let allowed = settings.allowed_base_urls.iter().map(|url| address(url, "allowed_base_urls"));
        let allowed = allowed.collect::<Result<_, _>>()?;
        let certificates = match &settings.ca_file {
            None => Vec::new(),
            Some(path) => {
                let unusable = |error: String| Refusal::new("ca_file", format!("cannot be used: {}: {error}", path.display()));
                let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
                Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?
            }
        };
        let llm = Self {
            settings,
            base,
            allowed,
            certificates,
            upstreams: Mutex::default(),
            health: tokio::sync::Mutex::default(),
        };
        // Fail at the start if the client cannot be made.
        for url in llm.base.iter().chain(&llm.allowed) {
            llm.upstream(url)?;
        }
        Ok(llm)
    }

    /// Returns whether pipelines that name no generator are answered by a language model.
    pub fn is_default(&self) -> bool {
        self.base.is_some() && self.settings.model.is_some()
    }

    /// Returns the generator for a pipeline's options.
    ///
    /// # Errors
    /// An option that is not allowed, or missing.
    pub fn generator(&self, wanted: &LlmOptions, embedder: Model) -> Result<OpenAi, Refusal> {
        let settings = &self.settings;
        let upstream = self.upstream(&self.permitted(wanted.base_url.as_deref())?)?;
        let model = self.permitted_model(wanted.model.as_deref())?;
        let system = Template::system(wanted.system.as_deref().unwrap_or(DEFAULT_SYSTEM));
        let prompt = Template::prompt(wanted.prompt.as_deref().unwrap_or(DEFAULT_PROMPT));
        let most = settings.max_answer_tokens;
        if let Some(tokens) = wanted.max_tokens.filter(|tokens| *tokens > most) {
            let issue = format!("must be at most {most} on this server (its setting llm.max_answer_tokens), not {tokens}");
            return Err(Refusal::new("max_tokens", issue));
        }
        Ok(OpenAi {
            upstream,
            embedder,
            model,
            system: system.map_err(|issue| Refusal::new("system", issue))?,
            prompt: prompt.map_err(|issue| Refusal::new("prompt", issue))?,
            temperature: wanted.temperature,
            max_tokens: wanted.max_tokens.unwrap_or(most),
            context_chars: wanted.context_chars.unwrap_or(settings.context_chars),
            first_token_timeout: wanted.first_token_timeout.unwrap_or(settings.first_token_timeout),
            idle_timeout: wanted.idle_timeout.unwrap_or(settings.idle_timeout),
            answer_timeout: settings.answer_timeout,
            retries: wanted.retries.unwrap_or(settings.retries),
        })
    }

    /// Returns the models of the operator's server. The result is cached for a few seconds. `None` if no server is set.
    pub async fn health(&self) -> Option<LlmHealth> {
        let base = self.base.as_ref()?;
        // Concurrent callers wait for the same response. The time-out bounds how long the lock is held.
        let mut known = self.health.lock().await;
        if let Some((at, health)) = known.as_ref()
            && at.elapsed() < HEALTH_HOLDS
        {
            return Some(health.clone());
        }
        let start = Instant::now();
        let models = match self.upstream(base) {
            Ok(upstream) => match tokio::time::timeout(HEALTH_TIMEOUT, upstream.models()).await {
                Ok(models) => models.map_err(|error| error.reason),
                Err(_) => Err(LlmReason::Timeout),
            },
            Err(_) => Err(LlmReason::Unreachable),
        };
        let health = LlmHealth {
            lists_model: models.as_ref().is_ok_and(|models| self.is_listed(models)),
            answered: models.map(|_| start.elapsed()),
        };
        *known = Some((Instant::now(), health.clone()));
        Some(health)
    }

    fn is_listed(&self, models: &[String]) -> bool {
        let Some(wanted) = &self.settings.model else { return true };
        // Ollama lists `llama3.2` as `llama3.2:latest`.
        models
            .iter()
            .any(|model| model == wanted || model.strip_suffix(":latest") == Some(wanted))
    }

    /// Checks that a pipeline may use this server. Anyone who may create collections writes pipelines: if they could name any address, they
    /// could make this server send requests into its own network.
    fn permitted(&self, wanted: Option<&str>) -> Result<Url, Refusal> {
        let Some(wanted) = wanted else {
            let missing = || Refusal::new("base_url", "is missing, and this server has no default (its setting llm.base_url)");
            return self.base.clone().ok_or_else(missing);
        };
        let wanted = address(wanted, "base_url")?;
        if self.base.iter().chain(&self.allowed).any(|url| *url == wanted) {
            return Ok(wanted);
        }
        let issue =
            "is not a server that this server's operator allows: it must be llm.base_url or one of llm.allowed_base_urls in the settings";
        Err(Refusal::new("base_url", issue))
    }

    fn permitted_model(&self, wanted: Option<&str>) -> Result<String, Refusal> {
        let (own, allowed) = (self.settings.model.as_deref(), &self.settings.allowed_models);
        let missing = || Refusal::new("model", "is missing, and this server has no default (its setting llm.model)");
        let model = wanted.or(own).ok_or_else(missing)?;
        if allowed.is_empty() || own == Some(model) || allowed.iter().any(|allowed| allowed == model) {
            return Ok(model.to_owned());
        }
        let issue = format!("may not be `{model}` on this server: its operator allows {}", allowed.join(", "));
        Err(Refusal::new("model", issue))
    }

    fn upstream(&self, base: &Url) -> Result<Upstream, Refusal> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = upstreams.get(base) {
            return Ok(upstream.clone());
        }
        let key = self.settings.api_key.clone().filter(|_| self.base.as_ref() == Some(base));
        let upstream = Upstream::new(self.client(base)?, base.clone(), key);
        upstreams.insert(base.clone(), upstream.clone());
        Ok(upstream)
    }

    fn client(&self, base: &Url) -> Result<Client, Refusal> {
        let mut client = Client::builder()
            .connect_timeout(self.settings.connect_timeout)
            .pool_idle_timeout(POOLED)
            // A redirect would send the key to a server that the operator did not allow.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("ibid/", env!("CARGO_PKG_VERSION")));
        client = match base.scheme() {
            "https" => client.tls_certs_merge(self.certificates.clone()),
            // Without TLS, the system needs no certificates.
            _ => client.tls_certs_only([]),
        };
        if base.host_str().is_some_and(is_loopback) {
            // A proxy in the environment cannot reach this machine's own loopback.
            client = client.no_proxy();
        }
        client.build().map_err(|error| {
            tracing::error!(%error, cause = error_source(&error), "no HTTP client for a language model's server");
            Refusal::new("base_url", "cannot be used: no HTTP client can be made; the log says why")
        })
    }
}

impl std::fmt::Debug for Llm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Llm").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn error_source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Normalises an address for comparison, with a slash at its end, so that paths can be joined to it.
fn address(text: &str, key: &'static str) -> Result<Url, Refusal> {
    let wrong = |issue: &str| Refusal::new(key, format!("{issue}, such as http://127.0.0.1:11434/v1"));
    let mut url = Url::parse(text.trim()).map_err(|_| wrong("must be a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("must be an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "must not contain a user name or password (the setting llm.api_key is for the key)",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must end with its path"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_types::secret::Secret;

    fn llm() -> Llm {
        Llm::new(LlmSettings {
            base_url: Some("http://127.0.0.1:11434/v1".into()),
            allowed_base_urls: vec!["http://models.example:8000/v1/".into()],
            api_key: Some(Secret::new("sk-1")),
            ..LlmSettings::default()
        })
        .unwrap()
    }

    #[test]
    fn pipelines_name_only_servers_that_the_operator_allows() {
        let llm = llm();
        for allowed in [
            "http://127.0.0.1:11434/v1",
            "http://127.0.0.1:11434/v1/",
            "http://models.example:8000/v1",
            "HTTP://Models.Example:8000/v1",
        ] {
            assert!(llm.permitted(Some(allowed)).is_ok(), "{allowed}");
        }
        for refused in [
            "http://127.0.0.1:11434",
            "http://127.0.0.1:11434/v1/../admin",
            "http://127.0.0.1:11434/v1@evil.example/",
            "http://evil.example/v1",
            "https://127.0.0.1:11434/v1",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "http://user:pw@127.0.0.1:11434/v1",
            "http://127.0.0.1:11434/v1?x=1",
            "nonsense",
        ] {
            assert_eq!(llm.permitted(Some(refused)).unwrap_err().key, "base_url", "{refused}");
        }
    }

    #[test]
    fn the_key_is_for_its_own_server_and_never_shown() {
        let llm = llm();
        assert!(!format!("{llm:?}").contains("sk-1"));
        let other = llm.permitted(Some("http://models.example:8000/v1")).unwrap();
        assert!(!llm.upstream(&other).unwrap().has_key());
        assert!(llm.upstream(&llm.permitted(None).unwrap()).unwrap().has_key());
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for (settings, key) in [
            (
                LlmSettings {
                    base_url: Some("ftp://x".into()),
                    ..LlmSettings::default()
                },
                "base_url",
            ),
            (
                LlmSettings {
                    allowed_base_urls: vec!["x".into()],
                    ..LlmSettings::default()
                },
                "allowed_base_urls",
            ),
            (
                LlmSettings {
                    ca_file: Some("/nowhere/ca.pem".into()),
                    ..LlmSettings::default()
                },
                "ca_file",
            ),
        ] {
            assert_eq!(Llm::new(settings).unwrap_err().key, key);
        }
    }

    #[test]
    fn pipelines_name_only_models_that_the_operator_allows() {
        let settings = LlmSettings {
            model: Some("own".into()),
            allowed_models: vec!["small".into()],
            ..LlmSettings::default()
        };
        let restricted = Llm::new(settings).unwrap();
        for (wanted, model) in [(None, "own"), (Some("own"), "own"), (Some("small"), "small")] {
            assert_eq!(restricted.permitted_model(wanted).unwrap(), model);
        }
        assert!(
            restricted
                .permitted_model(Some("large"))
                .unwrap_err()
                .issue
                .contains("allows small")
        );
        assert_eq!(llm().permitted_model(Some("any")).unwrap(), "any");
        assert_eq!(llm().permitted_model(None).unwrap_err().key, "model");
    }

    #[test]
    fn a_model_is_listed_with_or_without_its_tag() {
        let llm = Llm::new(LlmSettings {
            model: Some("llama3.2".into()),
            ..LlmSettings::default()
        })
        .unwrap();
        assert!(llm.is_listed(&["llama3.2:latest".into()]) && llm.is_listed(&["llama3.2".into()]));
        assert!(!llm.is_listed(&["llama3.2:3b".into()]));
    }
}
