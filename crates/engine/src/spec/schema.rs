//! The JSON Schema of a pipeline, for editors: made of the types that read it.

use crate::spec::Pipeline;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

/// How the schemas of an OpenAPI document are referred to, and how those of a JSON Schema are.
const REFERENCES: (&str, &str) = ("#/components/schemas/", "#/$defs/");

/// The JSON Schema (2020-12) of a pipeline. What a plugin's `config` may hold is in the schema that the plugin carries.
pub fn schema() -> Value {
    let mut nested = Vec::new();
    Pipeline::schemas(&mut nested);
    let definitions: Map<String, Value> = nested.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let mut schema = json!(Pipeline::schema());
    if let Some(root) = schema.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("Pipeline of a collection of Ibid"));
        root.insert("$defs".to_owned(), Value::Object(definitions));
        // So that a file can name its schema to the editor.
        if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("$schema".to_owned(), json!({ "type": "string" }));
        }
    }
    refer(&mut schema);
    schema
}

/// Points references to the definitions of this schema.
fn refer(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "$ref" => *text = text.replace(REFERENCES.0, REFERENCES.1),
                    other => refer(other),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(refer),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a pipeline by the schema, and by the types that read it.
    fn judge(pipeline: &Value) -> (bool, bool) {
        let validator = jsonschema::validator_for(&schema()).expect("a schema");
        (validator.is_valid(pipeline), Pipeline::parse(pipeline.clone()).is_ok())
    }

    #[test]
    fn schema_and_types_agree() {
        let whole = serde_json::to_value(Pipeline::default()).expect("JSON");
        for (pipeline, good) in [
            (whole, true),
            (json!({}), true),
            (
                json!({ "extractors": { "text/html": "text", "text/plain": { "plugin": "text", "config": {} } } }),
                true,
            ),
            (
                json!({ "chunker": { "plugin": "sentences", "config": { "sentences": 3 }, "on_failure": "fallback" } }),
                true,
            ),
            (
                json!({ "retrieval": { "mode": "speed", "limit": 3 }, "limits": { "memory_mb": 64 } }),
                true,
            ),
            (json!({ "reranker": { "model": "any", "modes": ["balanced"], "top_k": 20 } }), true),
            (json!({ "reranker": { "model": "any", "top_k": 500 } }), false),
            (json!({ "reranker": { "top_k": 20 } }), false),
            (json!({ "reranker": { "model": "any", "modes": ["slow"] } }), false),
            (json!({ "generator": { "kind": "openai", "temperature": 0.5 } }), true),
            (json!({ "chunkr": {} }), false),
            (json!({ "chunker": { "config": {} } }), false),
            (json!({ "chunker": { "plugin": "sentences", "configuration": {} } }), false),
            (json!({ "chunker": { "plugin": "sentences", "on_failure": "ignore" } }), false),
            (json!({ "retrieval": { "limit": 0 } }), false),
            (json!({ "retrieval": { "mode": "slow" } }), false),
            (json!({ "retrieval": { "dense_weight": -1 } }), false),
            (json!({ "limits": { "memory_mb": 5000 } }), false),
            (json!({ "generator": { "kind": "openai", "temperature": 3 } }), false),
            (json!([]), false),
        ] {
            assert_eq!(judge(&pipeline), (good, good), "{pipeline}");
        }
    }
}
