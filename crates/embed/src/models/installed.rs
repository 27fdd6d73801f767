//! Lists the models in a models directory.

use std::{fs, path::Path};

use super::super::{
    ModelInfo, Precision,
    model::{MODEL_FILE, TOKENIZER_FILE},
};

/// A model in the models directory.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledModel {
    /// Its description. Its name is the directory's, which pipelines use.
    pub info: ModelInfo,
    /// The size of its files in bytes.
    pub bytes: u64,
    /// Whether pipelines that name no model use it.
    pub default: bool,
    /// The precisions that it is loaded in.
    pub loaded: Vec<Precision>,
}

/// Returns the models in a models directory, by name. Skips directories without a readable model. Blocks.
#[must_use]
pub fn installed(directory: &Path) -> Vec<InstalledModel> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut models: Vec<InstalledModel> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let info = ModelInfo {
                name,
                ..ModelInfo::read(&entry.path()).ok()?
            };
            Some(InstalledModel {
                bytes: bytes(&entry.path(), &info),
                info,
                default: false,
                loaded: Vec::new(),
            })
        })
        .collect();
    models.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    models
}

pub(super) fn bytes(directory: &Path, info: &ModelInfo) -> u64 {
    let external = info.ready.iter().flat_map(|ready| ready.external.keys().map(String::as_str));
    let files = [MODEL_FILE, TOKENIZER_FILE, ModelInfo::FILE].into_iter().chain(external);
    files.filter_map(|file| Some(fs::metadata(directory.join(file)).ok()?.len())).sum()
}
