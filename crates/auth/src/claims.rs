//! The claims of a token, and the subject that is made from them.

use super::subject::{Role, Scope, Scopes, Subject};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// The most collection patterns that a token may hold.
const MAX_COLLECTIONS: usize = 1_000;

/// The claims that Ibid reads from a token. `iss`, `aud`, `exp` and `nbf` were verified before.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    exp: Number,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    scope: Words,
    #[serde(default)]
    role: Words,
    #[serde(default)]
    roles: Words,
    /// Absent allows all collections; `null` is malformed, and does not mean all.
    #[serde(default, deserialize_with = "present")]
    collections: Option<Words>,
}

/// A string of words that are separated by whitespace, or a list of strings.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let (text, list) = match self {
            Self::Text(text) => (text.as_str(), [].as_slice()),
            Self::List(list) => ("", list.as_slice()),
        };
        text.split_whitespace().chain(list.iter().map(|word| word.trim()))
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Words>, D::Error> {
    Words::deserialize(deserializer).map(Some)
}

impl Claims {
    /// Returns when the token expires, in seconds since 1970 (UTC).
    pub fn expires(&self) -> i64 {
        let seconds = self.exp.as_i64().or_else(|| self.exp.as_u64().map(|_| i64::MAX));
        // Fractions are allowed (RFC 7519, 2).
        seconds.unwrap_or_else(|| self.exp.as_f64().unwrap_or(0.0) as i64)
    }

    /// Returns the subject, or `None` if the token holds more than [`MAX_COLLECTIONS`] patterns. Scopes and roles that Ibid does not know
    /// are meant for other servers and are ignored.
    pub fn subject(self) -> Option<Subject> {
        let expires = self.expires();
        let roles = self.role.iter().chain(self.roles.iter()).filter_map(Role::parse);
        let scopes = self.scope.iter().filter_map(Scope::parse);
        let scopes: Scopes = scopes.chain(roles.flat_map(|role| role.scopes().iter().copied())).collect();
        let collections = self
            .collections
            .map(|patterns| patterns.iter().map(str::to_owned).collect::<Vec<String>>());
        if collections.as_ref().is_some_and(|patterns| patterns.len() > MAX_COLLECTIONS) {
            return None;
        }
        Some(Subject {
            id: self.sub.unwrap_or_default(),
            scopes,
            collections,
            expires: Some(expires),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn subject(claims: Value) -> Option<Subject> {
        serde_json::from_value::<Claims>(claims).ok()?.subject()
    }

    fn scopes(claims: Value) -> Vec<&'static str> {
        subject(claims).expect("claims").scopes.iter().map(Scope::name).collect()
    }

    #[test]
    fn scopes_come_from_lists_texts_and_roles() {
        assert_eq!(scopes(json!({ "exp": 1, "scope": "read  write openid" })), ["read", "write"]);
        assert_eq!(scopes(json!({ "exp": 1, "scope": ["monitor", "profile"] })), ["monitor"]);
        assert_eq!(scopes(json!({ "exp": 1, "role": "viewer" })), ["read"]);
        assert_eq!(
            scopes(json!({ "exp": 1, "roles": ["user", "guest"], "scope": "config" })),
            ["read", "write", "config"]
        );
        assert_eq!(scopes(json!({ "exp": 1, "roles": "manager" })), ["read", "write", "delete"]);
        assert_eq!(scopes(json!({ "exp": 1, "role": "admin" })), Scope::ALL.map(Scope::name));
        assert_eq!(scopes(json!({ "exp": 1 })), [""; 0]);
    }

    #[test]
    fn all_collections_are_allowed_only_without_the_claim() {
        let collections = |value: Value| subject(json!({ "exp": 1, "collections": value })).map(|subject| subject.collections);
        assert_eq!(subject(json!({ "exp": 1 })).map(|subject| subject.collections), Some(None));
        assert_eq!(collections(json!([])), Some(Some(vec![])));
        assert_eq!(
            collections(json!("a team-*")),
            Some(Some(vec!["a".to_owned(), "team-*".to_owned()]))
        );
        assert_eq!(collections(json!(["a b"])), Some(Some(vec!["a b".to_owned()])));
        for malformed in [json!(null), json!(7), json!({ "a": 1 }), json!([1]), json!(vec!["x"; 1_001])] {
            assert_eq!(collections(malformed.clone()), None, "{malformed}");
        }
    }

    #[test]
    fn expiry_is_read_from_every_kind_of_number() {
        let expires = |exp: Value| {
            serde_json::from_value::<Claims>(json!({ "exp": exp }))
                .ok()
                .map(|claims| claims.expires())
        };
        assert_eq!(expires(json!(17)), Some(17));
        assert_eq!(expires(json!(17.9)), Some(17));
        assert_eq!(expires(json!(u64::MAX)), Some(i64::MAX));
        assert_eq!(expires(json!("17")), None);
    }
}
