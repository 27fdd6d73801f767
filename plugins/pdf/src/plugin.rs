//! The extractor that the host calls: reads the upload whole and writes its text to the draft.

use ibid_plugin::{Draft, Extractor, Upload};

use crate::config::Config;
use crate::failure::Failure;

ibid_plugin::extractor!(Pdf);
ibid_plugin::heap!();

/// Bytes of the upload that are read at once.
const WINDOW: u32 = 1 << 20;

/// The extractor: its settings are all that it keeps.
struct Pdf(Config);

impl Extractor for Pdf {
    fn open(config: &str) -> Result<Self, ibid_plugin::Failure> {
        Ok(Self(Config::from_json(config)?))
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), ibid_plugin::Failure> {
        let bytes = read(upload, self.0.limits.file_bytes)?;
        Ok(crate::extract(&bytes, &self.0, draft)?)
    }
}

/// Reads the whole upload, in windows: lopdf wants it in one piece.
fn read(upload: &impl Upload, limit: u64) -> Result<Vec<u8>, Failure> {
    let length = upload.len();
    if length > limit {
        return Err(Failure::LimitExceeded(format!("the file is larger than {} MiB", limit >> 20)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    for window in upload.windows(WINDOW) {
        bytes.extend_from_slice(&window);
    }
    Ok(bytes)
}

/// Fills the buffers of those who ask for random bytes: a fixed sequence.
///
/// The sandbox has no source of randomness, and reading a file needs none: lopdf draws some to pad
/// the second half of a password check's value, which no reader looks at, and to seed what only
/// writers use. The same file gives the same text this way.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(destination: *mut u8, length: usize) -> Result<(), getrandom::Error> {
    // SAFETY: getrandom passes a buffer of that length, which may be uninitialised and is only written.
    unsafe { core::ptr::write_bytes(destination, 0x5a, length) };
    Ok(())
}
