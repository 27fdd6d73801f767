//! A subject: its scopes, and the collections that it may access.

use ibid_protocol::{ApiError, ErrorCode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A permission of a subject. `admin` includes all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Query, search, list and read.
    Read,
    /// Upload documents and create collections.
    Write,
    /// Delete documents and collections.
    Delete,
    /// Change pipelines, plugins and settings.
    Config,
    /// Read metrics.
    Monitor,
    /// Everything.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 6] = [
        Scope::Read,
        Scope::Write,
        Scope::Delete,
        Scope::Config,
        Scope::Monitor,
        Scope::Admin,
    ];

    /// Returns the scope's name in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Config => "config",
            Self::Monitor => "monitor",
            Self::Admin => "admin",
        }
    }

    /// Returns the scope that tokens call `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Returns the set of all scopes.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Returns whether the set allows `scope`, by name or because it has `admin`.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Returns the scopes that the set names, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// A name for a set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and writes.
    User,
    /// Deletes as well.
    Manager,
    /// Everything.
    Admin,
}

impl Role {
    /// Returns the role that tokens call `name`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "viewer" => Some(Self::Viewer),
            "user" => Some(Self::User),
            "manager" => Some(Self::Manager),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Returns the scopes of the role.
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Viewer => &[Scope::Read],
            Self::User => &[Scope::Read, Scope::Write],
            Self::Manager => &[Scope::Read, Scope::Write, Scope::Delete],
            Self::Admin => &Scope::ALL,
        }
    }
}

/// The client that sent a request or opened a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The token's `sub`, or the API key's name. Empty where authentication is off.
    pub id: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Names or globs (`*` matches any characters) of the collections that it may access; `None` for all.
    pub collections: Option<Vec<String>>,
    /// When its credentials expire, in seconds since 1970 (UTC); `None` for never.
    pub expires: Option<i64>,
}

impl Subject {
    /// Returns the subject of every client where authentication is off. It may do everything.
    pub fn anyone() -> Self {
        Self {
            id: String::new(),
            scopes: Scopes::all(),
            collections: None,
            expires: None,
        }
    }

    /// Returns the subject of a client without credentials where authentication is on. It may do nothing.
    pub fn nobody() -> Self {
        Self {
            id: String::new(),
            scopes: Scopes::default(),
            collections: Some(Vec::new()),
            expires: None,
        }
    }

    /// Returns whether it may access the collection at all. Answers hold nothing of a collection that it may not access, counts included.
    pub fn sees(&self, collection: &str) -> bool {
        match &self.collections {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| matches(pattern, collection)),
        }
    }

    /// Returns whether it may access every collection, including those that do not exist yet.
    pub fn sees_all(&self) -> bool {
        self.collections.is_none()
    }

    /// Checks that it has a scope.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`, with the name of the missing scope.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.allow(scope) {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::InsufficientScope,
            format!("This needs the scope `{scope}`, which these credentials do not have."),
        )
        .with("scope", scope.name()))
    }

    /// Checks that it has a scope, and that it may access the collection. To the client, a collection that it may not access does not
    /// exist.
    ///
    /// # Errors
    /// `COLLECTION_NOT_FOUND` or `INSUFFICIENT_SCOPE`.
    pub fn require_in(&self, scope: Scope, collection: &str) -> Result<(), ApiError> {
        self.require(scope)?;
        if self.sees(collection) {
            Ok(())
        } else {
            Err(ApiError::collection_not_found(collection))
        }
    }
}

/// Returns whether `pattern` (`*` matches any characters, or none) matches `name`. Takes linear time but for the backtracking over one `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if Some(byte) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // The last `*` takes one byte more.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(patterns: &[&str], scopes: &[Scope]) -> Subject {
        Subject {
            id: "somebody".to_owned(),
            scopes: scopes.iter().copied().collect(),
            collections: Some(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()),
            expires: None,
        }
    }

    #[test]
    fn anyone_may_do_everything() {
        let anyone = Subject::anyone();
        for scope in Scope::ALL {
            assert!(anyone.require_in(scope, "documents").is_ok());
        }
    }

    #[test]
    fn scopes_are_what_they_say_and_admin_is_all() {
        let reader = only(&["*"], &[Scope::Read]);
        assert!(reader.require(Scope::Read).is_ok());
        assert_eq!(
            reader.require(Scope::Delete).map_err(|error| error.code),
            Err(ErrorCode::InsufficientScope)
        );
        assert!(only(&["*"], &[Scope::Admin]).require(Scope::Config).is_ok());
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.name()), Some(scope));
        }
    }

    #[test]
    fn a_collection_that_is_not_seen_does_not_exist() {
        let subject = only(&["team-*", "public"], &[Scope::Read]);
        for seen in ["team-a", "team-", "public"] {
            assert!(subject.sees(seen), "{seen}");
        }
        for unseen in ["team", "publics", "xteam-a", ""] {
            assert_eq!(
                subject.require_in(Scope::Read, unseen).map_err(|error| error.code),
                Err(ErrorCode::CollectionNotFound),
                "{unseen}"
            );
        }
        assert!(!only(&[], &[Scope::Read]).sees("documents"));
        assert!(only(&["a*b*c"], &[]).sees("a-b-b-c") && !only(&["a*b*c"], &[]).sees("a-c-b"));
    }

    proptest! {
        #[test]
        fn a_name_means_itself_alone(name in "[a-z-]{1,12}", other in "[a-z-]{1,12}") {
            prop_assert!(matches(&name, &name));
            prop_assert_eq!(matches(&name, &other), name == other);
        }

        #[test]
        fn a_star_stands_for_anything(before in "[a-z]{0,5}", between in ".{0,10}", after in "[a-z]{0,5}") {
            prop_assert!(
                matches(&format!("{before}*{after}"), &format!("{before}{between}{after}")),
                "{} {} {}", before, between, after
            );
        }
    }
}
