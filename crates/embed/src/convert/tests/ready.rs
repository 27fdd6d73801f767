//! Ready ONNX models.

use super::*;

/// A ready model: each token's vector is its row of a table, plus a row for its type if it has one.
fn ready_model(directory: &Path, kind: i32, types: bool, beside: bool) {
    let table: Vec<f32> = (0..WORDS.len() * 2).map(|cell| cell as f32).collect();
    let table: Vec<u8> = table.iter().flat_map(|value| value.to_le_bytes()).collect();
    let named = |name: &str| DimensionValue::Named(name.to_owned());
    let input = |name: &str| ValueInfoProto::tensor(name, kind, vec![named("batch"), named("sequence")]);
    let node = |op_type: &str, input: &[&str], output: &str| NodeProto {
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let mut nodes = vec![node("Gather", &["table", INPUT_IDS], "words")];
    let mut inputs = vec![input(INPUT_IDS), input("attention_mask")];
    if types {
        inputs.push(input("token_type_ids"));
        nodes.push(node("Gather", &["table", "token_type_ids"], "kinds"));
        nodes.push(node("Add", &["words", "kinds"], "last_hidden_state"));
    } else {
        nodes.push(node("Identity", &["words"], "last_hidden_state"));
    }
    let constant = |name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>| TensorProto {
        name: name.to_owned(),
        data_type,
        dims: dims.to_vec(),
        raw_data,
    };
    nodes.push(NodeProto {
        attribute: vec![AttributeProto::int("axis", 1)],
        ..node("Gather", &["last_hidden_state", "first"], "pooler_output")
    });
    let dims = [i64::try_from(WORDS.len()).expect("small"), 2];
    let words = constant("table", FLOAT, &dims, if beside { vec![] } else { table.clone() });
    let output = |name: &str, dimensions| ValueInfoProto::tensor(name, FLOAT, dimensions);
    let model = ModelProto {
        ir_version: 10,
        graph: Some(GraphProto {
            node: nodes,
            name: "ready".to_owned(),
            initializer: vec![constant("first", INT64, &[], 0_i64.to_le_bytes().to_vec()), words],
            input: inputs,
            output: vec![
                output("pooler_output", vec![named("batch"), DimensionValue::Fixed(2)]),
                output(
                    "last_hidden_state",
                    vec![named("batch"), named("sequence"), DimensionValue::Fixed(2)],
                ),
            ],
        }),
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: 20,
        }],
        ..ModelProto::default()
    };
    let mut bytes = model.encode_to_vec();
    if beside {
        // Messages merge where they are appended: this adds another constant of the same graph.
        #[derive(Clone, PartialEq, prost::Message)]
        struct Beside {
            #[prost(message, optional, tag = "7")]
            graph: Option<BesideGraph>,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        struct BesideGraph {
            #[prost(message, repeated, tag = "5")]
            initializer: Vec<BesideTensor>,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        struct BesideTensor {
            #[prost(int64, repeated, packed = "false", tag = "1")]
            dims: Vec<i64>,
            #[prost(int32, tag = "2")]
            data_type: i32,
            #[prost(string, tag = "8")]
            name: String,
            #[prost(message, repeated, tag = "13")]
            external_data: Vec<StringStringEntryProto>,
            #[prost(int32, tag = "14")]
            data_location: i32,
        }
        let mut model = model;
        model.graph.as_mut().expect("a graph").initializer.pop();
        bytes = model.encode_to_vec();
        let tensor = BesideTensor {
            dims: dims.to_vec(),
            data_type: FLOAT,
            name: "table".to_owned(),
            external_data: vec![StringStringEntryProto {
                key: "location".to_owned(),
                value: "model.onnx_data".to_owned(),
            }],
            data_location: 1,
        };
        let graph = Some(BesideGraph { initializer: vec![tensor] });
        bytes.extend(Beside { graph }.encode_to_vec());
        fs::write(directory.join("onnx/model.onnx_data"), table).expect("written");
    }
    fs::write(directory.join("onnx/model.onnx"), bytes).expect("written");
}

#[tokio::test]
async fn ready_models_run_as_they_are() {
    for (kind, types, beside) in [(INT64, false, false), (INT32, true, false), (INT64, true, true)] {
        let tiny = Tiny::new("");
        fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
        fs::create_dir(tiny.path().join("onnx")).expect("made");
        tiny.set("1_Pooling/config.json", "", "word_embedding_dimension", json!(2));
        ready_model(tiny.path(), kind, types, beside);
        let target = tempfile::tempdir().expect("a directory");
        let model = target.path().join("ready");
        let info = convert(tiny.path(), &model).expect("taken");
        assert_eq!((info.dimension, info.max_tokens), (2, 9));
        let embedder = open(&model, Precision::Int8);
        assert_eq!(embedder.placement().precision, Precision::Fp32, "its numbers are its maker's");
        let offset = if types { [0.0, 1.0] } else { [0.0, 0.0] };
        for (text, ids) in SAMPLES {
            let rows: Vec<[f64; 2]> = ids
                .iter()
                .map(|id| [2.0 * *id as f64 + offset[0], 2.0 * *id as f64 + 1.0 + offset[1]])
                .collect();
            let sum = rows.iter().fold([0.0, 0.0], |sum, row| [sum[0] + row[0], sum[1] + row[1]]);
            let vector = embedder.embed_query(text).await.expect("a vector");
            near(&vector, &normalized(sum.to_vec()), 1e-6);
        }
        embedder.close().await;
        if beside {
            fs::write(model.join("model.onnx_data"), "damaged").expect("written");
            let error = Embedder::open(&runtime(), &model, EmbedderSettings::default()).expect_err("it is damaged");
            assert!(error.to_string().contains("model.onnx_data"), "{error}");
        }
    }
}

#[tokio::test]
async fn ready_models_that_pool_are_not_pooled_again() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    convert(tiny.path(), &target.path().join("first")).expect("converted");
    fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
    fs::copy(target.path().join("first/model.onnx"), tiny.path().join("model.onnx")).expect("copied");
    let info = convert(tiny.path(), &target.path().join("second")).expect("taken");
    assert!(info.ready.expect("a ready model").pooled);
    let embedder = open(&target.path().join("second"), Precision::Auto);
    for (text, ids) in SAMPLES {
        let vector = embedder.embed_query(text).await.expect("a vector");
        near(&vector, &normalized(mean(tiny.forward(ids, gelu))), 2e-6);
    }
    embedder.close().await;
}

#[test]
fn ready_models_that_are_no_text_models_are_refused() {
    let tiny = Tiny::new("");
    fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
    let onnx = tiny.path().join("model.onnx");
    fs::write(&onnx, [0xff; 8]).expect("written");
    refused(&tiny, "MODEL_ONNX_INVALID", "model.onnx");
    let tensor = |name: &str, kind| ValueInfoProto::tensor(name, kind, vec![DimensionValue::Fixed(1); 2]);
    for (inputs, outputs, named) in [
        (vec![tensor("pixel_values", FLOAT)], vec![], "pixel_values"),
        (vec![tensor("attention_mask", INT64)], vec![], INPUT_IDS),
        (vec![tensor(INPUT_IDS, FLOAT)], vec![], "neither"),
        (
            vec![tensor(INPUT_IDS, INT64)],
            vec![tensor("pooler_output", FLOAT)],
            "pooler_output",
        ),
        (vec![tensor(INPUT_IDS, INT64)], vec![tensor(OUTPUT, INT64)], OUTPUT),
    ] {
        let graph = GraphProto {
            input: inputs,
            output: outputs,
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        fs::write(&onnx, model.encode_to_vec()).expect("written");
        refused(&tiny, "MODEL_ONNX_INVALID", named);
    }
}

#[test]
fn a_wrong_dimension_shows_when_the_model_opens() {
    let (_target, model, _tiny) = converted(false);
    let mut info: Value = serde_json::from_slice(&fs::read(model.join(ModelInfo::FILE)).expect("read")).expect("JSON");
    info["dimension"] = json!(HIDDEN + 1);
    info.as_object_mut().expect("an object").remove("architecture");
    fs::write(model.join(ModelInfo::FILE), info.to_string()).expect("written");
    let error = Embedder::open(&runtime(), &model, EmbedderSettings::default()).expect_err("the vectors are shorter");
    assert_eq!(error.code(), ibid_types::ErrorCode::ServiceUnavailable);
    assert!(error.to_string().contains("model.onnx"), "{error}");
}
