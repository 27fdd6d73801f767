//! Why a call failed.

use crate::Span;
use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// Why a call failed, in the plugin's own words. It reaches the person who uploaded the file or asked the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable, upper case: `INVALID_CONFIG`, `ENCRYPTED`, `MALFORMED`, `UNSUPPORTED`, `LIMIT_EXCEEDED`, or one of the plugin's own.
    pub code: String,
    /// One sentence that says what is wrong and what to do.
    pub message: String,
    /// Where in the document, if that is known.
    pub at: Option<Span>,
}

impl Failure {
    /// Creates a failure with a code of the plugin's own.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            at: None,
        }
    }

    /// Creates the failure for settings that the plugin cannot work with: `INVALID_CONFIG`.
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::new("INVALID_CONFIG", message)
    }

    /// Creates the failure for a file that needs a password: `ENCRYPTED`.
    pub fn encrypted(message: impl Into<String>) -> Self {
        Self::new("ENCRYPTED", message)
    }

    /// Creates the failure for a file that is damaged or not of its format: `MALFORMED`.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new("MALFORMED", message)
    }

    /// Creates the failure for a file, or a part of the format, that the plugin does not read: `UNSUPPORTED`.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UNSUPPORTED", message)
    }

    /// Creates the failure for input that is larger than the plugin can handle: `LIMIT_EXCEEDED`.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LIMIT_EXCEEDED", message)
    }

    /// Sets where in the document the failure lies.
    pub fn with_span(self, at: impl Into<Span>) -> Self {
        Self {
            at: Some(at.into()),
            ..self
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_set_the_codes_of_the_contract() {
        let check = |make: fn(&'static str) -> Failure, code: &str| {
            assert_eq!(make("Why."), Failure::new(code, "Why."));
        };
        check(Failure::invalid_config, "INVALID_CONFIG");
        check(Failure::encrypted, "ENCRYPTED");
        check(Failure::malformed, "MALFORMED");
        check(Failure::unsupported, "UNSUPPORTED");
        check(Failure::limit_exceeded, "LIMIT_EXCEEDED");
        let failure = Failure::new("NO_STYLE", "Not this one.").with_span(1_u32..3);
        assert_eq!(failure.at, Some(Span { start: 1, end: 3 }));
        assert_eq!(failure.to_string(), "NO_STYLE: Not this one.");
    }
}
