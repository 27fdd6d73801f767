//! Tokens as an issuer makes them, right and wrong ones.

use super::Server;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The secret of the servers that these tests start.
pub const SECRET: &str = "a secret that only tests know, of 32 bytes or more";

/// The server that tests of authentication share. Its clock admits no difference.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let secret = format!("auth.secret={SECRET}");
        Server::start("auth", &["auth.enabled=true", &secret, "auth.leeway_seconds=0"])
    })
}

/// Seconds since 1970 (UTC).
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token with these claims, and an hour to live unless they say otherwise.
pub fn token(claims: Value) -> String {
    signed(claims, SECRET)
}

/// The same, signed by another secret.
pub fn signed(mut claims: Value, secret: &str) -> String {
    let fields = claims.as_object_mut().expect("an object");
    fields.entry("exp").or_insert(json!(now() + 3_600));
    fields.entry("sub").or_insert(json!("somebody"));
    let key = EncodingKey::from_secret(secret.as_bytes()).expect("a key");
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
}

/// A token that may do these things, by words.
pub fn scoped(scope: &str) -> String {
    token(json!({ "scope": scope }))
}

/// A token that may do these things, in these collections only.
pub fn limited(scope: &str, collections: &[&str]) -> String {
    token(json!({ "scope": scope, "collections": collections }))
}

/// A token that was right ten minutes ago.
pub fn expired() -> String {
    token(json!({ "scope": "admin", "exp": now() - 600 }))
}
