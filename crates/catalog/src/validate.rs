//! What values the catalog takes. Pure functions.

use super::{CatalogError, Chunk, Result};

fn invalid<T>(field: &'static str, issue: impl Into<String>) -> Result<T> {
    Err(CatalogError::Validation {
        field,
        issue: issue.into(),
    })
}

/// Checks a collection's name: 1 to 64 characters of `A-Z a-z 0-9 _ . -`, the first a letter or a
/// digit (so that a name is never `..`, hidden, or taken for an option). Else `VALIDATION_ERROR`.
pub fn collection_name(name: &str) -> Result<()> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > 64 {
        return invalid("collection_name", "must have 1 to 64 characters");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(inner) {
        return invalid(
            "collection_name",
            "may hold A-Z a-z 0-9 _ . - and must start with a letter or a digit",
        );
    }
    Ok(())
}

/// A file's name: 1 to 1,024 bytes without control characters.
pub(super) fn filename(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 1024 {
        return invalid("filename", "must have 1 to 1,024 bytes");
    }
    if name.chars().any(char::is_control) {
        return invalid("filename", "must not hold control characters");
    }
    Ok(())
}

/// A SHA-256 as 64 lower-case hexadecimal digits.
pub(super) fn sha256(digest: &str) -> Result<()> {
    if digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    invalid("sha256", "must be 64 lower-case hexadecimal digits")
}

/// Chunks numbered from 0 in order, with spans that do not end before they start.
pub(super) fn chunks(chunks: &[Chunk]) -> Result<()> {
    for (expected, chunk) in (0_u32..).zip(chunks) {
        if chunk.index != expected {
            return invalid("chunks", format!("chunk {} stands where {expected} should", chunk.index));
        }
        if chunk.at.start > chunk.at.end || chunk.char_start > chunk.char_end {
            return invalid("chunks", format!("chunk {expected} ends before it starts"));
        }
    }
    Ok(())
}

/// A number of items to return, from 1 to `most`.
pub(super) fn limit(limit: u32, most: u32) -> Result<()> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    invalid("limit", format!("must be from 1 to {most}"))
}
