//! The credentials of client commands, and the command that makes tokens.

use super::args::{GrantArgs, TokenAction};
use super::{CliError, console, tools};
use ibid_auth::{AuthOptions, MintError, Minted, Role, Scope, Scopes, mint};
use ibid_types::secret::Secret;
use jsonwebtoken::AlgorithmFamily;
use serde_json::json;
use std::path::Path;
use time::OffsetDateTime;

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
    let (setting, key) = signing_key(auth)?;
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
    let token = mint(auth.algorithm, key.expose().as_bytes(), setting, kid, &claims)?;
    if json {
        return console::json(&json!({ "token": token, "claims": claims }));
    }
    console::line(&token)
}

/// Returns the key that tokens are signed with, and the setting that names it.
fn signing_key(auth: &AuthOptions) -> Result<(&'static str, Secret), CliError> {
    if auth.algorithm.family() != AlgorithmFamily::Hmac {
        return match &auth.private_key_file {
            Some(file) => Ok(("auth.private_key_file", Secret::new(read(file)?))),
            None => Err(CliError::Usage(format!(
                "auth.algorithm is {:?}, and no private key is set: name its file by auth.private_key_file",
                auth.algorithm
            ))),
        };
    }
    if let Some(file) = &auth.secret_file {
        return Ok(("auth.secret_file", Secret::new(read(file)?.trim())));
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

    #[test]
    fn lifetimes_are_understood_or_explained() {
        assert_eq!(lifetime("90d").expect("days"), time::Duration::days(90));
        assert_eq!(lifetime("30m").expect("minutes"), time::Duration::minutes(30));
        for wrong in ["", "90", "d", "-1d", "0s", "1y", "9999999999999w", "1.5h"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
