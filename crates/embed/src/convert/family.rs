//! Model families that derive from BERT: how their names, tables and keys differ from BERT's.

use super::super::model::Head;

/// A model family, by `model_type` of `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BERT, MiniLM, BGE, GTE, E5: one layout.
    Bert,
    /// RoBERTa, XLM-RoBERTa and CamemBERT: positions begin after the padding's id.
    Roberta,
    /// MPNet: as RoBERTa, without types, with a bias by distance.
    Mpnet,
    /// DistilBERT: other names, no types.
    Distilbert,
}

/// Rows of MPNet's table of distances; half of them for distances backwards.
pub const BUCKETS: usize = 32;
/// From this distance on, all distances share the last row.
const FARTHEST: f32 = 128.0;

impl Family {
    /// The values of `model_type` that can be converted, as an error message lists them.
    pub const KNOWN: &str = "bert, roberta, xlm-roberta, camembert, mpnet and distilbert are converted; others run as ready ONNX models";

    /// Returns the family of a `model_type`.
    pub fn of(model_type: &str) -> Option<Self> {
        Some(match model_type {
            "bert" => Self::Bert,
            "roberta" | "xlm-roberta" | "camembert" => Self::Roberta,
            "mpnet" => Self::Mpnet,
            "distilbert" => Self::Distilbert,
            _ => return None,
        })
    }

    /// Returns the prefix of weight names when the encoder was saved inside a larger model.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert.",
            Self::Roberta => "roberta.",
            Self::Mpnet => "mpnet.",
            Self::Distilbert => "distilbert.",
        }
    }

    /// Returns the rows of the table of types, or none if the family has no such table.
    pub fn types(self, types: usize) -> Option<usize> {
        matches!(self, Self::Bert | Self::Roberta).then_some(types)
    }

    /// Returns whether positions begin after the padding's id instead of at 0.
    pub fn positions_follow_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::Mpnet)
    }

    /// Returns the name in `config.json` for what BERT calls `key`.
    pub fn key(self, key: &'static str) -> &'static str {
        match (self, key) {
            (Self::Distilbert, "hidden_size") => "dim",
            (Self::Distilbert, "num_attention_heads") => "n_heads",
            (Self::Distilbert, "num_hidden_layers") => "n_layers",
            (Self::Distilbert, "intermediate_size") => "hidden_dim",
            (Self::Distilbert, "hidden_act") => "activation",
            _ => key,
        }
    }

    /// Returns the function between the two layers of a reranker's head.
    pub fn head(self) -> Head {
        match self {
            Self::Bert | Self::Roberta | Self::Mpnet => Head::Tanh,
            Self::Distilbert => Head::Relu,
        }
    }

    /// Returns the whole published name of a weight of a reranker's head, `head.dense` or `head.score`; `prefix` is the prefix of the
    /// encoder's names.
    pub fn published_head(self, name: &str, prefix: &str) -> String {
        let (dense, score) = match self {
            // The first of them is BERT's own pooler, which belongs to the encoder.
            Self::Bert => (format!("{prefix}pooler.dense"), "classifier"),
            Self::Roberta | Self::Mpnet => ("classifier.dense".to_owned(), "classifier.out_proj"),
            Self::Distilbert => ("pre_classifier".to_owned(), "classifier"),
        };
        name.replace("head.dense", &dense).replace("head.score", score)
    }

    /// Returns the published name for what BERT calls `name`.
    pub fn published(self, name: &str) -> String {
        let pairs: &[(&str, &str)] = match self {
            Self::Bert | Self::Roberta => &[],
            Self::Mpnet => &[
                ("attention.self.query", "attention.attn.q"),
                ("attention.self.key", "attention.attn.k"),
                ("attention.self.value", "attention.attn.v"),
                ("attention.output.dense", "attention.attn.o"),
                ("attention.output.LayerNorm", "attention.LayerNorm"),
            ],
            Self::Distilbert => &[
                ("encoder.layer.", "transformer.layer."),
                ("attention.self.query", "attention.q_lin"),
                ("attention.self.key", "attention.k_lin"),
                ("attention.self.value", "attention.v_lin"),
                ("attention.output.dense", "attention.out_lin"),
                ("attention.output.LayerNorm", "sa_layer_norm"),
                ("intermediate.dense", "ffn.lin1"),
                ("output.dense", "ffn.lin2"),
                ("output.LayerNorm", "output_layer_norm"),
            ],
        };
        // Longer names come first, so that a replaced name is not replaced again.
        pairs
            .iter()
            .fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
    }
}

/// Returns MPNet's bias for every pair of positions, `[1, heads, positions, positions]`, from its table `[BUCKETS, heads]`.
pub fn distance_bias(buckets: &[u8], heads: usize, positions: usize) -> Vec<u8> {
    let (values, _) = buckets.as_chunks::<4>();
    let mut table = Vec::with_capacity(heads * positions * positions * size_of::<f32>());
    for head in 0..heads {
        for from in 0..positions {
            for to in 0..positions {
                let value = values.get(bucket(from, to) * heads + head);
                table.extend_from_slice(value.unwrap_or(&[0; 4]));
            }
        }
    }
    table
}

/// Returns the row for a token at `from` that attends to one at `to`: small distances have a row each, large ones share rows by their
/// logarithm.
fn bucket(from: usize, to: usize) -> usize {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let direction = if to > from { half } else { 0 };
    let distance = from.abs_diff(to);
    let row = if distance < exact {
        distance
    } else {
        let far = (distance as f32 / exact as f32).ln() / (FARTHEST / exact as f32).ln() * (half - exact) as f32;
        (exact + far as usize).min(half - 1)
    };
    direction + row
}

#[cfg(test)]
mod tests {
    use super::{Family, bucket};

    #[test]
    fn names_are_those_of_the_family() {
        let check = |family: Family, name: &str, expected: &str| assert_eq!(family.published(name), expected);
        check(
            Family::Bert,
            "encoder.layer.3.output.dense.bias",
            "encoder.layer.3.output.dense.bias",
        );
        check(
            Family::Mpnet,
            "encoder.layer.3.output.dense.bias",
            "encoder.layer.3.output.dense.bias",
        );
        check(
            Family::Mpnet,
            "encoder.layer.3.attention.output.dense.bias",
            "encoder.layer.3.attention.attn.o.bias",
        );
        check(
            Family::Distilbert,
            "encoder.layer.3.output.dense.bias",
            "transformer.layer.3.ffn.lin2.bias",
        );
        check(
            Family::Distilbert,
            "encoder.layer.0.attention.output.LayerNorm.weight",
            "transformer.layer.0.sa_layer_norm.weight",
        );
        check(
            Family::Distilbert,
            "encoder.layer.0.output.LayerNorm.weight",
            "transformer.layer.0.output_layer_norm.weight",
        );
        check(
            Family::Distilbert,
            "encoder.layer.0.attention.output.dense.weight",
            "transformer.layer.0.attention.out_lin.weight",
        );
    }

    #[test]
    fn distances_share_rows_when_they_are_far() {
        // As the published implementation has it.
        for (from, to, row) in [
            (0, 0, 0),
            (7, 0, 7),
            (8, 0, 8),
            (12, 0, 9),
            (127, 0, 15),
            (500, 0, 15),
            (0, 3, 19),
            (0, 500, 31),
        ] {
            assert_eq!(bucket(from, to), row, "{from} to {to}");
        }
    }
}
