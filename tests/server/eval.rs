//! `ibid eval`: a small set of questions, measured against the real server.

use crate::cli::{home, ibid};
use crate::support::Server;
use crate::support::files::{self, QUESTIONS};
use serde_json::{Value, json};
use std::path::Path;

/// The questions about the report with their pages moved by `shift`, one about the handbook with its span, and one of which only the
/// answer is known.
fn write_questions(home: &Path, name: &str, shift: usize) {
    let mut lines: Vec<Value> = QUESTIONS
        .iter()
        .enumerate()
        .map(
            |(n, (question, page))| json!({"id": format!("q{n}"), "question": question, "document": "report.pdf", "pages": [page + shift]}),
        )
        .collect();
    let text = String::from_utf8(files::handbook("handbook.md").bytes).expect("UTF-8");
    let sentence = "In case of fire, leave by the north stairs";
    let byte = text.find(sentence).expect("the sentence");
    let start = text[..byte].chars().count();
    lines.push(json!({
        "id": "stairs", "question": "Which stairs are used in case of fire?", "document": "handbook.md",
        "spans": [[start, start + sentence.chars().count()]]
    }));
    lines.push(json!({"id": "budget", "question": QUESTIONS[1].0, "answer": "$4.2 million", "kind": "of whoever keeps the set"}));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(home.join(name), lines.join("\n")).expect("writing");
}

fn write_documents(home: &Path) {
    std::fs::create_dir(home.join("documents")).expect("a directory");
    for file in [files::report("report.pdf"), files::handbook("handbook.md")] {
        std::fs::write(home.join("documents").join(&file.name), &file.bytes).expect("writing");
    }
}

fn mean(report: &Value, run: usize, metric: &str) -> f64 {
    report["runs"][run]["metrics"][metric]["mean"]
        .as_f64()
        .unwrap_or_else(|| panic!("{metric} in {report}"))
}

#[tokio::test]
async fn collections_and_modes_are_measured_side_by_side_and_gated() {
    let home = home();
    write_documents(home.path());
    write_questions(home.path(), "good.jsonl", 0);
    write_questions(home.path(), "moved.jsonl", 10);
    let server = ["--server", Server::shared().url(), "--collection", "eval-modes"];
    let run = async |args: &[&str]| ibid(home.path(), &[args, &server].concat()).await;
    run(&["ingest", "-r", "documents"]).await.ok();

    let modes = ["--mode", "balanced", "--mode", "speed"];
    let output = run(&[&["eval", "good.jsonl", "--html", "report.html", "--json"], &modes[..]].concat()).await;
    assert_eq!(output.err, "", "no progress in a pipe");
    let report = output.json();
    assert_eq!((&report["format"], &report["questions"]), (&json!(1), &json!(6)));
    for (metric, expected) in [
        ("hit@1", 1.0),
        ("mrr@20", 1.0),
        ("ndcg@10", 1.0),
        ("recall@5", 1.0),
        ("gold_cited", 1.0),
        ("exact_citations", 1.0),
        ("answer_number", 1.0),
    ] {
        assert_eq!(mean(&report, 0, metric), expected, "{metric} in {report}");
    }
    // The sentence is a part of its chunk.
    assert!((0.01..0.9).contains(&mean(&report, 0, "iou@5")), "{report}");
    let run_0 = &report["runs"][0];
    assert_eq!(
        (&run_0["label"], &run_0["metrics"]["hit@1"]["n"]),
        (&json!("eval-modes balanced"), &json!(5))
    );
    assert_eq!(run_0["citations"]["exact"], run_0["citations"]["total"]);
    assert!(run_0["citations"]["total"].as_u64() >= Some(6), "{run_0}");
    assert!(run_0["latency"]["answer_p95_ms"].as_f64() > Some(0.0), "{run_0}");
    assert!(run_0["differences"].as_object().expect("an object").is_empty());
    assert_eq!(report["runs"][1]["differences"]["hit@1"]["n"], 5, "{report}");
    let page = std::fs::read_to_string(home.path().join("report.html")).expect("the report");
    assert!(
        page.contains("<svg") && page.contains(QUESTIONS[3].0) && page.contains("north stairs"),
        "{page}"
    );
    assert!(
        !page.contains("<script") && !page.contains(" src=") && !page.contains("href="),
        "{page}"
    );

    // The table is for people, and says the same.
    let out = run(&["eval", "good.jsonl", "--mode", "balanced", "--no-answers"]).await.ok();
    assert!(
        out.contains("hit@1") && out.contains("1.000 [1.000, 1.000]") && !out.contains("answered"),
        "{out}"
    );

    std::fs::write(home.path().join("before.json"), report.to_string()).expect("writing");
    let gated = ["--mode", "balanced", "--gate", "before.json", "--gate", "hit@5>=1"];
    let passed = run(&[&["eval", "good.jsonl"], &gated[..]].concat()).await;
    assert_eq!(passed.code, Some(0), "{}", passed.err);
    assert!(passed.err.contains("Gate passed"), "{}", passed.err);
    // The same questions, but what they are about is not where it was.
    let err = run(&[&["eval", "moved.jsonl"], &gated[..]].concat()).await.failed(1);
    for says in [
        "eval-modes balanced: hit@1 is worse than in before.json: -0.800",
        "eval-modes balanced: hit@5 is 0.200, and must be at least 1",
        "gate failed",
    ] {
        assert!(err.contains(says), "{says} is not in {err}");
    }
    assert!(!err.contains("exact_citations is worse"), "{err}");
    let err = run(&["eval", "good.jsonl", "--mode", "comprehensive", "--gate", "before.json"])
        .await
        .failed(2);
    assert!(err.contains("no run `eval-modes comprehensive`"), "{err}");
}

#[tokio::test]
async fn pipelines_are_tried_on_documents_and_leave_nothing_behind() {
    let home = home();
    write_documents(home.path());
    write_questions(home.path(), "questions.jsonl", 0);
    for tokens in [60, 200] {
        let pipeline = json!({ "chunker": { "plugin": "recursive", "config": { "target_tokens": tokens } } });
        std::fs::write(home.path().join(format!("t{tokens}.json")), pipeline.to_string()).expect("writing");
    }
    let server = Server::shared();
    let args = [
        "eval",
        "questions.jsonl",
        "--documents",
        "documents",
        "--no-answers",
        "--json",
        "--server",
        server.url(),
    ];
    let pipelines = ["--pipeline", "t60.json", "--pipeline", "t200.json"];
    let report = ibid(home.path(), &[&args[..], &pipelines].concat()).await.json();
    assert_eq!(
        (&report["runs"][0]["label"], &report["runs"][1]["label"]),
        (&json!("t60"), &json!("t200"))
    );
    assert_eq!(mean(&report, 0, "hit@5"), 1.0);
    assert!(mean(&report, 0, "precision@5") > mean(&report, 1, "precision@5"), "{report}");
    for run in 0..2 {
        let name = report["runs"][run]["collection"].as_str().expect("a name");
        server.api().get(&format!("/collections/{name}/info")).await.expect(404);
    }
}

#[tokio::test]
async fn what_cannot_be_measured_is_an_error_before_anything_is_measured() {
    let home = home();
    write_documents(home.path());
    write_questions(home.path(), "questions.jsonl", 0);
    let server = ["--server", Server::shared().url()];
    let run = async |args: &[&str]| ibid(home.path(), &[args, &server].concat()).await;
    run(&["ingest", "documents/report.pdf", "--collection", "eval-half"]).await.ok();
    let err = run(&["eval", "questions.jsonl", "--collection", "eval-half"]).await.failed(2);
    assert!(err.contains("1 document") && err.contains("handbook.md"), "{err}");
    let err = run(&["eval", "questions.jsonl", "--collection", "eval-none"]).await.failed(1);
    assert!(err.contains("COLLECTION_NOT_FOUND"), "{err}");
    std::fs::write(home.path().join("broken.jsonl"), "{\"question\": \"Why?\"}").expect("writing");
    let err = run(&["eval", "broken.jsonl", "--collection", "eval-half"]).await.failed(2);
    assert!(err.contains("broken.jsonl, line 1"), "{err}");
    run(&["eval", "questions.jsonl"]).await.failed(2);
    let gate = ["--gate", "hit@7>=1"];
    let err = run(&[&["eval", "questions.jsonl", "--collection", "eval-half"], &gate[..]].concat())
        .await
        .failed(2);
    assert!(err.contains("hit@7"), "{err}");
}
