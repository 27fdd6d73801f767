//! Tests of pipelines as data.

use super::*;

#[test]
fn what_is_left_out_takes_the_default() {
    let pipeline = Pipeline::parse(json!({"chunker": {"plugin": "recursive@^1", "config": {"target_tokens": 100}}})).unwrap();
    assert_eq!(pipeline.chunker.config, json!({"target_tokens": 100}));
    assert_eq!(pipeline.analyzer, Pipeline::default().analyzer);
}

#[test]
fn errors_name_the_key() {
    for (value, field) in [
        (json!({"chunker": {"plugn": "x"}}), "pipeline.chunker.plugn"),
        (json!({"retrieval": {"limit": 0}}), "pipeline.retrieval.limit"),
        (json!({"retrieval": {"limit": "many"}}), "pipeline.retrieval.limit"),
        (json!({"retrieval": {"dense_weight": -1.0}}), "pipeline.retrieval.dense_weight"),
        (
            json!({"retrieval": {"relative_threshold": 1.5}}),
            "pipeline.retrieval.relative_threshold",
        ),
        (json!({"reranker": {"top_k": 10}}), "pipeline.reranker.model"),
        (json!({"reranker": {"model": ""}}), "pipeline.reranker.model"),
        (json!({"reranker": {"model": "x", "top_k": 0}}), "pipeline.reranker.top_k"),
        (json!({"reranker": {"model": "x", "top_k": 201}}), "pipeline.reranker.top_k"),
        (json!({"reranker": {"model": "x", "modes": ["slow"]}}), "pipeline.reranker.modes[0]"),
        (json!({"limits": {"memory_mb": 0}}), "pipeline.limits.memory_mb"),
        (json!({"generator": {"kind": "oracle"}}), "pipeline.generator.kind"),
        (json!({"generator": {"kind": "openai", "modle": "x"}}), "pipeline.generator.modle"),
        (
            json!({"generator": {"kind": "openai", "temperature": 3}}),
            "pipeline.generator.temperature",
        ),
        (
            json!({"generator": {"kind": "openai", "retries": 11}}),
            "pipeline.generator.retries",
        ),
        (
            json!({"generator": {"kind": "openai", "idle_timeout_ms": 1}}),
            "pipeline.generator.idle_timeout_ms",
        ),
        (
            json!({"generator": {"kind": "openai", "on_failure": "skip"}}),
            "pipeline.generator.on_failure",
        ),
        (
            json!({"generator": {"kind": "extractive", "model": "x"}}),
            "pipeline.generator.model",
        ),
    ] {
        let error = Pipeline::parse(value).unwrap_err();
        assert_eq!(error.details["field"], field, "{error}");
    }
}

#[test]
fn a_pipeline_survives_being_written_and_read() {
    let mut pipeline = Pipeline::default();
    pipeline.generator.temperature = Some(0.2);
    pipeline.reranker = Some(RerankerChoice {
        model: "x".to_owned(),
        precision: None,
        modes: vec![Mode::Balanced],
        top_k: 5,
    });
    let written = serde_json::to_value(&pipeline).unwrap();
    assert_eq!(written["retrieval"]["dense_weight"], json!(0.4), "as people write it");
    assert_eq!(written["generator"]["temperature"], json!(0.2), "as people write it");
    assert_eq!(Pipeline::parse(serde_json::to_value(&pipeline).unwrap()).unwrap(), pipeline);
}
