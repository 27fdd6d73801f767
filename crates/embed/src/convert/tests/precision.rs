//! Graphs of other precisions, and the packed graph for GPUs.

use super::*;

#[tokio::test]
async fn eight_bits_stay_near_and_alone() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("tiny");
    convert(tiny.path(), &model).expect("converted");
    let embedder = open(&model, Precision::Int8);
    assert_eq!(embedder.placement().precision, Precision::Int8);
    let mut texts: Vec<String> = SAMPLES.iter().map(|(text, _)| (*text).to_owned()).collect();
    let together = embedder.embed_texts(texts.clone(), |_| {}).await.expect("vectors");
    for ((text, ids), vector) in SAMPLES.iter().zip(&together) {
        let expected = normalized(mean(tiny.forward(ids, gelu)));
        let cosine = cosine(vector, &expected);
        assert!(cosine > 0.998, "{text:?}: {cosine}");
        assert!(cosine < 0.999_999_999, "{text:?} is computed in 8 bits");
    }
    texts.reverse();
    texts.extend(["b", "c", "d d"].map(str::to_owned));
    let otherwise = embedder.embed_queries(texts).await.expect("vectors");
    for (together, otherwise) in together.iter().rev().zip(&otherwise) {
        assert_eq!(together, otherwise, "a vector does not depend on its batch");
    }
    embedder.close().await;
}

#[test]
fn sixteen_bits_stay_near() {
    for cls in [false, true] {
        let (_target, model, tiny) = converted(cls);
        let info = ModelInfo::read(&model).expect("read");
        let session = open_form(&runtime(), &model, &info, Some(Form::Half), Processor::Cpu).expect("opened");
        for (text, ids) in SAMPLES {
            let vector = session.run(rows(ids, ids.len())).expect("a vector");
            let cosine = cosine(&vector, &pooled(&tiny, ids, cls));
            assert!(cosine > 0.9999, "{text:?}: {cosine}");
        }
    }
}

fn pooled(tiny: &Tiny, ids: &[usize], cls: bool) -> Vec<f64> {
    if cls {
        normalized(tiny.forward(ids, gelu_tanh).swap_remove(0))
    } else {
        normalized(mean(tiny.forward(ids, gelu)))
    }
}

/// Packed attention exists for GPUs alone. Of one text it is plain attention, for which there is a CPU
/// operator: with that in its place, all the rest of the graph is what it will be on a GPU.
#[test]
fn the_packed_graph_computes_the_same() {
    for cls in [false, true] {
        let (_target, model, tiny) = converted(cls);
        let info = ModelInfo::read(&model).expect("read");
        let bytes = rebuild(&model, &info, Form::Packed).expect("built");
        let mut packed = ModelProto::decode(bytes.as_slice()).expect("decoded");
        let graph = packed.graph.as_mut().expect("a graph");
        let mut nodes = Vec::new();
        for node in std::mem::take(&mut graph.node) {
            let op = |op_type: &str, domain: &str, input: Vec<String>, output: String, attribute| NodeProto {
                name: format!("{output}/{op_type}"),
                op_type: op_type.to_owned(),
                domain: domain.to_owned(),
                input,
                output: vec![output],
                attribute,
            };
            let first = || "axes.0".to_owned();
            match node.op_type.as_str() {
                "PackedMultiHeadAttention" => {
                    let wide = |name: &String| format!("{name}.wide");
                    for input in &node.input[..3] {
                        nodes.push(op("Unsqueeze", "", vec![input.clone(), first()], wide(input), vec![]));
                    }
                    let mut input: Vec<String> = node.input[..3].iter().map(wide).collect();
                    input.push(node.input[3].clone());
                    let output = wide(&node.output[0]);
                    nodes.push(op("MultiHeadAttention", MICROSOFT, input, output.clone(), node.attribute));
                    nodes.push(op("Squeeze", "", vec![output, first()], node.output[0].clone(), vec![]));
                }
                "RestorePadding" => {
                    let input = vec![node.input[0].clone(), first()];
                    nodes.push(op("Unsqueeze", "", input, node.output[0].clone(), vec![]));
                }
                _ => nodes.push(node),
            }
        }
        graph.node = nodes;
        let bytes = packed.encode_to_vec();
        let path = model.join("model.onnx");
        let session = SharedSession::open_untried(&runtime(), &path, &Graph::Bytes(&bytes), &info, Processor::Cpu).expect("opened");
        assert!(session.is_packed());
        for (text, ids) in SAMPLES {
            let text_ids: Vec<u32> = ids.iter().map(|id| u32::try_from(*id).expect("small")).collect();
            let vector = session.run_packed(&[&text_ids]).expect("a vector");
            let cosine = cosine(&vector, &pooled(&tiny, ids, cls));
            assert!(cosine > 0.9999, "{text:?}, first token {cls}: {cosine}");
        }
    }
}

/// ONNX Runtime checks all types and shapes before it looks for what computes them.
#[test]
fn the_packed_graph_is_one_for_gpus() {
    let (_target, model, _tiny) = converted(false);
    let info = ModelInfo::read(&model).expect("read");
    let error = open_form(&runtime(), &model, &info, Some(Form::Packed), Processor::Cpu)
        .err()
        .expect("a GPU is needed");
    let message = error.to_string();
    assert!(
        message.contains("kernel") && message.contains("PackedMultiHeadAttention"),
        "{message}"
    );
}
