//! Collections, documents, pipelines and plugins: shown, changed and removed by clients.

pub(crate) mod collections;
pub(crate) mod document_query;
pub(crate) mod documents;
pub(crate) mod pipeline_checker;
pub(crate) mod pipeline_update;
pub(crate) mod placement;
pub(crate) mod plugins;
