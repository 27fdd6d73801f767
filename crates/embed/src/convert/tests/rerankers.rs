//! Rerankers.

use super::*;

/// A question, a passage, the ids that are read of them, and where the passage begins.
const PAIRS: [(&str, &str, &[usize], usize); 5] = [
    ("a", "b", &[2, 4, 3, 5, 3], 3),
    ("a b", "", &[2, 4, 5, 3, 3], 4),
    ("", "d d z", &[2, 3, 7, 7, 1, 3], 2),
    // Six of nine are left beside the special ones: what is too much is cut off the passage,
    ("a b", "c d a b c d", &[2, 4, 5, 3, 6, 7, 4, 5, 3], 4),
    // and off the question what would take more than half of them from it.
    ("a b c d a b c", "d d d d", &[2, 4, 5, 6, 3, 7, 7, 7, 3], 5),
];

#[tokio::test]
async fn rerankers_equal_the_plain_forward_pass() {
    for family in ["bert", "roberta", "mpnet", "distilbert"] {
        let tiny = Tiny::reranker(family);
        let target = tempfile::tempdir().expect("a directory");
        let model = target.path().join("judge");
        let info = convert(tiny.path(), &model).expect(family);
        assert_eq!(
            (info.kind, info.dimension, info.max_tokens),
            (ModelKind::Reranker, 1, 9),
            "{family}"
        );
        assert_eq!(ModelInfo::read(&model).expect("read"), info);
        let reranker = open(&model, Precision::Fp32);
        // Only BERT of them has types.
        let typed = family == "bert";
        for (question, passage, ids, second) in PAIRS {
            let expected = tiny.score(family, ids, if typed { second } else { ids.len() });
            let found = reranker.score(question, vec![passage.to_owned()]).await.expect("a score");
            near(&found, &[expected], 1e-5);
            near(&by_the_graph(&model, ids, second), &[expected], 1e-5);
        }
        reranker.close().await;
        assert!(rebuild(&model, &info, Form::Packed).is_err(), "pairs are not packed");
    }
}

#[tokio::test]
async fn rerankers_in_fewer_bits_stay_near_and_alone() {
    let tiny = Tiny::reranker("bert");
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("judge");
    let info = convert(tiny.path(), &model).expect("converted");
    let passages: Vec<String> = ["b", "", "d d z", "c d a b c d", "c"].map(str::to_owned).to_vec();
    let (single, eight) = (open(&model, Precision::Fp32), open(&model, Precision::Int8));
    let exact = single.score("a b", passages.clone()).await.expect("scores");
    let found = eight.score("a b", passages.clone()).await.expect("scores");
    for ((passage, exact), found) in passages.iter().zip(&exact).zip(&found) {
        assert!((exact - found).abs() < 0.1 && exact != found, "{passage:?}: {exact}, {found}");
        let alone = eight.score("a b", vec![passage.clone()]).await.expect("a score");
        assert_eq!(alone, [*found], "a score does not depend on its batch");
    }
    let half = open_form(&runtime(), &model, &info, Some(Form::Half), Processor::Cpu).expect("opened");
    for (_, _, ids, second) in PAIRS {
        let found = half.run(rows(ids, second)).expect("a score");
        near(&found, &[tiny.score("bert", ids, second)], 0.02);
    }
    single.close().await;
    eight.close().await;
}

#[tokio::test]
async fn ready_rerankers_run_as_they_are() {
    let tiny = Tiny::reranker("bert");
    let target = tempfile::tempdir().expect("a directory");
    convert(tiny.path(), &target.path().join("first")).expect("converted");
    fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
    fs::create_dir(tiny.path().join("onnx")).expect("made");
    fs::copy(target.path().join("first/model.onnx"), tiny.path().join("onnx/model.onnx")).expect("copied");
    let model = target.path().join("second");
    let info = convert(tiny.path(), &model).expect("taken");
    assert_eq!((info.kind, info.dimension, info.max_tokens), (ModelKind::Reranker, 1, 9));
    let reranker = open(&model, Precision::Auto);
    for (question, passage, ids, second) in PAIRS {
        let found = reranker.score(question, vec![passage.to_owned()]).await.expect("a score");
        near(&found, &[tiny.score("bert", ids, second)], 1e-5);
    }
    reranker.close().await;

    // A classifier of three labels says no score.
    let tensor = |name: &str, kind, last| ValueInfoProto::tensor(name, kind, vec![DimensionValue::Named("batch".to_owned()), last]);
    let graph = GraphProto {
        input: vec![tensor(INPUT_IDS, INT64, DimensionValue::Named("sequence".to_owned()))],
        output: vec![tensor("logits", FLOAT, DimensionValue::Fixed(3))],
        ..GraphProto::default()
    };
    let classifier = ModelProto {
        graph: Some(graph),
        ..ModelProto::default()
    };
    fs::write(tiny.path().join("onnx/model.onnx"), classifier.encode_to_vec()).expect("written");
    refused(&tiny, "MODEL_ONNX_INVALID", "logits");
}

#[test]
fn classifiers_that_are_no_rerankers_are_refused() {
    for (key, value) in [
        ("id2label", json!({"0": "no", "1": "yes"})),
        // Two, if nothing is said.
        ("id2label", Value::Null),
    ] {
        let tiny = Tiny::reranker("bert");
        tiny.set("config.json", "", key, value);
        refused(&tiny, "MODEL_UNSUPPORTED", key);
    }
    let mut tiny = Tiny::reranker("bert");
    tiny.weights.retain(|(name, _, _)| name != "classifier.bias");
    tiny.write_weights();
    refused(&tiny, "MODEL_WEIGHTS_INVALID", "classifier.bias");
}

#[test]
fn the_length_of_pairs_is_the_tokenizers_where_nothing_else_says_it() {
    let tiny = Tiny::reranker("bert");
    let target = tempfile::tempdir().expect("a directory");
    let length = || convert(tiny.path(), &target.path().join("judge")).expect("converted").max_tokens;
    fs::remove_file(tiny.path().join("sentence_bert_config.json")).expect("removed");
    assert_eq!(length(), POSITIONS);
    // As who has no limit writes it.
    for (limit, expected) in [("1000000000000000019884624838656", POSITIONS), ("9", 9), ("1", 8)] {
        let text = format!(r#"{{"model_max_length": {limit}}}"#);
        fs::write(tiny.path().join("tokenizer_config.json"), text).expect("written");
        assert_eq!(length(), expected, "{limit}");
    }
}
