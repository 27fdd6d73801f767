//! Flags of `ibid model`.

use super::SettingsArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `ibid model`.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ModelAction,
}

/// `ibid model pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Model in the hub, such as sentence-transformers/all-MiniLM-L12-v2, or a directory
    #[arg(value_name = "NAME|DIR")]
    pub source: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// Name of the installed model [default: the last part of the model's own]
    #[arg(long)]
    pub name: Option<String>,
    /// Replace another model of that name
    #[arg(long)]
    pub force: bool,
    /// What to put before a question, where config_sentence_transformers.json does not say it
    #[arg(long, value_name = "TEXT")]
    pub query_prefix: Option<String>,
    /// What to put before a passage, likewise
    #[arg(long, value_name = "TEXT")]
    pub document_prefix: Option<String>,
    /// The ONNX model to take as it is, such as onnx/model.onnx
    #[arg(long, value_name = "FILE")]
    pub onnx: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelAction {
    /// Show the embedding models and rerankers that are installed, and which of them a server has loaded
    List {
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a published embedding model or reranker from a hub, or take it from a directory, and install it
    #[command(after_help = "\
Examples:
  ibid model pull sentence-transformers/all-MiniLM-L12-v2
  ibid model pull intfloat/e5-small-v2 --query-prefix 'query: ' --document-prefix 'passage: '
  ibid model pull BAAI/bge-m3 --onnx onnx/model.onnx
  ibid model pull cross-encoder/ms-marco-MiniLM-L6-v2
  ibid model pull ./our-model --name our-model

Only the files that `ibid model convert` reads are fetched, and converted into models/ of the share directory. What breaks off is gone on with when
the command is run again; what comes is compared with the checksum that the hub tells. The setting embedder.hub_url names
another hub that serves files as NAME/resolve/REVISION/FILE. The variable HF_TOKEN holds a token for models that need one.

A server that runs finds the model when a pipeline names it.")]
    Pull(PullArgs),
    /// Make a model directory (ONNX graph and tokenizer) from a published embedding model or reranker
    #[command(after_help = "\
Examples:
  ibid model convert target/share/ibid/sources/all-MiniLM-L6-v2 target/share/ibid/models/all-MiniLM-L6-v2
  ibid model convert e5-small-v2 models/e5-small-v2 --query-prefix 'query: ' --document-prefix 'passage: '
  ibid model convert bge-m3 models/bge-m3 --onnx onnx/model.onnx

Safetensors of BERT, RoBERTa, XLM-RoBERTa, MPNet and DistilBERT become a graph of Ibid's own, which has all precisions.
A source without safetensors, or with --onnx, keeps its ONNX model. Pooling, normalisation, length and
prompts are read from the source's configuration files. A cross-encoder (...ForSequenceClassification with one label, or an ONNX model
whose output is logits of [batch, 1]) becomes a reranker.

The target's last component becomes the model's name, for the setting embedder.model and for pipelines. Nothing is done where
the target is what the source would give.")]
    Convert {
        /// Directory with model.safetensors or an ONNX model, config.json, tokenizer.json, ...
        source: PathBuf,
        /// Directory to make; replaced if it is there
        target: PathBuf,
        /// Convert even if the target is up to date
        #[arg(long)]
        force: bool,
        /// What to put before a question, where config_sentence_transformers.json does not say it
        #[arg(long, value_name = "TEXT")]
        query_prefix: Option<String>,
        /// What to put before a passage, likewise
        #[arg(long, value_name = "TEXT")]
        document_prefix: Option<String>,
        /// The ONNX model in SOURCE to take as it is
        #[arg(long, value_name = "FILE")]
        onnx: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
