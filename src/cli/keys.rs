//! `ibid key`: API keys of a data directory, or of the servers that share a catalog.

use super::args::{KeyAction, SettingsArgs};
use super::auth::{collections, lifetime, scopes, whole_seconds};
use super::error::with_causes;
use super::{CliError, console, serve, tools};
use ibid_auth::{ApiKey, KeyError, KeyFile, NewKey, Scope, Scopes, StoredKey};
use ibid_catalog::{Catalog, CatalogError, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where keys are.
enum Keys {
    /// In a data directory.
    File(KeyFile),
    /// In the catalog that servers share. They hear of what changes there.
    Shared(Arc<Shared>),
}

impl Keys {
    async fn open(args: &SettingsArgs) -> Result<Self, CliError> {
        let settings = tools::settings(args)?.settings;
        let shared = match serve::catalog_options(&settings)? {
            Some(options) => Catalog::postgres(&options).await?.shared(),
            None => None,
        };
        Ok(shared.map_or_else(|| Self::File(KeyFile::in_data_dir(&settings.data_dir)), Self::Shared))
    }

    async fn add(&self, new: NewKey) -> Result<(String, ApiKey), CliError> {
        match self {
            Self::File(file) => Ok(file.add(new)?),
            Self::Shared(shared) => {
                let (secret, stored) = StoredKey::make(new)?;
                let ApiKey { id, name, .. } = &stored.key;
                match shared.add_api_key(id, name, &stored.to_text()).await? {
                    true => Ok((secret, stored.key)),
                    false => Err(KeyError::Taken(name.clone()).into()),
                }
            }
        }
    }

    async fn list(&self) -> Result<Vec<ApiKey>, CliError> {
        let shared = match self {
            Self::File(file) => return Ok(file.list()?),
            Self::Shared(shared) => shared.api_keys().await?,
        };
        let parsed = shared.iter().map(|text| match StoredKey::parse(text) {
            Ok(stored) => Ok(stored.key),
            Err(issue) => Err(CliError::Failed(format!(
                "an API key in the catalog cannot be understood ({issue}): a newer version made it, most likely"
            ))),
        });
        parsed.collect()
    }

    async fn revoke(&self, named: &str) -> Result<ApiKey, CliError> {
        let unknown = || KeyError::Unknown(named.to_owned());
        match self {
            Self::File(file) => Ok(file.revoke(named)?),
            Self::Shared(shared) => {
                let mut keys = self.list().await?.into_iter();
                let key = keys.find(|key| key.name == named || key.id == named).ok_or_else(unknown)?;
                match shared.remove_api_key(&key.id).await? {
                    true => Ok(key),
                    false => Err(unknown().into()),
                }
            }
        }
    }
}

/// `ibid key`.
pub async fn run(action: KeyAction) -> Result<(), CliError> {
    match action {
        KeyAction::New {
            name,
            grant,
            expires,
            json,
            settings,
        } => {
            let lifetime = expires.as_deref().map(lifetime).transpose()?;
            let new = NewKey {
                name,
                scopes: scopes(&grant)?,
                collections: collections(&grant),
                expires: lifetime.and_then(|lifetime| whole_seconds(OffsetDateTime::now_utc()).checked_add(lifetime)),
            };
            let (secret, key) = Keys::open(&settings).await?.add(new).await?;
            if json {
                let mut told = told(&key);
                if let Some(fields) = told.as_object_mut() {
                    fields.insert("key".to_owned(), secret.into());
                }
                return console::json(&told);
            }
            console::note(&format!(
                "The key `{}` ({}), which ends: {}. It is shown this once; only its hash is kept.",
                console::clean(&key.name),
                may(&key),
                key.expiry_text()
            ));
            console::line(&secret)
        }
        KeyAction::List { json, settings } => {
            let keys = Keys::open(&settings).await?.list().await?;
            if json {
                let keys: Vec<Value> = keys.iter().map(told).collect();
                return console::json(&json!({ "keys": keys }));
            }
            if keys.is_empty() {
                console::note(&format!(
                    "There are no API keys. `{} key new NAME --role user` makes one",
                    console::program()
                ));
                return Ok(());
            }
            let rows: Vec<Vec<String>> = keys
                .iter()
                .map(|key| {
                    let made = key.created_at.format(&Rfc3339).unwrap_or_default();
                    vec![console::clean(&key.name), key.id.clone(), may(key), made, key.expiry_text()]
                })
                .collect();
            console::print(&console::table(&["NAME", "ID", "MAY", "MADE", "ENDS"], &[], &rows))
        }
        KeyAction::Revoke { name, json, settings } => {
            let key = Keys::open(&settings).await?.revoke(&name).await?;
            if json {
                return console::json(&told(&key));
            }
            console::note(&format!("The key `{}` is revoked.", console::clean(&key.name)));
            Ok(())
        }
    }
}

fn told(key: &ApiKey) -> Value {
    serde_json::to_value(key).unwrap_or_default()
}

fn may(key: &ApiKey) -> String {
    let scopes: Scopes = key.scopes.iter().copied().collect();
    let scopes: Vec<&str> = match scopes.iter().any(|scope| scope == Scope::Admin) {
        true => vec!["everything"],
        false => scopes.iter().map(Scope::name).collect(),
    };
    match &key.collections {
        None => scopes.join(", "),
        Some(collections) => format!("{} in {}", scopes.join(", "), console::clean(&collections.join(", "))),
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Name | KeyError::NoScopes => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<CatalogError> for CliError {
    fn from(error: CatalogError) -> Self {
        Self::Failed(format!("the servers' catalog (catalog.url): {}", with_causes(&error)))
    }
}
