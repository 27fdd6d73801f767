//! Turns credentials into a grant.

use super::keys::{self, KeyFile, KeyTable};
use super::settings::{AuthSettings, SetupError};
use super::tokens::Tokens;
use super::{Denial, Grant, grant};
use ibid_system::watch::Watch;
use ibid_types::secret::Secret;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Identifies clients by their credentials.
#[derive(Debug)]
pub struct Authenticator {
    /// `None`: authentication is off.
    checks: Option<Checks>,
}

#[derive(Debug)]
struct Checks {
    tokens: Option<Tokens>,
    keys: watch::Receiver<Arc<KeyTable>>,
    _reading: AbortOnDropHandle<()>,
}

impl Authenticator {
    /// Reads the keys, and from then on reads them again when they change. `None` turns authentication off.
    ///
    /// # Errors
    /// If a secret, a key or a file cannot be used. A key server that does not answer is no error: the keys are fetched again later.
    pub async fn open(settings: Option<AuthSettings>) -> Result<Self, SetupError> {
        let Some(settings) = settings else {
            return Ok(Self { checks: None });
        };
        let tokens = match &settings.tokens {
            Some(tokens) => Some(Tokens::open(tokens).await?),
            None => None,
        };
        if settings.tokens.as_ref().is_some_and(|tokens| tokens.accepts_tokens_for_others()) {
            tracing::warn!("auth.audiences is empty: a token that its issuer made for another service is taken here as well");
        }
        let file = KeyFile::new(settings.key_file);
        let mut changes = Watch::new([file.path().to_owned()]).await;
        let table = read(&file).await?;
        tracing::info!(api_keys = table.len(), tokens = tokens.is_some(), "clients must say who they are");
        if tokens.is_none() && table.len() == 0 {
            tracing::warn!("nobody can use this server yet: there are no API keys (`ibid key new`), and no key for tokens is set");
        }
        let (update, keys) = watch::channel(Arc::new(table));
        let reading = async move {
            loop {
                changes.changed().await;
                match read(&file).await {
                    Ok(table) => {
                        tracing::info!(api_keys = table.len(), "API keys were read again");
                        update.send_replace(Arc::new(table));
                    }
                    Err(error) => tracing::error!(%error, "API keys changed, and cannot be read: the old ones stay"),
                }
            }
        };
        Ok(Self {
            checks: Some(Checks {
                tokens,
                keys,
                _reading: AbortOnDropHandle::new(tokio::spawn(reading)),
            }),
        })
    }

    /// Returns whether clients must authenticate.
    pub fn is_on(&self) -> bool {
        self.checks.is_some()
    }

    /// Returns whether there are keys that verify tokens; `None` where no tokens are accepted.
    pub fn has_token_keys(&self) -> Option<bool> {
        self.checks.as_ref()?.tokens.as_ref().map(Tokens::has_keys)
    }

    /// Returns the number of API keys.
    pub fn api_keys(&self) -> usize {
        self.checks.as_ref().map_or(0, |checks| checks.keys.borrow().len())
    }

    /// Returns the grant of the client that sent these credentials.
    ///
    /// # Errors
    /// Why they are refused, in words that the client may see. The reason is logged, the credentials never are.
    pub async fn identify(&self, credentials: Result<Option<Secret>, Denial>) -> Result<Grant, Denial> {
        let Some(checks) = &self.checks else { return Ok(Grant::anyone()) };
        let checked = match credentials {
            Err(denial) => Err(denial),
            Ok(None) => return Err(Denial::MissingToken),
            Ok(Some(credential)) => checks.check(credential.expose()).await,
        };
        if let Err(denial) = &checked {
            tracing::info!(code = denial.code().name(), reason = denial.reason(), "credentials were refused");
        }
        checked
    }
}

impl Checks {
    async fn check(&self, credential: &str) -> Result<Grant, Denial> {
        if keys::is_key(credential) {
            let key = self.keys.borrow().find(credential).cloned();
            let key = key.ok_or(Denial::InvalidToken("there is no such API key"))?;
            let ends = key.expires_at.map(time::OffsetDateTime::unix_timestamp);
            if ends.is_some_and(|ends| grant::remaining(ends).is_zero()) {
                return Err(Denial::TokenExpired);
            }
            return Ok(Grant::of_key(key, self.keys.clone()));
        }
        let tokens = self.tokens.as_ref().ok_or(Denial::InvalidToken("no key for tokens is set"))?;
        let (subject, until) = tokens.check(credential).await?;
        Ok(Grant::of_token(subject, until))
    }
}

async fn read(file: &KeyFile) -> Result<KeyTable, SetupError> {
    let reader = file.clone();
    match tokio::task::spawn_blocking(move || reader.table()).await {
        Ok(table) => Ok(table?),
        Err(error) => Err(SetupError::Settings(format!("API keys could not be read: {error}"))),
    }
}
