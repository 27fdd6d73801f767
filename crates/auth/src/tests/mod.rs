//! Valid and invalid tokens, in every algorithm and from every source of keys.

mod sources;

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ibid_types::secret::Secret;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ALGORITHMS: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

const SECRET: &[u8; 64] = b"a secret of sixty-four bytes, which is as long as SHA-512 asks..";

/// Who signs tokens.
struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    public: String,
    private: String,
    /// The public key, without anything around it.
    raw: Vec<u8>,
}

impl Issuer {
    fn new(algorithm: Algorithm) -> Self {
        if algorithm.family() == AlgorithmFamily::Hmac {
            return Self {
                algorithm,
                key: EncodingKey::from_secret(SECRET).expect("a key"),
                public: String::new(),
                private: String::new(),
                raw: Vec::new(),
            };
        }
        let pair = match algorithm {
            Algorithm::ES256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Algorithm::EdDSA => rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
            _ => rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256),
        }
        .expect("a key pair");
        let private = pair.serialize_pem();
        let key = match algorithm.family() {
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(private.as_bytes()),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(private.as_bytes()),
            _ => EncodingKey::from_rsa_pem(private.as_bytes()),
        };
        Self {
            algorithm,
            key: key.expect("a private key"),
            public: pair.public_key_pem(),
            private,
            raw: pair.public_key_raw().to_vec(),
        }
    }

    fn sign(&self, header: Header, claims: &Value) -> String {
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(Header::new(self.algorithm), claims)
    }

    fn named(&self, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(kid.to_owned());
        self.sign(header, claims)
    }

    fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self.algorithm {
            Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": URL_SAFE_NO_PAD.encode(&self.raw) }),
            _ => json!(Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key")),
        };
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn good() -> Value {
    json!({ "sub": "ada", "scope": "read write", "exp": now() + 600 })
}

/// Returns the good claims with others.
fn with(others: Value) -> Value {
    let mut claims = good();
    for (name, value) in others.as_object().expect("an object") {
        match value {
            Value::Null => {
                claims.as_object_mut().expect("an object").remove(name);
            }
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn tokens(algorithm: Algorithm, keys: TokenKeys) -> TokenSettings {
    TokenSettings {
        algorithm,
        keys,
        issuers: Vec::new(),
        audiences: Vec::new(),
        leeway: Duration::from_secs(5),
    }
}

async fn open(directory: &Path, tokens: TokenSettings) -> Result<Authenticator, SetupError> {
    let settings = AuthSettings {
        key_file: directory.join("keys.json"),
        tokens: Some(tokens),
    };
    Authenticator::open(Some(settings)).await
}

async fn identify(auth: &Authenticator, token: &str) -> Result<Grant, DenialCode> {
    auth.identify(Ok(Some(Secret::new(token)))).await.map_err(Denial::code)
}

async fn code(auth: &Authenticator, token: &str) -> DenialCode {
    match identify(auth, token).await {
        Ok(grant) => panic!("let in as {:?}", grant.subject),
        Err(code) => code,
    }
}

fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = directory.join(name);
    // As careful operators do, and so that nobody reads half of it.
    let next = directory.join(format!("{name}.next"));
    std::fs::write(&next, content).expect("written");
    std::fs::rename(next, &path).expect("in its place");
    path
}

fn secret() -> TokenKeys {
    TokenKeys::Secret(Secret::new(String::from_utf8_lossy(SECRET)))
}

/// Waits until the condition holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            // sleep: a file system tells nobody when its change was read; this polls until it was.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time");
}

#[tokio::test]
async fn every_algorithm_lets_in_whom_it_signs_for_and_no_other_key_does() {
    let directory = tempfile::tempdir().expect("a directory");
    for algorithm in ALGORITHMS {
        let (issuer, stranger) = (Issuer::new(algorithm), Issuer::new(algorithm));
        let keys = match algorithm.family() {
            AlgorithmFamily::Hmac => TokenKeys::SecretFile(file(directory.path(), "secret", [SECRET, b"\n".as_slice()].concat())),
            _ => TokenKeys::PublicKeyFile(file(directory.path(), "public.pem", &issuer.public)),
        };
        let auth = open(directory.path(), tokens(algorithm, keys)).await.expect("keys");
        let token = issuer.token(&good());
        let grant = identify(&auth, &token).await.expect("let in");
        assert_eq!((grant.subject.id.as_str(), grant.method), ("ada", Method::Token), "{algorithm:?}");
        if algorithm.family() != AlgorithmFamily::Hmac {
            assert_eq!(
                code(&auth, &stranger.token(&good())).await,
                DenialCode::InvalidToken,
                "{algorithm:?}"
            );
        }
        // Any other byte anywhere makes it another token.
        let (head, signature) = token.rsplit_once('.').expect("three parts");
        let mut bytes = signature.to_owned().into_bytes();
        bytes[4] = if bytes[4] == b'A' { b'B' } else { b'A' };
        let forged = format!("{head}.{}", String::from_utf8_lossy(&bytes));
        assert_eq!(code(&auth, &forged).await, DenialCode::InvalidToken, "{algorithm:?}");
        let (header, _) = head.split_once('.').expect("three parts");
        let more = with(json!({ "scope": "admin" }));
        let other = issuer.token(&more);
        let claims = other.split('.').nth(1).expect("three parts");
        assert_eq!(
            code(&auth, &format!("{header}.{claims}.{signature}")).await,
            DenialCode::InvalidToken,
            "{algorithm:?}"
        );
        // What `ibid token mint` makes is right here.
        if algorithm.family() != AlgorithmFamily::Hmac {
            let claims = Minted {
                sub: "dev".to_owned(),
                scope: "read".to_owned(),
                roles: Vec::new(),
                collections: None,
                iss: None,
                aud: None,
                iat: now(),
                exp: now() + 60,
            };
            let minted = mint(algorithm, issuer.private.as_bytes(), "auth.private_key_file", None, &claims).expect("minted");
            assert!(identify(&auth, &minted).await.is_ok(), "{algorithm:?}");
            assert!(mint(algorithm, issuer.public.as_bytes(), "auth.private_key_file", None, &claims).is_err());
        }
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn the_algorithm_is_the_servers_whatever_a_token_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new(Algorithm::RS256);
    let public = file(directory.path(), "public.pem", &issuer.public);
    let auth = open(directory.path(), tokens(Algorithm::RS256, TokenKeys::PublicKeyFile(public)))
        .await
        .expect("a key");
    let header = |alg: &str| json!({ "typ": "JWT", "alg": alg });
    let claims = with(json!({ "scope": "admin" }));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", part(&header(none)), part(&claims));
            assert_eq!(code(&auth, &token).await, DenialCode::InvalidToken, "{none}");
        }
    }
    // HS/RS confusion: the public key, which everybody has, as a secret.
    for form in [issuer.public.as_bytes(), issuer.public.trim().as_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forged =
                jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(form).expect("a key")).expect("a token");
            assert_eq!(code(&auth, &forged).await, DenialCode::InvalidToken);
            // And with the header of the right algorithm.
            let (_, rest) = forged.split_once('.').expect("three parts");
            assert_eq!(
                code(&auth, &format!("{}.{rest}", part(&header("RS256")))).await,
                DenialCode::InvalidToken
            );
        }
    }
    // The same key by another algorithm of its family.
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        assert_eq!(
            code(&auth, &issuer.sign(Header::new(algorithm), &good())).await,
            DenialCode::InvalidToken
        );
    }
    // A key that the token brings along, or says where to find.
    let stranger = Issuer::new(Algorithm::RS256);
    let mut header = Header::new(Algorithm::RS256);
    header.jwk = serde_json::from_value(stranger.jwk("mine")).ok();
    header.jku = Some("http://127.0.0.1:1/jwks".to_owned());
    assert!(header.jwk.is_some());
    assert_eq!(code(&auth, &stranger.sign(header, &claims)).await, DenialCode::InvalidToken);
    // Critical extensions must be understood.
    let mut header = Header::new(Algorithm::RS256);
    header.crit = Some(vec!["b64".to_owned()]);
    assert_eq!(code(&auth, &issuer.sign(header, &good())).await, DenialCode::InvalidToken);
    assert!(
        identify(&auth, &issuer.token(&good())).await.is_ok(),
        "the right one is still right"
    );
}

#[tokio::test]
async fn claims_are_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new(Algorithm::HS256);
    let settings = TokenSettings {
        issuers: vec!["https://login.example.org".to_owned(), "other".to_owned()],
        audiences: vec!["ibid".to_owned()],
        ..tokens(Algorithm::HS256, secret())
    };
    let auth = open(directory.path(), settings).await.expect("a secret");
    let ours = |others: Value| {
        let mut claims = with(json!({ "iss": "https://login.example.org", "aud": "ibid" }));
        for (name, value) in others.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    for right in [
        json!({}),
        json!({ "iss": "other" }),
        json!({ "aud": ["x", "ibid"] }),
        json!({ "nbf": now() - 10 }),
        // Within the clocks' difference.
        json!({ "nbf": now() + 3 }),
        json!({ "exp": now() - 2 }),
        json!({ "exp": (now() + 60) as f64 + 0.5 }),
    ] {
        assert!(identify(&auth, &issuer.token(&ours(right.clone()))).await.is_ok(), "{right}");
    }
    for (wrong, expected) in [
        (json!({ "exp": now() - 10 }), DenialCode::TokenExpired),
        (json!({ "exp": 0 }), DenialCode::TokenExpired),
        (json!({ "nbf": now() + 60 }), DenialCode::InvalidToken),
        (json!({ "nbf": "tomorrow" }), DenialCode::InvalidToken),
        (json!({ "exp": "tomorrow" }), DenialCode::InvalidToken),
        (json!({ "exp": null }), DenialCode::InvalidToken),
        (json!({ "exp": -5 }), DenialCode::InvalidToken),
        (json!({ "exp": [now() + 60] }), DenialCode::InvalidToken),
        (json!({ "iss": "https://login.example.com" }), DenialCode::InvalidToken),
        (json!({ "iss": null }), DenialCode::InvalidToken),
        (json!({ "iss": 7 }), DenialCode::InvalidToken),
        (json!({ "aud": "ibid2" }), DenialCode::InvalidToken),
        (json!({ "aud": ["x"] }), DenialCode::InvalidToken),
        (json!({ "aud": [] }), DenialCode::InvalidToken),
        (json!({ "aud": null }), DenialCode::InvalidToken),
        (json!({ "aud": { "ibid": true } }), DenialCode::InvalidToken),
        (json!({ "sub": 7 }), DenialCode::InvalidToken),
        (json!({ "scope": 7 }), DenialCode::InvalidToken),
        (json!({ "scope": [["read"]] }), DenialCode::InvalidToken),
        (json!({ "collections": null }), DenialCode::InvalidToken),
        (json!({ "collections": [7] }), DenialCode::InvalidToken),
    ] {
        assert_eq!(code(&auth, &issuer.token(&ours(wrong.clone()))).await, expected, "{wrong}");
    }
    assert_eq!(
        code(&auth, &issuer.token(&with(json!({ "exp": null })))).await,
        DenialCode::InvalidToken
    );
    // Where none is configured, none is checked.
    let auth = open(directory.path(), tokens(Algorithm::HS256, secret())).await.expect("a secret");
    let token = issuer.token(&with(json!({ "aud": "anybody", "iss": "anybody" })));
    assert!(identify(&auth, &token).await.is_ok());
}

#[tokio::test]
async fn what_is_no_token_is_refused_in_no_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new(Algorithm::HS256);
    let auth = open(directory.path(), tokens(Algorithm::HS256, secret())).await.expect("a secret");
    let token = issuer.token(&good());
    let huge = issuer.token(&with(json!({ "padding": "x".repeat(20_000) })));
    let deep = format!("{}.{}.AAAA", part(&json!({ "alg": "HS256" })), "[".repeat(10_000));
    for malformed in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "Bearer",
        "null",
        &token[..token.len() - 1],
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}="),
        &token.replace('.', " "),
        &huge,
        &deep,
        &format!("{}.{}.", part(&json!([])), part(&good())),
        "\u{0}.\u{0}.\u{0}",
        "ibid_",
        "ibid_0_0",
    ] {
        assert_eq!(
            code(&auth, malformed).await,
            DenialCode::InvalidToken,
            "{}",
            &malformed[..malformed.len().min(60)]
        );
    }
    assert_eq!(
        auth.identify(Ok(None)).await.map_err(Denial::code).err(),
        Some(DenialCode::MissingToken)
    );
    assert!(identify(&auth, &token).await.is_ok());
}

#[tokio::test]
async fn a_grant_ends_with_its_credentials() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new(Algorithm::HS256);
    let settings = TokenSettings {
        leeway: Duration::ZERO,
        ..tokens(Algorithm::HS256, secret())
    };
    let file = KeyFile::new(directory.path().join("keys.json"));
    let new = NewKey {
        name: "bot".to_owned(),
        scopes: [Scope::Read].into_iter().collect(),
        collections: None,
        expires: None,
    };
    let auth = open(directory.path(), settings).await.expect("a secret");
    let (key, _) = file.add(new.clone()).expect("made");
    // Without a restart.
    until(async || identify(&auth, &key).await.is_ok()).await;
    let of_key = identify(&auth, &key).await.expect("let in");
    assert_eq!((of_key.subject.id.as_str(), of_key.method), ("bot", Method::ApiKey));
    let short = identify(&auth, &issuer.token(&with(json!({ "exp": now() + 2 }))))
        .await
        .expect("let in");
    let long = identify(&auth, &issuer.token(&with(json!({ "exp": u64::MAX }))))
        .await
        .expect("let in");
    assert_eq!(short.ended().await, Denial::TokenExpired);
    assert!(tokio::time::timeout(Duration::from_millis(100), of_key.ended()).await.is_err());
    file.revoke("bot").expect("revoked");
    assert_eq!(of_key.ended().await.code(), DenialCode::InvalidToken);
    assert_eq!(code(&auth, &key).await, DenialCode::InvalidToken);
    assert!(tokio::time::timeout(Duration::from_millis(100), long.ended()).await.is_err());
    let expired = NewKey {
        expires: Some(time::OffsetDateTime::now_utc() - time::Duration::seconds(1)),
        ..new
    };
    let (key, _) = file.add(expired).expect("made");
    until(async || identify(&auth, &key).await.err() == Some(DenialCode::TokenExpired)).await;
}
