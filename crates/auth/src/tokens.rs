//! Checking JSON Web Tokens (RFC 7519, as RFC 8725 advises).

use super::claims::Claims;
use super::settings::{SetupError, TokenSettings};
use super::source::Keys;
use super::{Denial, Subject, grant};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};

/// Bytes of a token. One that a directory service makes has some thousand.
const MAX_TOKEN: usize = 16 << 10;

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    algorithm: Algorithm,
    validation: Validation,
    keys: Keys,
}

impl Tokens {
    /// Reads the keys.
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
            // Left on, every token that names an audience would be refused.
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

    /// Whether there are keys at present.
    pub fn has_keys(&self) -> bool {
        self.keys.are_there()
    }

    /// The subject of a token, and the moment until which it is taken, in seconds since 1970 (UTC).
    pub async fn check(&self, token: &str) -> Result<(Subject, i64), Denial> {
        if token.len() > MAX_TOKEN {
            return Err(Denial::InvalidToken("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| denial(error.kind()))?;
        // The token does not choose; and no key is looked for on behalf of one that cannot be right.
        if header.alg != self.algorithm {
            return Err(Denial::InvalidToken("its algorithm is not the one of this server"));
        }
        // What is critical must be understood (RFC 7515, 4.1.11), and nothing of it is here.
        if header.crit.is_some() {
            return Err(Denial::InvalidToken("it has critical extensions"));
        }
        let key = self.keys.find(header.kid.as_deref()).await?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| denial(error.kind()))?
            .claims;
        let leeway = i64::try_from(self.validation.leeway).unwrap_or(i64::MAX);
        let until = claims.expires().saturating_add(leeway);
        // The library takes a token within the second in which it ends (RFC 7519, 4.1.4: from then on it must not be).
        if grant::remaining(until).is_zero() {
            return Err(Denial::TokenExpired);
        }
        let subject = claims.subject().ok_or(Denial::InvalidToken("it names too many collections"))?;
        Ok((subject, until))
    }
}

/// What the library found. Its own words may quote the token.
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
