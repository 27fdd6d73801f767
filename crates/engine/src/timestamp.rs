//! Times as the API writes them: RFC 3339, UTC.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as text.
pub fn text(time: OffsetDateTime) -> String {
    // Formatting fails only for years that RFC 3339 cannot write.
    time.format(&Rfc3339).unwrap_or_default()
}

/// Now, as text.
pub fn now() -> String {
    text(OffsetDateTime::now_utc())
}
