//! The log as machines read it.

use crate::support::files::{self, QUESTIONS};
use crate::support::{Server, answered};
use reqwest::Method;
use serde_json::{Value, json};

/// The lines of a log, each of which must be a JSON object.
fn lines(server: &Server) -> Vec<Value> {
    let log = server.whole_log();
    log.lines()
        // What the program tells people is no log.
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}")))
        .collect()
}

/// A field of a line, of the spans that it stands in or its own.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.filter_map(|span| span.get(name)).next_back().or_else(|| line.get(name))
}

#[tokio::test]
async fn lines_of_a_request_carry_its_names_and_its_answer_is_one_line() {
    let mut server = Server::start("logs", &["log.format=json"]);
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let ask = api
        .request(Method::POST, "/query?token=secret-in-the-url")
        .header("X-Request-Id", "asked-by-a-test")
        .json(&json!({ "query": QUESTIONS[0].0 }));
    let answer = api.send(ask).await.expect(200);
    let mut socket = server.socket("/ws/query").await;
    socket.query("a", json!({ "query": QUESTIONS[1].0 })).await;
    let messages = socket.answer("a").await;
    answered(&messages);
    socket.close().await;
    server.terminate();
    assert!(server.stopped().await.success());

    let lines = lines(&server);
    let of = |name: &str, value: &Value| -> Vec<&Value> { lines.iter().filter(|line| field(line, name) == Some(value)).collect() };
    let asked = of("request_id", &json!("asked-by-a-test"));
    let access: Vec<&&Value> = asked.iter().filter(|line| line["message"] == "answered").collect();
    let [line] = access[..] else { panic!("not one line: {access:?}") };
    assert_eq!(
        (&line["level"], &line["method"], &line["route"], &line["status"]),
        (&json!("INFO"), &json!("POST"), &json!("/query"), &json!(200))
    );
    assert!(line["milliseconds"].is_u64(), "{line}");
    // The query runs in a task of its own, and is of this request still.
    let query = of("query_id", &answer["query_id"]);
    assert!(query.iter().any(|line| line["message"] == "query"), "{query:?}");
    assert!(
        query
            .iter()
            .all(|line| field(line, "request_id") == Some(&json!("asked-by-a-test"))),
        "{query:?}"
    );

    let streamed = &messages.last().expect("an end")["data"]["query_id"];
    let line = of("query_id", streamed);
    let line = line.iter().find(|line| line["message"] == "query").expect("the query's line");
    assert_eq!(field(line, "socket"), Some(&json!("/ws/query")));
    assert!(field(line, "session").is_some() && field(line, "request_id").is_some(), "{line}");

    let all = server.whole_log();
    assert!(
        !all.contains("secret-in-the-url") && !all.contains("Marlin"),
        "a credential or a question was logged"
    );
}
