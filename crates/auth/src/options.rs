//! The settings of authentication as operators write them.

use super::KeyFile;
use super::settings::{AuthSettings, SetupError, TokenKeys, TokenSettings};
use ibid_settings::{Format, Kind, SettingValue, Value, settings};
use ibid_types::secret::Secret;
use jsonwebtoken::Algorithm;
use std::path::{Path, PathBuf};
use std::time::Duration;

settings! {
    /// Section `auth`. [`AuthOptions::settings`] checks which of these go together.
    pub struct AuthOptions {
        keys {
            /// Whether clients must say who they are, by an API key (`ibid key new`) or by a JSON Web Token signed with one of the keys
            /// below.
            "auth.enabled" => enabled: bool = false,
            /// The one algorithm by which tokens are signed, whatever a token says: HS256/384/512, RS256/384/512, PS256/384/512, ES256,
            /// ES384 or EdDSA.
            "auth.algorithm" as AlgorithmName => algorithm: Algorithm = Algorithm::HS256,
            /// For HS*: the secret that signs tokens, at least as many bytes as the hash (HS256: 32). Better in IBID_AUTH_SECRET or
            /// auth.secret_file than here.
            "auth.secret" => secret: Secret = Secret::default(),
            /// A file whose content is the secret, in place of auth.secret.
            "auth.secret_file" => secret_file: Option<PathBuf> = None,
            /// For all but HS*: a PEM file with the public key that checks tokens.
            "auth.public_key_file" => public_key_file: Option<PathBuf> = None,
            /// For all but HS*: a JSON Web Key Set in a file, read again when it changes.
            "auth.jwks_file" => jwks_file: Option<PathBuf> = None,
            /// For all but HS*: the address of a JSON Web Key Set, such as "https://login.example.org/.well-known/jwks.json". Set
            /// auth.audiences with it.
            "auth.jwks_url" => jwks_url: Option<String> = None,
            /// A PEM file of the authorities that may have signed the certificate of auth.jwks_url, in place of the system's.
            "auth.jwks_ca_file" => jwks_ca_file: Option<PathBuf> = None,
            /// Seconds after which the keys of auth.jwks_url are fetched again. A token with a key that is not known yet has them fetched
            /// at once, at most every 5 seconds.
            "auth.jwks_refresh_seconds" [range(1, 86_400)] => jwks_refresh: Duration = Duration::from_secs(300),
            /// Issuers (claim `iss`) whose tokens are taken; an empty list takes all.
            "auth.issuers" => issuers: Vec<String> = Vec::new(),
            /// Names of this server in the claim `aud`: only tokens made for one of them are taken; an empty list takes all.
            "auth.audiences" => audiences: Vec<String> = Vec::new(),
            /// Seconds that the clocks of who signs tokens and of this server may differ.
            "auth.leeway_seconds" [range(0, 600)] => leeway: Duration = Duration::from_secs(5),
            /// A PEM file with the private key by which `ibid token mint` signs, for development. The server does not need it.
            "auth.private_key_file" => private_key_file: Option<PathBuf> = None,
        }
    }
}

/// An algorithm by its name in RFC 7518 and RFC 8037.
#[derive(Debug)]
pub struct AlgorithmName;

impl Format<Algorithm> for AlgorithmName {
    const KIND: Kind = Kind::Choice(&[
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ]);

    fn from_toml(value: &Value) -> Result<Algorithm, String> {
        let name = String::from_toml(value)?;
        name.parse().map_err(|_| format!("must be the name of an algorithm, not `{name}`"))
    }

    fn to_toml(value: &Algorithm) -> Value {
        Value::String(format!("{value:?}"))
    }
}

impl AuthOptions {
    /// Returns how clients authenticate to the server with this data directory; `None` where authentication is off.
    ///
    /// # Errors
    /// If the settings contradict one another.
    pub fn settings(&self, data_dir: &Path) -> Result<Option<AuthSettings>, SetupError> {
        if !self.enabled {
            return Ok(None);
        }
        let tokens = self.token_keys()?.map(|keys| TokenSettings {
            algorithm: self.algorithm,
            keys,
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            leeway: self.leeway,
        });
        Ok(Some(AuthSettings {
            key_file: KeyFile::in_data_dir(data_dir).path().to_owned(),
            tokens,
        }))
    }

    /// Returns the one place that the keys are in; `None` if none is set.
    fn token_keys(&self) -> Result<Option<TokenKeys>, SetupError> {
        let secret = (!self.secret.is_empty()).then(|| TokenKeys::Secret(self.secret.clone()));
        let url = self.jwks_url.clone().map(|url| TokenKeys::JwksUrl {
            url,
            ca_file: self.jwks_ca_file.clone(),
            refresh: self.jwks_refresh,
        });
        let given: Vec<(&str, TokenKeys)> = [
            ("auth.secret", secret),
            ("auth.secret_file", self.secret_file.clone().map(TokenKeys::SecretFile)),
            ("auth.public_key_file", self.public_key_file.clone().map(TokenKeys::PublicKeyFile)),
            ("auth.jwks_file", self.jwks_file.clone().map(TokenKeys::JwksFile)),
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
        let hmac = matches!(self.algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        let shared = matches!(keys, TokenKeys::Secret(_) | TokenKeys::SecretFile(_));
        if hmac != shared {
            let issue = match hmac {
                true => format!(
                    "{name} holds public keys, but auth.algorithm is {:?}: name the algorithm that they are for, such as RS256",
                    self.algorithm
                ),
                false => format!(
                    "auth.algorithm is {:?}, which has a public key: give it by auth.public_key_file, auth.jwks_file or auth.jwks_url in place of {name}",
                    self.algorithm
                ),
            };
            return Err(SetupError::Settings(issue));
        }
        Ok(Some(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut AuthOptions)) -> Result<Option<AuthSettings>, SetupError> {
        let mut options = AuthOptions {
            enabled: true,
            ..AuthOptions::default()
        };
        change(&mut options);
        options.settings(Path::new("data"))
    }

    fn with_secret(options: &mut AuthOptions) {
        options.secret = Secret::new("x");
    }

    #[test]
    fn settings_that_contradict_one_another_are_refused() {
        assert!(AuthOptions::default().settings(Path::new("data")).expect("off").is_none());
        assert!(settings(|_| ()).expect("keys only").expect("on").tokens.is_none());
        assert!(settings(with_secret).expect("a secret").expect("on").tokens.is_some());
        let two = settings(|options| {
            with_secret(options);
            options.jwks_file = Some("f".into());
        });
        let public = settings(|options| {
            with_secret(options);
            options.algorithm = Algorithm::RS256;
        });
        let shared = settings(|options| options.public_key_file = Some("f".into()));
        for (result, wanted) in [
            (two, "auth.secret and auth.jwks_file are both set"),
            (public, "which has a public key"),
            (shared, "auth.algorithm is HS256"),
        ] {
            let error = result.expect_err(wanted).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
