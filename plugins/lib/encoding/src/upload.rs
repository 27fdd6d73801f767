//! An upload as text, with the failures that its reader sees.

use crate::{Encoding, Refused, read_text};
use ibid_plugin::{Draft, Failure, Upload};

/// Bytes that are read at once: a text of nothing but tiny paragraphs then still needs little memory.
const WINDOW: u32 = 256 << 10;

/// Reads an upload and passes its text on in pieces, each with the share of the file that has been read. `sink` returns whether to go on.
/// `format` names the file in failures: `a web page`.
///
/// # Errors
/// If the file looks binary, changes while it is read, or `sink` stops at the length that a text may have.
pub fn read_upload(upload: &impl Upload, format: &str, mut sink: impl FnMut(&str, f32) -> bool) -> Result<Encoding, Failure> {
    let len = upload.len().max(1) as f32;
    let read = |offset| upload.read(offset, WINDOW);
    read_text(read, |text, done| sink(text, done as f32 / len)).map_err(|refused| match refused {
        Refused::Binary => Failure::unsupported(format!(
            "This looks like a binary file, not {format}: upload it with its own file type."
        )),
        Refused::Stopped => Failure::limit_exceeded("The text is longer than 4 GiB: split it."),
        Refused::Changed => Failure::malformed("The file changed while it was read."),
    })
}

/// Copies the text of an upload to a draft, in pieces. After each piece `take` gets the draft and the piece; then the progress is
/// reported.
///
/// # Errors
/// As [`read_upload`], and if the text is longer than a draft's can be.
pub fn copy_text<D: Draft>(
    upload: &impl Upload,
    draft: &mut D,
    format: &str,
    mut take: impl FnMut(&mut D, &str),
) -> Result<Encoding, Failure> {
    let mut room = u32::MAX;
    read_upload(upload, format, |text, done| {
        match room.checked_sub(text.len() as u32) {
            Some(left) => room = left,
            None => return false,
        }
        draft.write(text);
        take(draft, text);
        draft.progress(done);
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_plugin::testing::{Collected, File};

    #[test]
    fn text_is_copied_and_decoded() {
        let mut draft = Collected::default();
        let mut pieces = 0;
        let copied = copy_text(&File::new(b"gr\xfcn"), &mut draft, "text", |draft, text| {
            assert!(draft.text.ends_with(text));
            pieces += 1;
        });
        assert_eq!(
            (copied, draft.text.as_str(), draft.progress),
            (Ok(Encoding::Windows1252), "grün", 1.0)
        );
        assert_eq!(pieces, 1);
    }

    #[test]
    fn a_binary_file_is_refused_by_its_format() {
        let failure = read_upload(&File::new([0; 100]), "a web page", |_, _| true).unwrap_err();
        let message = "This looks like a binary file, not a web page: upload it with its own file type.";
        assert_eq!(failure, Failure::unsupported(message));
        let failure = read_upload(&File::new(b"one"), "text", |_, _| false).unwrap_err();
        assert_eq!(failure.code, "LIMIT_EXCEEDED");
    }
}
