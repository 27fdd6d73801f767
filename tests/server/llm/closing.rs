//! Cancelled, closed and paused queries, and answers that are cut off.

use super::*;

#[tokio::test]
async fn an_answer_without_end_is_cut_and_says_so() {
    let mut scene = Scene::new("endless", json!({ "max_tokens": 16 })).await;
    scene.upstream.will([Act::Stream(vec![Step::Flood("and on ", usize::MAX, 0)])]);
    let answer = scene.answer(json!({})).await;
    assert!(answer.text.len() <= 16 * 16, "{}", answer.text);
    assert_eq!(answer.complete["generator"]["finish_reason"], "length");
    assert_eq!(
        (&answer.complete["warnings"][0]["stage"], &answer.complete["warnings"][0]["reason"]),
        (&json!("generator"), &json!("length"))
    );
    assert_eq!(
        [scene.upstream.event().await, scene.upstream.event().await],
        [Event::Began, Event::Closed]
    );
    // As one that the server itself cut.
    scene
        .upstream
        .will([Act::Stream(vec![Step::Delta("Cut".into()), Step::Finish("length"), Step::Done])]);
    assert_eq!(scene.answer(json!({})).await.complete["warnings"][0]["reason"], "length");
}

#[tokio::test]
async fn cancel_closes_the_connection_to_the_model() {
    let mut scene = Scene::new("cancel", json!({})).await;
    let mut steps = Step::texts(&["One ", "two ", "three"]);
    steps.push(Step::Hold);
    scene.upstream.will([Act::Stream(steps)]);
    scene.ask("q", json!({})).await;
    scene.socket.receive_until(|message| message["type"] == "token").await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    let start = Instant::now();
    scene.socket.send(control("q", "cancel")).await;
    assert_eq!(scene.upstream.event().await, Event::Closed);
    eprintln!("from `cancel` to the end of the connection to the model: {:?}", start.elapsed());
    let end = scene.socket.answer("q").await.pop().expect("an end");
    assert_eq!((&end["type"], &end["data"]["status"]), (&json!("complete"), &json!("cancelled")));
    assert_eq!(end["data"]["generator"]["model"], "scripted");
}

#[tokio::test]
async fn cancel_before_the_first_token_closes_the_connection_to_the_model() {
    let mut scene = Scene::new("silent", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Hold])]);
    scene.ask("q", json!({})).await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    scene.socket.send(control("q", "cancel")).await;
    assert_eq!(scene.upstream.event().await, Event::Closed);
    assert_eq!(scene.socket.answer("q").await.pop().expect("an end")["data"]["status"], "cancelled");
}

#[tokio::test]
async fn closing_the_socket_closes_the_connection_to_the_model() {
    let mut scene = Scene::new("closing", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Delta("One".into()), Step::Hold])]);
    scene.ask("q", json!({})).await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    scene.socket.close().await;
    assert_eq!(scene.upstream.event().await, Event::Closed);
}

#[tokio::test]
async fn a_chat_that_is_left_or_cut_closes_the_connection_to_the_model() {
    let scene = Scene::new("leaves", json!({})).await;
    let chat = |more: Value| {
        let mut body = json!({ "model": "llm-leaves", "messages": [{ "role": "user", "content": QUESTIONS[1].0 }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.api.request(reqwest::Method::POST, "/v1/chat/completions").json(&body)
    };
    let endless = || {
        Act::Stream(
            Step::texts(&["One ", "two ", "three ", "four "])
                .into_iter()
                .chain([Step::Hold])
                .collect(),
        )
    };
    // Left in the middle of a stream.
    scene.upstream.will([endless()]);
    let mut reply = chat(json!({ "stream": true })).send().await.expect("an answer");
    within("a piece", reply.chunk()).await.expect("bytes").expect("a piece");
    assert_eq!(scene.upstream.event().await, Event::Began);
    drop(reply);
    assert_eq!(scene.upstream.event().await, Event::Closed);
    // Left before there was an answer: streamed, and whole.
    for stream in [true, false] {
        scene.upstream.will([Act::Stream(vec![Step::Hold])]);
        let waiting = tokio::spawn(chat(json!({ "stream": stream })).send());
        assert_eq!(scene.upstream.event().await, Event::Began);
        waiting.abort();
        assert_eq!(scene.upstream.event().await, Event::Closed);
    }
    // Cut by what the client asked for.
    for (more, reason, text) in [
        (json!({ "max_tokens": 2 }), "length", "One two "),
        (json!({ "max_completion_tokens": 1, "max_tokens": 3 }), "length", "One "),
        (json!({ "stop": "wo th" }), "stop", "One t"),
    ] {
        scene.upstream.will([endless()]);
        let answer = scene.api.send(chat(more)).await.expect(200);
        assert_eq!(
            (&answer["choices"][0]["finish_reason"], &answer["choices"][0]["message"]["content"]),
            (&json!(reason), &json!(text)),
            "{answer}"
        );
        assert_eq!(
            [scene.upstream.event().await, scene.upstream.event().await],
            [Event::Began, Event::Closed]
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_cites_what_its_text_cites() {
    let scene = Scene::new("chat", json!({})).await;
    let ask = async |more: Value| {
        let mut body = json!({ "model": "llm-chat", "messages": [{ "role": "user", "content": QUESTIONS[1].0 }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene
            .upstream
            .will([streamed(&["It is 4.2 million [1]. ", "Most of it pays for servers [1]."])]);
        scene.api.post("/v1/chat/completions", body).await.expect(200)
    };
    let counts = |answer: &Value| {
        let message = &answer["choices"][0]["message"];
        let (annotations, sources) = (message["annotations"].as_array().unwrap(), answer["sources"].as_array().unwrap());
        assert_eq!(annotations.len(), sources.len());
        let content: Vec<char> = message["content"].as_str().unwrap().chars().collect();
        for annotation in annotations {
            let end = annotation["url_citation"]["end_index"].as_u64().unwrap() as usize;
            assert!(end <= content.len(), "a marker that is not there: {answer}");
        }
        (
            annotations.len(),
            answer["choices"][0]["finish_reason"].as_str().unwrap().to_owned(),
        )
    };
    let whole = ask(json!({ "max_tokens": 10_000, "stop": ["nowhere"] })).await;
    let (all, reason) = counts(&whole);
    assert!(all >= 1 && reason == "stop", "{whole}");
    let before = ask(json!({ "stop": [" million"] })).await;
    assert_eq!(counts(&before), (0, "stop".to_owned()), "{before}");
    assert_eq!(before["choices"][0]["message"]["content"], "It is 4.2");
    assert!(before["usage"]["completion_tokens"].as_u64() > Some(1), "{before}");
    let short = ask(json!({ "max_tokens": 4 })).await;
    assert_eq!(counts(&short), (0, "length".to_owned()), "{short}");
}

#[tokio::test]
async fn a_tool_whose_caller_leaves_closes_the_connection_to_the_model() {
    let scene = Scene::new("tool", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Delta("One ".into()), Step::Hold])]);
    let arguments = json!({ "query": QUESTIONS[1].0, "collection_name": "llm-tool" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "ask", "arguments": arguments } });
    let request = scene
        .api
        .request(reqwest::Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream");
    let waiting = tokio::spawn(request.json(&call).send());
    assert_eq!(scene.upstream.event().await, Event::Began);
    waiting.abort();
    assert_eq!(scene.upstream.event().await, Event::Closed);
}

#[tokio::test]
async fn a_pause_holds_the_model_and_a_resume_lets_it_go_on() {
    const EVENTS: usize = 600;
    let mut scene = Scene::new("pause", json!({ "idle_timeout_ms": 600000 })).await;
    let gate = Arc::new(Notify::new());
    let mut steps = Step::texts(&["One ", "two ", "three "]);
    // Far more bytes than all buffers on the way hold.
    steps.extend([
        Step::Gate(gate.clone()),
        Step::Flood("word ", EVENTS, 60_000),
        Step::Delta("end.".into()),
        Step::Finish("stop"),
        Step::Done,
    ]);
    scene.upstream.will([Act::Stream(steps)]);
    scene.ask("q", json!({})).await;
    scene.socket.receive_until(|message| message["type"] == "token").await;
    scene.socket.send(control("q", "pause")).await;
    scene.socket.receive_until(|message| message["data"]["stage"] == "paused").await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    gate.notify_one();
    // If nothing held it, it would be sent to the end instead.
    assert_eq!(scene.upstream.event().await, Event::Held);
    scene.socket.send(control("q", "resume")).await;
    let rest = scene.socket.answer("q").await;
    let words = rest.iter().filter(|message| message["data"]["content"] == "word").count()
        + rest
            .iter()
            .filter(|message| message["data"]["content"].as_str().is_some_and(|text| text.contains("word")))
            .count();
    assert!(words >= EVENTS, "{words} of {EVENTS}");
    assert_eq!(rest.last().expect("an end")["data"]["status"], "completed");
    assert_eq!(scene.upstream.event().await, Event::Sent);
}
