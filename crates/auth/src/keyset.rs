//! Keys that verify tokens, from a secret, a PEM file or a JSON Web Key Set. No I/O.
//!
//! Every key is checked against the configured algorithm when it is read, so a key of another kind never verifies a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The most keys of one set that are read.
const MAX_KEYS: usize = 100;
/// The longest `kid`, in characters.
const MAX_KID: usize = 256;
/// Bytes of an RSA modulus: 2,048 to 8,192 bits, as the library verifies them.
const RSA_MODULUS: RangeInclusive<usize> = 256..=1024;

/// A set of keys that verify tokens.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    /// The only key, of a file or setting. It verifies every token, whatever its `kid`.
    single: Option<DecodingKey>,
    named: BTreeMap<String, DecodingKey>,
    nameless: Vec<DecodingKey>,
}

impl KeySet {
    /// Returns the key for a token. A token without a `kid` gets one only where there is a single candidate.
    pub fn find(&self, kid: Option<&str>) -> Option<&DecodingKey> {
        if let Some(key) = &self.single {
            return Some(key);
        }
        if let Some(key) = kid.and_then(|kid| self.named.get(kid)) {
            return Some(key);
        }
        match (self.named.len(), self.nameless.as_slice()) {
            // An unnamed key may belong to any `kid`; a named key must have exactly this one.
            (_, [only]) if kid.is_some() || self.named.is_empty() => Some(only),
            (1, []) if kid.is_none() => self.named.values().next(),
            _ => None,
        }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        usize::from(self.single.is_some()) + self.named.len() + self.nameless.len()
    }

    /// Makes a set of one shared secret.
    ///
    /// # Errors
    /// If it is shorter than RFC 7518, 3.2 demands.
    pub fn of_secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, String> {
        let least = match algorithm {
            Algorithm::HS256 => 32,
            Algorithm::HS384 => 48,
            _ => 64,
        };
        if secret.len() < least {
            return Err(format!(
                "{algorithm:?} needs a secret of at least {least} bytes, and this one has {}. `openssl rand -hex {least}` makes one",
                secret.len()
            ));
        }
        DecodingKey::from_secret(secret)
            .map(Self::single)
            .map_err(|error| error.to_string())
    }

    /// Makes a set of one public key in PEM.
    ///
    /// # Errors
    /// If it is not a public key of the algorithm's kind.
    pub fn of_pem(pem: &[u8], algorithm: Algorithm) -> Result<Self, String> {
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err("this is a private key: the server needs the public one only".to_owned());
        }
        let wrong = || format!("it holds no public key for {algorithm:?}");
        let read = match algorithm.family() {
            AlgorithmFamily::Hmac => return Err(wrong()),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        };
        let key = read.map_err(|_| wrong())?;
        let jwk = Jwk::from_decoding_key(&key, None).map_err(|_| wrong())?;
        if fits(&jwk, algorithm) {
            Ok(Self::single(key))
        } else {
            Err(wrong())
        }
    }

    /// Reads a JSON Web Key Set (RFC 7517). Skips keys that are not for the algorithm, or not for signatures.
    ///
    /// # Errors
    /// If it is no key set, or none of its keys can be used.
    pub fn of_jwks(bytes: &[u8], algorithm: Algorithm) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        // The library's own type rejects a whole set for one key that it does not know.
        let Jwks { keys } = serde_json::from_slice(bytes).map_err(|error| format!("it is not a JSON Web Key Set: {error}"))?;
        let found = keys.len();
        let mut set = Self::default();
        for key in keys.into_iter().take(MAX_KEYS) {
            let Ok(jwk) = serde_json::from_value::<Jwk>(key) else { continue };
            if !fits(&jwk, algorithm) {
                continue;
            }
            let Ok(key) = DecodingKey::from_jwk(&jwk) else { continue };
            match jwk.common.key_id {
                Some(kid) if kid.len() <= MAX_KID => {
                    set.named.entry(kid).or_insert(key);
                }
                Some(_) => {}
                None => set.nameless.push(key),
            }
        }
        if set.len() == 0 {
            return Err(format!("none of its {found} keys is a public key for {algorithm:?}"));
        }
        Ok(set)
    }

    fn single(key: DecodingKey) -> Self {
        Self {
            single: Some(key),
            ..Self::default()
        }
    }
}

/// Returns whether a key is well-formed and verifies signatures by `algorithm`.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let common = &jwk.common;
    let meant = common
        .key_algorithm
        .is_none_or(|named| Algorithm::try_from(named).ok() == Some(algorithm))
        && common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let length = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    let formed = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(rsa), _) if algorithm.family() == AlgorithmFamily::Rsa => {
            RSA_MODULUS.contains(&length(&rsa.n)) && length(&rsa.e) > 0
        }
        (AlgorithmParameters::EllipticCurve(ec), Algorithm::ES256) => {
            ec.curve == EllipticCurve::P256 && length(&ec.x) == 32 && length(&ec.y) == 32
        }
        (AlgorithmParameters::EllipticCurve(ec), Algorithm::ES384) => {
            ec.curve == EllipticCurve::P384 && length(&ec.x) == 48 && length(&ec.y) == 48
        }
        (AlgorithmParameters::OctetKeyPair(pair), Algorithm::EdDSA) => pair.curve == EllipticCurve::Ed25519 && length(&pair.x) == 32,
        // A secret in a set that others may read is no secret.
        _ => false,
    };
    meant && formed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn ed(kid: Option<&str>, first: u8) -> Value {
        let x = URL_SAFE_NO_PAD.encode([&[first][..], &[7; 31]].concat());
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        if let Some(kid) = kid {
            key["kid"] = kid.into();
        }
        key
    }

    fn set(keys: &[Value]) -> Result<KeySet, String> {
        KeySet::of_jwks(json!({ "keys": keys }).to_string().as_bytes(), Algorithm::EdDSA)
    }

    #[test]
    fn a_key_is_found_by_its_name_or_where_there_is_no_choice() {
        let two = set(&[ed(Some("a"), 1), ed(Some("b"), 2)]).expect("a set");
        assert!(two.find(Some("a")).is_some() && two.find(Some("b")).is_some());
        assert!(two.find(Some("c")).is_none() && two.find(None).is_none());
        let one = set(&[ed(Some("a"), 1)]).expect("a set");
        assert!(one.find(None).is_some() && one.find(Some("b")).is_none());
        let nameless = set(&[ed(None, 1)]).expect("a set");
        assert!(nameless.find(None).is_some() && nameless.find(Some("whatever")).is_some());
        assert!(set(&[ed(None, 1), ed(None, 2)]).expect("a set").find(None).is_none());
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let mut encrypts = ed(Some("enc"), 1);
        encrypts["use"] = "enc".into();
        let mut signs = ed(Some("signs"), 1);
        signs["key_ops"] = json!(["sign"]);
        let mut other = ed(Some("other"), 1);
        other["alg"] = "ES256".into();
        let mut short = ed(Some("short"), 1);
        short["x"] = "AQAB".into();
        let rsa = json!({ "kty": "RSA", "kid": "rsa", "n": URL_SAFE_NO_PAD.encode([1; 256]), "e": "AQAB" });
        let secret = json!({ "kty": "oct", "kid": "oct", "k": URL_SAFE_NO_PAD.encode([1; 64]) });
        let odd = [json!(7), json!({ "kty": "AKP", "kid": "new" }), json!({})];
        let mut keys = vec![encrypts, signs, other, short, rsa.clone(), secret.clone()];
        keys.extend(odd);
        assert!(set(&keys).is_err());
        keys.push(ed(Some("good"), 1));
        let found = set(&keys).expect("one is left");
        assert_eq!((found.len(), found.find(Some("good")).is_some()), (1, true));
        let weak = json!({ "kty": "RSA", "kid": "weak", "n": URL_SAFE_NO_PAD.encode([1; 128]), "e": "AQAB" });
        let keys = json!({ "keys": [rsa, secret, weak] }).to_string();
        let found = KeySet::of_jwks(keys.as_bytes(), Algorithm::PS256).expect("the RSA key");
        assert!(found.len() == 1 && found.find(Some("rsa")).is_some());
        // A secret in a key set is ignored, also where the algorithm takes secrets.
        assert!(KeySet::of_jwks(keys.as_bytes(), Algorithm::HS256).is_err());
    }

    #[test]
    fn a_secret_is_as_long_as_its_hash() {
        for (algorithm, least) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
            assert!(KeySet::of_secret(&vec![b'x'; least], algorithm).is_ok());
            let error = KeySet::of_secret(&vec![b'x'; least - 1], algorithm).expect_err("too short");
            assert!(error.contains(&least.to_string()) && !error.contains("xxx"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_set_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a-zA-Z0-9]{0,200}") {
            let _ = KeySet::of_jwks(&bytes, Algorithm::ES256);
            let _ = KeySet::of_jwks(text.as_bytes(), Algorithm::RS256);
            let _ = KeySet::of_pem(&bytes, Algorithm::RS256);
        }
    }
}
