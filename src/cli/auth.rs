//! Authentication as the settings have it, and the command that makes tokens.

use super::args::{GrantArgs, TokenAction};
use super::{CliError, console, tools};
use crate::config::Settings;
use ibid_auth::{AuthSettings, KeyFile, MintError, Minted, Role, Scope, Scopes, SetupError, TokenKeys, TokenSettings, mint};
use ibid_types::secret::Secret;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;

/// What the server takes of the settings; `None` where authentication is off.
///
/// # Errors
/// If they contradict one another.
pub fn settings(settings: &Settings) -> Result<Option<AuthSettings>, CliError> {
    let auth = &settings.auth;
    if !auth.enabled {
        return Ok(None);
    }
    let keys = token_keys(settings).map_err(|error| CliError::Usage(error.to_string()))?;
    let tokens = match keys {
        Some(keys) => Some(TokenSettings {
            algorithm: algorithm(&auth.algorithm)?,
            keys,
            issuers: auth.issuers.clone(),
            audiences: auth.audiences.clone(),
            leeway: Duration::from_secs(auth.leeway_seconds),
        }),
        None => None,
    };
    Ok(Some(AuthSettings {
        key_file: KeyFile::in_data_dir(&settings.data_dir).path().to_owned(),
        tokens,
    }))
}

/// The one place where the keys are; `None` if none is set.
fn token_keys(settings: &Settings) -> Result<Option<TokenKeys>, SetupError> {
    let auth = &settings.auth;
    let path = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    let secret = (!auth.secret.is_empty()).then(|| TokenKeys::Secret(auth.secret.clone()));
    let url = (!auth.jwks_url.is_empty()).then(|| TokenKeys::JwksUrl {
        url: auth.jwks_url.clone(),
        ca_file: path(&auth.jwks_ca_file),
        refresh: Duration::from_secs(auth.jwks_refresh_seconds),
    });
    let given: Vec<(&str, TokenKeys)> = [
        ("auth.secret", secret),
        ("auth.secret_file", path(&auth.secret_file).map(TokenKeys::SecretFile)),
        ("auth.public_key_file", path(&auth.public_key_file).map(TokenKeys::PublicKeyFile)),
        ("auth.jwks_file", path(&auth.jwks_file).map(TokenKeys::JwksFile)),
        ("auth.jwks_url", url),
    ]
    .into_iter()
    .filter_map(|(name, keys)| Some((name, keys?)))
    .collect();
    let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
    let names = names.join(" and ");
    let mut given = given.into_iter();
    let (Some((name, keys)), None) = (given.next(), given.next()) else {
        return match names.is_empty() {
            true => Ok(None),
            false => Err(SetupError::Settings(format!(
                "{names} are both set: say by one of them where the key for tokens is"
            ))),
        };
    };
    let hmac = auth.algorithm.starts_with("HS");
    let shared = matches!(keys, TokenKeys::Secret(_) | TokenKeys::SecretFile(_));
    if hmac != shared {
        let issue = match hmac {
            true => format!(
                "{name} holds public keys, but auth.algorithm is {}: name the algorithm that they are for, such as RS256",
                auth.algorithm
            ),
            false => format!(
                "auth.algorithm is {}, which has a public key: give it by auth.public_key_file, auth.jwks_file or auth.jwks_url in place of {name}",
                auth.algorithm
            ),
        };
        return Err(SetupError::Settings(issue));
    }
    Ok(Some(keys))
}

fn algorithm(name: &str) -> Result<Algorithm, CliError> {
    name.parse()
        .map_err(|_| CliError::Usage(format!("auth.algorithm: there is no algorithm `{name}`")))
}

/// The token or API key of a client command: that of the file, if one is named.
///
/// # Errors
/// If the file cannot be read.
pub fn credential(token: Option<String>, file: Option<&Path>) -> Result<Option<Secret>, CliError> {
    let text = match file {
        Some(path) => Some(read(path)?),
        None => token,
    };
    Ok(text.map(|text| Secret::new(text.trim())).filter(|secret| !secret.is_empty()))
}

/// `ibid token`.
pub fn token(action: TokenAction) -> Result<(), CliError> {
    let TokenAction::Mint {
        sub,
        grant,
        expires,
        kid,
        json,
        settings,
    } = action;
    let settings = tools::settings(&settings)?.settings;
    let auth = &settings.auth;
    let algorithm = algorithm(&auth.algorithm)?;
    let (setting, key) = signing_key(&settings, algorithm)?;
    let scopes = scopes(&grant)?;
    let now = OffsetDateTime::now_utc();
    let claims = Minted {
        sub,
        scope: scopes.iter().map(Scope::name).collect::<Vec<_>>().join(" "),
        roles: Vec::new(),
        collections: collections(&grant),
        iss: auth.issuers.first().cloned(),
        aud: auth.audiences.first().cloned(),
        iat: now.unix_timestamp(),
        exp: now.unix_timestamp().saturating_add(lifetime(&expires)?.whole_seconds()),
    };
    let token = mint(algorithm, key.expose().as_bytes(), setting, kid, &claims)?;
    if json {
        return console::json(&json!({ "token": token, "claims": claims }));
    }
    console::line(&token)
}

/// What tokens are signed with, and the setting that says so.
fn signing_key(settings: &Settings, algorithm: Algorithm) -> Result<(&'static str, Secret), CliError> {
    let auth = &settings.auth;
    let set = |path: &Path| !path.as_os_str().is_empty();
    if algorithm.family() != AlgorithmFamily::Hmac {
        return match set(&auth.private_key_file) {
            true => Ok(("auth.private_key_file", Secret::new(read(&auth.private_key_file)?))),
            false => Err(CliError::Usage(format!(
                "auth.algorithm is {algorithm:?}, and no private key is set: name its file by auth.private_key_file"
            ))),
        };
    }
    if set(&auth.secret_file) {
        return Ok(("auth.secret_file", Secret::new(read(&auth.secret_file)?.trim())));
    }
    if auth.secret.is_empty() {
        return Err(CliError::Usage(
            "no secret is set: put one into a file (`openssl rand -hex 32 > secret`), and name it by auth.secret_file".to_owned(),
        ));
    }
    Ok(("auth.secret", auth.secret.clone()))
}

pub(super) fn scopes(grant: &GrantArgs) -> Result<Scopes, CliError> {
    let mut all = Vec::new();
    for name in &grant.scopes {
        let scope = Scope::parse(name);
        all.push(scope.ok_or_else(|| {
            let known = Scope::ALL.map(Scope::name).join(", ");
            CliError::Usage(format!("--scope {name}: there is no such scope; there are {known}"))
        })?);
    }
    for name in &grant.roles {
        let role = Role::parse(name);
        let role = role.ok_or_else(|| {
            CliError::Usage(format!(
                "--role {name}: there is no such role; there are viewer, user, manager, admin"
            ))
        })?;
        all.extend(role.scopes());
    }
    if all.is_empty() {
        return Err(CliError::Usage("say what it may do: --scope read, or --role user".to_owned()));
    }
    Ok(all.into_iter().collect())
}

pub(super) fn collections(grant: &GrantArgs) -> Option<Vec<String>> {
    (!grant.collections.is_empty()).then(|| grant.collections.clone())
}

/// `90d` and the like.
pub(super) fn lifetime(text: &str) -> Result<time::Duration, CliError> {
    let wrong = || {
        CliError::Usage(format!(
            "--expires {text}: must be a number with s, m, h, d or w, such as 12h or 90d"
        ))
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    // A thousand years are enough for anybody, and far from where calendars end.
    let total = number.checked_mul(seconds).filter(|total| (1..=31_557_600_000).contains(total));
    total.map(time::Duration::seconds).ok_or_else(wrong)
}

pub(super) fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

impl From<MintError> for CliError {
    fn from(error: MintError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Effective, Sources};

    fn loaded(flags: &[(&str, &str)]) -> Settings {
        let flag = |(key, value): &(&str, &str)| crate::config::Flag {
            name: "--set".to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let sources = Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        };
        Effective::load(&sources).expect("valid").settings
    }

    #[test]
    fn settings_that_contradict_one_another_are_told() {
        let on = ("auth.enabled", "true");
        assert!(settings(&loaded(&[])).expect("off").is_none());
        assert!(settings(&loaded(&[on])).expect("keys only").expect("on").tokens.is_none());
        let secret = ("auth.secret", "x");
        assert!(settings(&loaded(&[on, secret])).expect("a secret").expect("on").tokens.is_some());
        for (flags, wanted) in [
            (
                vec![on, secret, ("auth.jwks_file", "f")],
                "auth.secret and auth.jwks_file are both set",
            ),
            (vec![on, secret, ("auth.algorithm", "RS256")], "which has a public key"),
            (vec![on, ("auth.public_key_file", "f")], "auth.algorithm is HS256"),
        ] {
            let error = settings(&loaded(&flags)).expect_err(wanted).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn lifetimes_are_understood_or_explained() {
        assert_eq!(lifetime("90d").expect("days"), time::Duration::days(90));
        assert_eq!(lifetime("30m").expect("minutes"), time::Duration::minutes(30));
        for wrong in ["", "90", "d", "-1d", "0s", "1y", "9999999999999w", "1.5h"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
