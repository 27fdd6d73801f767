//! A query's options with every default filled in.

use super::Queries;
use crate::query::stream::Delivery;
use ibid_protocol::{ApiError, Mode, QueryOptions, ResponseFormat};

/// A query with every default filled in.
pub(crate) struct Question {
    pub text: String,
    pub collection: String,
    /// Whether the subject may not see the collection: to it there is none.
    pub unseen: bool,
    pub mode: Option<Mode>,
    pub limit: Option<usize>,
    pub delivery: Delivery,
    /// The whole answer goes into `complete`.
    pub whole: bool,
    pub options: QueryOptions,
}

impl Queries {
    /// Checks the options of a query, and fills in their defaults.
    pub(crate) fn question(&self, options: QueryOptions) -> Result<Question, ApiError> {
        let text = options.question()?.to_owned();
        options.validate()?;
        let stream = options.stream.unwrap_or(true);
        let format = options.response_format.unwrap_or(ResponseFormat::WithCitations);
        Ok(Question {
            text,
            collection: options.collection_name.clone().unwrap_or_else(|| self.default_collection.clone()),
            unseen: false,
            mode: options.mode,
            limit: options.max_results.map(|n| n as usize),
            delivery: Delivery::new(stream, options.include_sources.unwrap_or(true), format),
            whole: !stream,
            options,
        })
    }
}
