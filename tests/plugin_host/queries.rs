//! Analyzers and formatters.

use super::*;

#[tokio::test]
async fn plans_are_checked() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[2]).unwrap();
    let budget = tight(Kind::Analyzer);
    let attrs = vec![("mode".to_owned(), "speed".to_owned())];
    for (name, reason, message) in [
        ("loop", "deadline", "ran longer than its 300 ms"),
        ("none", "invalid_result", "the plan has no search"),
        ("nan", "invalid_result", "search 0 has the weight NaN"),
        ("infinite", "invalid_result", "search 0 has the weight inf"),
        ("negative", "invalid_result", "search 0 has the weight -1"),
        ("blank", "invalid_result", "search 0 has no text"),
        ("filter", "invalid_result", "search 0 has a filter that is no JSON object"),
        ("limit", "invalid_result", "search 0 takes no candidates"),
        ("many", "limit", "1000 searches, with a limit of 32"),
        ("long", "limit", "exceeded a limit"),
    ] {
        let error = host.analyze(&plugin, &what(name), "who?", &attrs, &budget).await.expect_err(name);
        expect_reason(&error, Kind::Analyzer, reason, message);
        let plan = host.analyze(&plugin, &what(""), "who?", &attrs, &budget).await.unwrap();
        assert_eq!((plan.searches[0].text.as_str(), plan.searches[0].weight), ("who?", 1.0));
        assert_eq!(plan.attrs, [attrs[0].clone(), ("intent".to_owned(), "factual".to_owned())]);
    }
    let plan = host.analyze(&plugin, &what("narrow"), "who?", &attrs, &budget).await.unwrap();
    assert_eq!(
        plan.searches[0].filter.as_ref().and_then(|filter| filter["document_id"].as_str()),
        Some("d1")
    );
}

// Formatters

fn source(number: u32) -> Source {
    Source {
        citation_id: number,
        document_id: "d1".into(),
        name: "report.pdf".into(),
        at: Span::new(3, 9),
        page: Some(4),
        section: vec!["Results".into(), "Gains".into()],
        attrs: vec![],
    }
}

#[tokio::test]
async fn a_formatter_remembers_one_answer_and_no_other() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[3]).unwrap();
    for _ in 0..2 {
        let mut formatter = host.formatter(&plugin, "{}", &Budget::of(Kind::Formatter)).await.unwrap();
        assert_eq!(formatter.entry(&source(1)).await.unwrap(), "report.pdf, p. 4, Results > Gains");
        assert_eq!(formatter.mark(&[source(1)]).await.unwrap(), " [1; mark 1]");
        assert_eq!(formatter.mark(&[source(1), source(2)]).await.unwrap(), " [1, 2; mark 2]");
        assert_eq!(formatter.finish(&[source(1), source(2)]).await.unwrap(), "\n2 sources, 2 marks");
    }
}

#[tokio::test]
async fn a_formatter_that_crashed_is_over_and_one_that_failed_is_not() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[3]).unwrap();
    for (name, reason, then) in [
        ("panic", "trap", Err("ended")),
        ("loop", "deadline", Err("ended")),
        ("long", "limit", Err("ended")),
        ("fail", "failure", Ok(" [1; mark 3]")),
    ] {
        let mut formatter = host.formatter(&plugin, &what(name), &tight(Kind::Formatter)).await.unwrap();
        assert_eq!(formatter.mark(&[source(1)]).await.unwrap(), " [1; mark 1]");
        let error = formatter.mark(&[source(1)]).await.expect_err(name);
        expect_reason(&error, Kind::Formatter, reason, "plugin hostile-formatter@1.0.0 (formatter)");
        let after = formatter.mark(&[source(1)]).await;
        assert_eq!(after.as_deref().map_err(|error| error.reason.name()), then, "after {name}");
    }
}

#[tokio::test]
async fn more_answers_than_formatters_are_refused() {
    let _shared = PROCESS.read().await;
    let settings = HostSettings {
        max_answers: 1,
        max_wait: Duration::from_millis(20),
        ..HostSettings::default()
    };
    let host = Host::new(settings).unwrap();
    let plugin = host.load(&GUESTS[3]).unwrap();
    let budget = Budget::of(Kind::Formatter);
    let first = host.formatter(&plugin, "{}", &budget).await.unwrap();
    let error = host.formatter(&plugin, "{}", &budget).await.err().unwrap();
    expect_reason(&error, Kind::Formatter, "busy", "all instances were in use for 20 ms");
    drop(first);
    host.formatter(&plugin, "{}", &budget).await.unwrap();
}
