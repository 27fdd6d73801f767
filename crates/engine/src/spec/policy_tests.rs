//! Tests of what follows when a plugin fails.

use super::*;
use crate::fakes::query::broken;
use ibid_plugin_host::Reason;

fn policy(on_failure: OnFailure, has_fallback: bool) -> FailurePolicy {
    FailurePolicy { on_failure, has_fallback }
}

#[test]
fn the_policy_says_how_a_stage_goes_on() {
    let remedy = |on_failure, has_fallback| {
        let outcome = policy(on_failure, has_fallback).apply("analyzer", broken());
        outcome.ok().map(|(remedy, _)| remedy)
    };
    assert_eq!(remedy(OnFailure::Fail, false), None);
    assert_eq!(remedy(OnFailure::Fail, true), None);
    assert_eq!(remedy(OnFailure::Skip, false), Some(Remedy::Skip));
    assert_eq!(remedy(OnFailure::Fallback, true), Some(Remedy::Fallback));
    assert_eq!(remedy(OnFailure::Fallback, false), None, "there is nothing to fall back to");
}

#[test]
fn another_plugin_does_not_help_where_the_server_failed() {
    for reason in [
        Reason::Busy(Duration::ZERO),
        Reason::Host("its thread is gone".to_owned()),
        Reason::NotFound("rules".to_owned()),
        Reason::Config("no object".to_owned()),
    ] {
        for on_failure in [OnFailure::Skip, OnFailure::Fallback] {
            let error = PluginError {
                plugin: None,
                reason: reason.clone(),
            };
            assert!(policy(on_failure, true).apply("analyzer", error).is_err(), "{reason:?}");
        }
    }
}

#[test]
fn the_warning_names_stage_reason_and_policy() {
    let (_, warning) = policy(OnFailure::Skip, false).apply("citations", broken()).unwrap();
    let told = (warning.stage.as_str(), warning.reason.as_str(), warning.policy.as_str());
    assert_eq!(told, ("citations", "trap", "skip"));
}
