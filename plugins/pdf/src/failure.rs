//! Why a file could not be read.

use lopdf::{DecompressError, Error};

/// Why an extraction stopped. [`Failure::code`] is stable; the message is for the person who
/// uploaded the file.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The plugin's configuration is not what its schema admits.
    #[error("The configuration of the PDF extractor is not valid: {0}")]
    InvalidConfig(String),
    /// The file opens only with a password.
    #[error("The PDF is protected with a password. Save a copy without the password and upload that.")]
    Encrypted,
    /// The file is no PDF, or too damaged to be read.
    #[error("The file cannot be read as a PDF: {0}. Open it in a PDF viewer and save or print it to a new PDF.")]
    Malformed(String),
    /// The file asks for more work or memory than is allowed.
    #[error("The PDF exceeds a limit: {0}. Split the file or ask for a higher limit.")]
    LimitExceeded(String),
    /// The file uses something that is not read here.
    #[error("The PDF uses a feature that is not supported: {0}.")]
    Unsupported(String),
}

impl Failure {
    /// The stable, upper-case code of the plugin contract.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::InvalidConfig(_) => "INVALID_CONFIG",
            Failure::Encrypted => "ENCRYPTED",
            Failure::Malformed(_) => "MALFORMED",
            Failure::LimitExceeded(_) => "LIMIT_EXCEEDED",
            Failure::Unsupported(_) => "UNSUPPORTED",
        }
    }

    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Failure::LimitExceeded(_))
    }
}

impl From<Failure> for ibid_plugin::Failure {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code(), failure.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidPassword => Failure::Encrypted,
            Error::Decompress(DecompressError::MemoryLimitExceeded { limit }) => {
                Failure::LimitExceeded(format!("a part of it decompresses to more than {} MiB", limit >> 20))
            }
            Error::Decompress(DecompressError::TooManyFilters { .. }) => {
                Failure::LimitExceeded("a part of it is compressed too many times over".into())
            }
            Error::UnsupportedSecurityHandler(name) => Failure::Unsupported(format!("encryption by {}", String::from_utf8_lossy(&name))),
            Error::Decryption(error) => Failure::Unsupported(format!("its encryption ({error})")),
            Error::Parse(lopdf::ParseError::InvalidFileHeader) => Failure::Malformed("it does not start with a PDF header".into()),
            other => Failure::Malformed(other.to_string()),
        }
    }
}
