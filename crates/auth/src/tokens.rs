//! Verifies JSON Web Tokens (RFC 7519, following RFC 8725).

use super::claims::Claims;
use super::settings::{SetupError, TokenSettings};
use super::source::Keys;
use super::{Denial, Subject, grant};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};

/// The longest token, in bytes. Directory services issue tokens of some thousand bytes.
const MAX_TOKEN: usize = 16 << 10;

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    algorithm: Algorithm,
    validation: Validation,
    keys: Keys,
}

impl Tokens {
    /// Reads the keys that verify tokens.
    pub async fn open(settings: &TokenSettings) -> Result<Self, SetupError> {
        let mut validation = Validation::new(settings.algorithm);
        validation.leeway = settings.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if settings.issuers.is_empty() {
            validation.iss = None;
        } else {
            validation.set_issuer(&settings.issuers);
            required.push("iss");
        }
        if settings.audiences.is_empty() {
            // Left on, the library would refuse every token that names an audience.
            validation.validate_aud = false;
        } else {
            validation.set_audience(&settings.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self {
            algorithm: settings.algorithm,
            validation,
            keys: Keys::open(settings).await?,
        })
    }

    /// Returns whether there are keys at present.
    pub fn has_keys(&self) -> bool {
        self.keys.are_loaded()
    }

    /// Returns the subject of a token, and when the token expires, in seconds since 1970 (UTC).
    pub async fn check(&self, token: &str) -> Result<(Subject, i64), Denial> {
        if token.len() > MAX_TOKEN {
            return Err(Denial::InvalidToken("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| denial(error.kind()))?;
        // The token must not choose the algorithm, and a key is not looked up for a token that cannot be valid.
        if header.alg != self.algorithm {
            return Err(Denial::InvalidToken("its algorithm is not the one of this server"));
        }
        // The server must understand critical extensions (RFC 7515, 4.1.11), and it has none.
        if header.crit.is_some() {
            return Err(Denial::InvalidToken("it has critical extensions"));
        }
        let key = self.keys.find(header.kid.as_deref()).await?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| denial(error.kind()))?
            .claims;
        let leeway = i64::try_from(self.validation.leeway).unwrap_or(i64::MAX);
        let until = claims.expires().saturating_add(leeway);
        // The library still accepts a token within the second in which it expires; RFC 7519, 4.1.4 does not allow that.
        if grant::remaining(until).is_zero() {
            return Err(Denial::TokenExpired);
        }
        let subject = claims.subject().ok_or(Denial::InvalidToken("it names too many collections"))?;
        Ok((subject, until))
    }
}

/// Translates the library's error. Its own message may quote the token.
fn denial(kind: &ErrorKind) -> Denial {
    Denial::InvalidToken(match kind {
        ErrorKind::ExpiredSignature => return Denial::TokenExpired,
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "its issuer is not one of auth.issuers",
        ErrorKind::InvalidAudience => "its audience is not one of auth.audiences",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => "a claim is missing or malformed",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm => "its algorithm is not the one of this server",
        _ => "it is malformed",
    })
}
