//! The scopes as types, and the proof that a subject has one.

use ibid_auth::{Scope, Subject};
use ibid_protocol::ApiError;
use std::marker::PhantomData;
use std::sync::Arc;

/// A scope as a type.
pub trait ScopeType {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! scope_types {
    ($($name:ident)*) => {$(
        #[doc = concat!("The scope `", stringify!($name), "`, as the type of what it allows.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl ScopeType for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

scope_types!(Read Write Delete Config Admin);

/// The proof that a subject has the scope `S`.
pub(crate) struct Permission<S> {
    /// The subject.
    pub subject: Arc<Subject>,
    scope: PhantomData<S>,
}

impl<S: ScopeType> Permission<S> {
    /// Checks that a subject has the scope.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`.
    pub fn of(subject: &Arc<Subject>) -> Result<Self, ApiError> {
        subject.require(S::SCOPE)?;
        Ok(Self {
            subject: subject.clone(),
            scope: PhantomData,
        })
    }

    /// Checks that the subject may use a collection.
    ///
    /// # Errors
    /// `COLLECTION_NOT_FOUND`: to the client, a collection that it may not see does not exist.
    pub fn require_collection(&self, name: &str) -> Result<(), ApiError> {
        self.subject.require_in(S::SCOPE, name)
    }
}

#[cfg(test)]
#[path = "permission_tests.rs"]
mod tests;
