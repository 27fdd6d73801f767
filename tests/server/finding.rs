//! What is found and quoted: the right one of many alike documents, words of other scripts, the figure that was asked for.

use crate::support::files::File;
use crate::support::{Api, Server};
use serde_json::{Value, json};

async fn answer(api: &Api, collection: &str, question: &str) -> Value {
    let request = json!({ "query": question, "collection_name": collection });
    api.post("/query", request).await.expect(200)
}

async fn first_source(api: &Api, collection: &str, query: &str) -> String {
    let hits = api
        .search(json!({ "query": query, "collection_name": collection, "limit": 3 }))
        .await;
    hits[0]["metadata"]["source"].as_str().expect("a source").to_owned()
}

#[tokio::test]
async fn of_filings_that_say_the_same_the_one_that_is_named_is_found() {
    let api = Server::shared().api();
    let filings = [
        "NORTHWIND_2019_10K.txt",
        "NORTHWIND_2020_10K.txt",
        "NORTHWIND_2020Q2_10Q.txt",
        "BLUEHARBOR_2019_10K.txt",
        "BLUEHARBOR_2020_10K.txt",
        "KITEWORKS_2020_10K.txt",
    ];
    for (n, name) in filings.iter().enumerate() {
        let text = format!(
            "Consolidated results of the company.\n\nNet sales were {}.{n} million dollars.\n",
            400 + n
        );
        api.ingest("finding-filings", &File::new(name, text)).await;
    }
    for (question, expected) in [
        ("What were Northwind's net sales in FY2019?", "NORTHWIND_2019_10K.txt"),
        ("What were Northwind's net sales in FY20?", "NORTHWIND_2020_10K.txt"),
        ("What were the net sales of Northwind in Q2 of 2020?", "NORTHWIND_2020Q2_10Q.txt"),
        (
            "How high were the net sales of Blue Harbor from 2018 to 2019?",
            "BLUEHARBOR_2019_10K.txt",
        ),
        ("What were the net sales of Kite in 2020?", "KITEWORKS_2020_10K.txt"),
    ] {
        assert_eq!(first_source(&api, "finding-filings", question).await, expected, "{question}");
    }
}

#[tokio::test]
async fn words_of_the_query_are_highlighted_where_they_stand() {
    let api = Server::shared().api();
    let text = "Überschrift.\n\nThe notice period is three months. All notices are given in writing.";
    let document = api.ingest("finding-highlight", &File::new("terms.txt", text)).await;
    let hits = api
        .search(json!({ "query": "notice periods", "collection_name": "finding-highlight" }))
        .await;
    let marked = hits[0]["highlight"].as_array().expect("highlight");
    let mut words = Vec::new();
    for mark in marked {
        let range = format!("?start={}&end={}", mark["start_char"], mark["end_char"]);
        words.push(api.text(document["document_id"].as_str().expect("an id"), &range).await);
    }
    assert_eq!(words, ["notice", "period", "notices"]);
}

#[tokio::test]
async fn a_search_joins_neighbours_and_leaves_out_what_is_beside_the_point() {
    let api = Server::shared().api();
    let collection = "finding-worth";
    let chunker = json!({ "plugin": "recursive@^1", "config": { "target_tokens": 30, "overlap_tokens": 0, "min_tokens": 10 } });
    let new = json!({ "name": collection, "pipeline": { "chunker": chunker } });
    api.post("/collections", new).await.expect(201);
    let text = "The canteen serves soup on Mondays and fish on Fridays, and coffee is free of charge for everybody who works in the building.\n\n\
        The notice period for employees is three months, counted from the end of the month in which notice of termination is given.\n\n\
        During the probation the notice period for employees is two weeks, and notice of termination may be given on any working day.\n\n\
        Bicycles are parked behind the house, never in the hall, since the fire brigade wants its doors to be free at all times.\n";
    let document = api.ingest(collection, &File::new("handbook.txt", text)).await;
    assert_eq!(document["chunks_created"], 4, "a paragraph each");
    let search = async |threshold: Option<f64>| {
        let mut request = json!({ "query": "What is the notice period for employees?", "collection_name": collection });
        if let Some(threshold) = threshold {
            request["relative_threshold"] = json!(threshold);
        }
        api.search(request).await
    };

    let hits = search(None).await;
    assert_eq!(hits.len(), 1, "{hits:?}");
    let content = hits[0]["content"].as_str().expect("content");
    assert!(
        content.starts_with("The notice period for") && content.ends_with("any working day."),
        "{content}"
    );
    let (start, end) = (&hits[0]["metadata"]["start_char"], &hits[0]["metadata"]["end_char"]);
    let range = format!("?start={start}&end={end}");
    assert_eq!(api.text(document["document_id"].as_str().expect("an id"), &range).await, content);

    let all = search(Some(0.0)).await;
    assert_eq!(all.len(), 4, "each chunk for itself: {all:?}");
    let next = json!({ "query": "What is the notice period for employees?", "collection_name": collection, "offset": 1 });
    assert_eq!(api.search(next).await, all[1..], "and so for whoever turns pages");
}

#[tokio::test]
async fn other_scripts_are_searched_and_quoted() {
    let api = Server::shared().api();
    for (name, text) in [
        ("ja.txt", "会社の概要です。当期の売上高は前年より増加した。従業員は百人です。"),
        ("zh.txt", "公司成立于上海。公司的净利润增长了一倍。员工有一百名。"),
        (
            "ru.txt",
            "Компания основана в Москве. Прибыль выросла вдвое за год. Сотрудников сто.",
        ),
        (
            "ar.txt",
            "تأسست الشركة في القاهرة. ارتفعت الأرباح في العام الماضي. عدد الموظفين مئة.",
        ),
    ] {
        api.ingest("finding-scripts", &File::new(name, text)).await;
    }
    for (query, name, sentence) in [
        ("売上高", "ja.txt", "当期の売上高は前年より増加した。"),
        ("净利润", "zh.txt", "公司的净利润增长了一倍。"),
        ("прибыль", "ru.txt", "Прибыль выросла вдвое за год."),
        ("الأرباح", "ar.txt", "ارتفعت الأرباح في العام الماضي."),
    ] {
        let request = json!({ "query": query, "collection_name": "finding-scripts", "search_type": "keyword", "limit": 1 });
        let hits = api.search(request).await;
        assert_eq!(hits[0]["metadata"]["source"], name, "{query}");
        assert!(!hits[0]["highlight"].as_array().expect("highlight").is_empty(), "{query}");
        assert!(hits[0]["content"].as_str().expect("text").contains(sentence), "{query}");
    }
    let answer = answer(&api, "finding-scripts", "当期の売上高は増加したか").await;
    let quoted: Vec<&Value> = answer["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .map(|source| &source["content"])
        .collect();
    assert!(quoted.contains(&&json!("当期の売上高は前年より増加した。")), "{answer}");
}

#[tokio::test]
async fn parts_of_german_compounds_are_found() {
    let api = Server::shared().api();
    let pipeline = json!({ "retrieval": { "language": "german" } });
    api.post("/collections", json!({ "name": "finding-german", "pipeline": pipeline }))
        .await
        .expect(201);
    for (name, text) in [
        ("a.txt", "Die Umsatzsteuervoranmeldung ist bis zum zehnten Tag abzugeben."),
        ("b.txt", "Der Jahresurlaub ist bis zum März des Folgejahres zu nehmen."),
    ] {
        api.ingest("finding-german", &File::new(name, text)).await;
    }
    for (query, name) in [("Umsatzsteuer", "a.txt"), ("Urlaub", "b.txt")] {
        let request = json!({ "query": query, "collection_name": "finding-german", "search_type": "keyword" });
        let hits = api.search(request).await;
        assert_eq!(hits[0]["metadata"]["source"], name, "{query}");
    }
}

#[tokio::test]
async fn the_figure_that_is_asked_for_is_picked_out_of_its_row() {
    let api = Server::shared().api();
    let text = "# Cash flow statement\n\n| (Millions) | 2018 | 2017 |\n| --- | --- | --- |\n| Net income | 5,363 | 4,869 |\n\
                | Purchases of property, plant and equipment | (1,577) | (1,373) |\n| Cash at the end of the year | 2,853 | 3,053 |\n";
    api.ingest("finding-figures", &File::new("flows.md", text)).await;
    let question = "How much were the purchases of property, plant and equipment in FY2017?";
    let answer = answer(&api, "finding-figures", question).await;
    let response = answer["response"].as_str().expect("text");
    assert!(
        response.contains("Purchases of property, plant and equipment, 2017: (1,373)"),
        "{response}"
    );
    let quoted = answer["sources"].as_array().expect("sources").iter();
    let quoted: Vec<&str> = quoted.filter_map(|source| source["content"].as_str()).collect();
    assert!(quoted.iter().any(|row| row.contains("(1,577) | (1,373)")), "{quoted:?}");
}

#[tokio::test]
async fn a_question_is_no_answer_and_what_no_document_tells_is_not_answered() {
    let api = Server::shared().api();
    let text = "How long is the warranty?\n\nThe warranty is two years from delivery. It covers the frame and the motor.";
    api.ingest("finding-nothing", &File::new("faq.txt", text)).await;
    let found = answer(&api, "finding-nothing", "How long is the warranty?").await;
    let quoted: Vec<&str> = found["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .filter_map(|source| source["content"].as_str())
        .collect();
    assert!(quoted.contains(&"The warranty is two years from delivery."), "{found}");
    assert!(!quoted.contains(&"How long is the warranty?"), "{found}");
    let nothing = answer(&api, "finding-nothing", "Who won the chess championship in Reykjavik?").await;
    assert_eq!(nothing["sources"], json!([]), "{nothing}");
}
