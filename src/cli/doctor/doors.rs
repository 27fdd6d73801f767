//! What lets clients in: authentication and the certificate.

use super::Check;
use crate::cli::console;
use crate::config::Settings;
use ibid_auth::Authenticator;
use ibid_server as server;

/// Whether clients can be recognised.
pub async fn auth(settings: &Settings) -> Check {
    if !settings.auth.enabled {
        return match settings.server.allow_remote_without_auth {
            false => Check::ok("auth", "off: nobody is asked, and only this machine is served"),
            true => Check::note(
                "auth",
                "off, and other machines may be served: whoever reaches the server may do everything",
                format!("{} key new NAME --role admin, then set auth.enabled", console::program()),
            ),
        };
    }
    let correct = "correct the settings as it says: docs/authentication.md has examples";
    let algorithm = settings.auth.algorithm;
    let wanted = match settings.auth.settings(&settings.data_dir) {
        Ok(wanted) => wanted,
        Err(error) => return Check::broken("auth", error.to_string(), correct),
    };
    let others = wanted
        .as_ref()
        .and_then(|auth| auth.tokens.as_ref())
        .is_some_and(ibid_auth::TokenSettings::accepts_tokens_for_others);
    let opened = match Authenticator::open(wanted).await {
        Ok(opened) => opened,
        Err(error) => return Check::broken("auth", error.to_string(), correct),
    };
    let keys = console::count(opened.api_keys() as u64, "API key");
    match opened.has_token_keys() {
        Some(false) => Check::broken(
            "auth",
            format!("{keys}; the key set at auth.jwks_url cannot be had, so no token is taken"),
            "look at the log of `serve`, which says why, and at auth.jwks_url",
        ),
        None if opened.api_keys() == 0 => Check::note(
            "auth",
            "on, and nobody can use the server yet: there is no API key, and no key for tokens is set",
            format!("{} key new NAME --role admin", console::program()),
        ),
        None => Check::ok("auth", format!("{keys}; no tokens")),
        Some(true) if others => Check::note(
            "auth",
            format!("{keys}, and tokens by {algorithm:?}; those for other services of the same issuer are taken as well"),
            "set auth.audiences to the name of this server in the claim `aud`",
        ),
        Some(true) => Check::ok("auth", format!("{keys}, and tokens by {algorithm:?}")),
    }
}

/// Whether the certificate can be used.
pub fn tls(settings: &Settings) -> Check {
    let files = match settings.server.tls() {
        Ok(Some(files)) => files,
        Ok(None) => return Check::ok("tls", "off"),
        Err(error) => return Check::broken("tls", error.to_string(), "set both, or neither"),
    };
    match server::check_tls(&files) {
        Ok(()) => Check::ok("tls", format!("the certificate in {}", files.cert.display())),
        Err(error) => Check::broken("tls", error.to_string(), "put a certificate and its key there, in PEM"),
    }
}
