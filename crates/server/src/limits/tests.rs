use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn somebody(id: &str) -> Subject {
    Subject {
        id: id.to_owned(),
        ..Subject::anyone()
    }
}

fn set_requests(settings: &mut LimitSettings, rate: PerMinute) {
    (settings.subject_requests, settings.address_requests) = (rate.subject, rate.address);
}

fn set_queries(settings: &mut LimitSettings, rate: PerMinute) {
    (settings.subject_queries, settings.address_queries) = (rate.subject, rate.address);
}

fn limits(change: impl FnOnce(&mut LimitSettings)) -> Limits {
    let mut settings = LimitSettings::default();
    change(&mut settings);
    Limits::new(&settings)
}

const FEW: PerMinute = PerMinute { subject: 2, address: 3 };

#[test]
fn a_budget_is_of_its_subject_and_of_its_address_and_of_no_other() {
    let limits = limits(|settings| set_queries(settings, FEW));
    let take = |who: &str, from: &str| {
        limits
            .take(Budget::Query, &somebody(who), address(from))
            .map(|standing| standing.map(|standing| standing.remaining))
            .map_err(|refused| refused.error.details["limit"].clone())
    };
    assert_eq!(take("ada", "192.0.2.1"), Ok(Some(1)));
    assert_eq!(take("ada", "192.0.2.2"), Ok(Some(0)));
    assert_eq!(take("ada", "192.0.2.3"), Err(2.into()), "the subject's, wherever it is");
    assert_eq!(take("", "192.0.2.1"), Ok(Some(1)));
    assert_eq!(take("bob", "192.0.2.1"), Ok(Some(0)));
    assert_eq!(take("eve", "192.0.2.1"), Err(3.into()), "the address's, whoever it is");
    assert_eq!(take("", "192.0.2.9"), Ok(Some(2)));
    // Another budget is another one.
    assert!(limits.take(Budget::Upload, &somebody("ada"), address("192.0.2.1")).is_ok());
}

#[test]
fn a_refusal_says_when_to_come_again() {
    let limits = limits(|settings| set_requests(settings, FEW));
    let take = || limits.take(Budget::Request, &Subject::anyone(), address("192.0.2.1"));
    for _ in 0..3 {
        take().expect("within the budget");
    }
    let refused = take().expect_err("beyond the budget");
    assert_eq!(refused.error.code, ErrorCode::RateLimitExceeded);
    // One of three in a minute.
    let wait = refused.error.details["retry_after"].as_u64().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    let standing = refused.standing.expect("where it stands");
    assert_eq!((standing.limit, standing.remaining, standing.reset), (3, 0, 60));
}

#[test]
fn a_host_cannot_hide_among_its_own_ipv6_addresses() {
    let limits = limits(|settings| set_queries(settings, FEW));
    let take = |n: u32, net: &str| limits.take(Budget::Query, &Subject::anyone(), address(&format!("2001:db8:0:{net}::{n:x}")));
    assert_eq!((0..20).filter(|n| take(*n, "1").is_ok()).count(), 3);
    assert!(take(0, "2").is_ok());
}

#[test]
fn who_is_exempt_has_no_limit_by_address_but_its_own_as_a_subject() {
    let limits = limits(|settings| {
        set_queries(settings, FEW);
        settings.queries_at_once = 1;
        settings.connections = 1;
    });
    let here = address("127.0.0.1");
    for _ in 0..10 {
        assert_eq!(limits.take(Budget::Query, &Subject::anyone(), here).ok(), Some(None));
    }
    let held: Vec<_> = (0..10)
        .map(|_| {
            (
                limits.query(&Subject::anyone(), here).expect("no limit"),
                limits.connection(here).expect("no limit"),
            )
        })
        .collect();
    assert!(held.iter().all(|(query, connection)| query.is_none() && connection.is_none()));
    assert_eq!(
        (0..10)
            .filter(|_| limits.take(Budget::Query, &somebody("ada"), here).is_ok())
            .count(),
        2
    );
}

#[test]
fn a_rate_of_zero_is_no_limit() {
    let limits = limits(|settings| set_queries(settings, PerMinute { subject: 0, address: 0 }));
    assert!((0..100_000).all(|_| limits.take(Budget::Query, &somebody("ada"), address("192.0.2.1")).is_ok()));
}

#[test]
fn places_are_free_again_when_they_are_left() {
    let limits = limits(|settings| settings.queries_at_once = 2);
    let ada = || limits.query(&somebody("ada"), address("192.0.2.1"));
    let first = ada().expect("a place");
    let _second = ada().expect("a place");
    let refused = ada().err().expect("no place");
    assert_eq!(
        (refused.error.code, &refused.error.details["retry_after"]),
        (ErrorCode::RateLimitExceeded, &1.into())
    );
    assert!(limits.query(&somebody("bob"), address("192.0.2.1")).is_ok());
    drop(first);
    assert!(ada().is_ok());
}

#[test]
fn clients_beyond_the_table_share_budgets_and_memory_stays_bounded() {
    let limits = limits(|settings| {
        set_queries(settings, FEW);
        settings.tracked_clients = 100;
    });
    let mut refused = 0;
    for n in 0..20_000_u32 {
        let from = IpAddr::from(std::net::Ipv4Addr::from(0xC000_0000 + n));
        refused += usize::from(limits.take(Budget::Query, &Subject::anyone(), from).is_err());
    }
    // 1,024 shared budgets of 3, and 100 of their own.
    assert!((20_000 - 1_024 * 4 - 200..20_000).contains(&refused), "{refused}");
    assert!(limits.queries.address.forget_idle() <= 100);
}

#[test]
fn many_wrong_credentials_bar_an_address_for_a_while_and_others_not() {
    let limits = limits(|settings| settings.failed_authentications = 3);
    let bad = address("192.0.2.1");
    for _ in 0..3 {
        limits.authentication_failed(bad);
        assert!(limits.may_authenticate(bad).is_ok());
    }
    limits.authentication_failed(bad);
    let error = limits.may_authenticate(bad).expect_err("barred");
    assert_eq!(error.code, ErrorCode::RateLimitExceeded);
    assert!(
        error.details["retry_after"].as_u64().is_some_and(|wait| (1..=20).contains(&wait)),
        "{error:?}"
    );
    assert!(limits.may_authenticate(address("192.0.2.2")).is_ok());
    // Not the operator's own programs.
    for _ in 0..100 {
        limits.authentication_failed(address("127.0.0.1"));
    }
    assert!(limits.may_authenticate(address("127.0.0.1")).is_ok());
}
