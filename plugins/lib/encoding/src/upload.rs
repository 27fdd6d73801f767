//! An upload as text, with the failures that its reader sees.

use crate::{Declared, Decoded, Refused, read_text};
use ibid_plugin::{Attr, Draft, Failure, Upload};

/// Bytes that are read at once: a text of nothing but tiny paragraphs then still needs little memory.
const WINDOW: u32 = 256 << 10;

/// Reads an upload and passes its text on in pieces, each with the share of the file that has been read. `sink` returns whether to go on.
/// `format` names the file in failures: `a web page`. `declared` finds what its first bytes say of its encoding.
///
/// # Errors
/// If the file looks binary, is in an unknown encoding, changes while it is read, or `sink` stops at the length that a text may have.
pub fn read_upload(
    upload: &impl Upload,
    format: &str,
    declared: Declared,
    mut sink: impl FnMut(&str, f32) -> bool,
) -> Result<Decoded, Failure> {
    let len = upload.len().max(1) as f32;
    let read = |offset| upload.read(offset, WINDOW);
    read_text(read, declared, |text, done| sink(text, done as f32 / len)).map_err(|refused| match refused {
        Refused::Binary => Failure::unsupported(format!(
            "This looks like a binary file, not {format}: upload it with its own file type."
        )),
        Refused::Undecodable { best, lost, characters } => Failure::unsupported(format!(
            "The encoding of the text is not known. The best guess, {best}, would lose {lost} of {characters} characters. Save the file as \
             UTF-8 and upload that."
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
    declared: Declared,
    mut take: impl FnMut(&mut D, &str),
) -> Result<Decoded, Failure> {
    let mut room = u32::MAX;
    read_upload(upload, format, declared, |text, done| {
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

impl Decoded {
    /// Returns what an extractor reports of it: `encoding`, and a warning if characters were lost.
    pub fn attrs(&self) -> Vec<Attr> {
        let Self { encoding, lost } = self;
        let mut attrs = vec![Attr::new("encoding", encoding.name())];
        let (characters, were) = match lost {
            1 => ("character", "was"),
            _ => ("characters", "were"),
        };
        if *lost > 0 {
            let message = format!("{lost} {characters} could not be read as {encoding}, and {were} replaced by U+FFFD.");
            attrs.push(Attr::new("warning.characters-lost", message));
        }
        attrs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;
    use ibid_plugin::testing::{Collected, File};

    #[test]
    fn text_is_copied_and_decoded() {
        let mut draft = Collected::default();
        let mut pieces = 0;
        let copied = copy_text(
            &File::new(b"gr\xfcn"),
            &mut draft,
            "text",
            |_| None,
            |draft, text| {
                assert!(draft.text.ends_with(text));
                pieces += 1;
            },
        );
        let decoded = Decoded {
            encoding: Encoding::WINDOWS_1252,
            lost: 0,
        };
        assert_eq!((copied, draft.text.as_str(), draft.progress), (Ok(decoded), "grün", 1.0));
        assert_eq!(pieces, 1);
    }

    #[test]
    fn lost_characters_are_a_warning() {
        let report = |lost| {
            let encoding = Encoding::UTF_8;
            Decoded { encoding, lost }.attrs()
        };
        assert_eq!(report(0), [Attr::new("encoding", "utf-8")]);
        let message = "1 character could not be read as utf-8, and was replaced by U+FFFD.";
        assert_eq!(report(1)[1..], [Attr::new("warning.characters-lost", message)]);
        assert!(report(12)[1].value.starts_with("12 characters could not be read"));
    }

    #[test]
    fn a_text_in_no_known_encoding_is_refused_with_the_reason() {
        // Bytes that no encoding of one byte assigns, between letters.
        let bytes = b"na\x81ve \x8d te\x90t \x9d \xff\xfe\x81\x20".repeat(8);
        let failure = read_upload(&File::new(bytes), "text", |_| None, |_, _| true).unwrap_err();
        assert_eq!(failure.code, "UNSUPPORTED");
        assert!(
            failure.message.contains("encoding") || failure.message.contains("binary"),
            "{failure}"
        );
    }

    #[test]
    fn a_binary_file_is_refused_by_its_format() {
        let failure = read_upload(&File::new([0; 100]), "a web page", |_| None, |_, _| true).unwrap_err();
        let message = "This looks like a binary file, not a web page: upload it with its own file type.";
        assert_eq!(failure, Failure::unsupported(message));
        let failure = read_upload(&File::new(b"one"), "text", |_| None, |_, _| false).unwrap_err();
        assert_eq!(failure.code, "LIMIT_EXCEEDED");
    }
}
