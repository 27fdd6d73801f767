//! Tests of what each scope refuses without it.

use super::*;
use ibid_protocol::ErrorCode;

/// A subject of these scopes that sees the collections whose names begin with `open-`.
fn subject(scopes: impl IntoIterator<Item = Scope>) -> Arc<Subject> {
    Arc::new(Subject {
        scopes: scopes.into_iter().collect(),
        collections: Some(vec!["open-*".to_owned()]),
        ..Subject::anyone()
    })
}

fn check<S: ScopeType>() {
    let others = || Scope::ALL.into_iter().filter(|scope| *scope != S::SCOPE && *scope != Scope::Admin);
    let code = |scopes: Vec<Scope>| Permission::<S>::of(&subject(scopes)).err().map(|error| error.code);
    assert_eq!(code(others().collect()), Some(ErrorCode::InsufficientScope), "{}", S::SCOPE);
    assert_eq!(code(Vec::new()), Some(ErrorCode::InsufficientScope), "{}", S::SCOPE);
    assert_eq!(code(vec![S::SCOPE]), None, "{}", S::SCOPE);
    assert_eq!(code(vec![Scope::Admin]), None, "admin allows {}", S::SCOPE);

    let Ok(permission) = Permission::<S>::of(&subject([S::SCOPE])) else {
        panic!("{} is refused", S::SCOPE);
    };
    assert_eq!(permission.require_collection("open-one"), Ok(()));
    let error = permission.require_collection("closed").unwrap_err();
    assert_eq!(error.code, ErrorCode::CollectionNotFound, "{}", S::SCOPE);
}

#[test]
fn reading_needs_its_scope_and_a_collection_that_the_subject_sees() {
    check::<Read>();
}

#[test]
fn writing_needs_its_scope_and_a_collection_that_the_subject_sees() {
    check::<Write>();
}

#[test]
fn deleting_needs_its_scope_and_a_collection_that_the_subject_sees() {
    check::<Delete>();
}

#[test]
fn configuring_needs_its_scope_and_a_collection_that_the_subject_sees() {
    check::<Config>();
}

#[test]
fn administration_needs_its_scope_and_a_collection_that_the_subject_sees() {
    check::<Admin>();
}

#[test]
fn a_collection_that_is_not_seen_is_refused_like_one_that_is_not_there() {
    let Ok(permission) = Permission::<Read>::of(&subject([Scope::Read])) else {
        panic!("reading is refused");
    };
    assert_eq!(
        permission.require_collection("closed"),
        Err(ApiError::collection_not_found("closed"))
    );
}
