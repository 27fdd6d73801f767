//! What a search is restricted to: the client's filters and the analyzer's, as the index has them.

use crate::error::PipelineError;
use ibid_index::{DateRange, Filter};
use ibid_protocol::Filters;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `filter`, narrowed by the client's or the analyzer's filters.
pub(crate) fn narrowed(filter: &Filter, filters: &Filters) -> Result<Filter, PipelineError> {
    let mut narrowed = filter.clone();
    for (mine, theirs) in [
        (&mut narrowed.document_ids, &filters.document_ids),
        (&mut narrowed.sources, &filters.sources),
        (&mut narrowed.document_types, &filters.document_types),
        (&mut narrowed.authors, &filters.authors),
    ] {
        if mine.is_empty() {
            mine.clone_from(theirs);
        } else if !theirs.is_empty() {
            mine.retain(|value| theirs.contains(value));
            if mine.is_empty() {
                // Nothing meets both: a value that no document has says so.
                mine.push(String::new());
            }
        }
    }
    narrowed.document_types = narrowed.document_types.iter().flat_map(|kind| extensions(kind)).collect();
    narrowed
        .metadata
        .extend(filters.metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(range) = &filters.date_range {
        let start = range.start.as_deref().and_then(|date| moment(date, false));
        let end = range.end.as_deref().and_then(|date| moment(date, true));
        narrowed.created = DateRange {
            start: [narrowed.created.start, start].into_iter().flatten().max(),
            end: [narrowed.created.end, end].into_iter().flatten().min(),
        };
    }
    Ok(narrowed)
}

/// The file name extensions that a media type goes by; an extension is itself.
fn extensions(kind: &str) -> Vec<String> {
    let kind = kind.trim_start_matches('.').to_lowercase();
    match mime_guess::get_mime_extensions_str(&kind) {
        Some(extensions) => extensions.iter().map(|extension| (*extension).to_owned()).collect(),
        None => vec![kind],
    }
}

/// Seconds since 1970 of an RFC 3339 time, or of the first or last second of a date.
pub(crate) fn moment(date: &str, last: bool) -> Option<i64> {
    let text = match (date.len(), last) {
        (10, false) => format!("{date}T00:00:00Z"),
        (10, true) => format!("{date}T23:59:59Z"),
        _ => date.to_owned(),
    };
    OffsetDateTime::parse(&text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod fuzz;
