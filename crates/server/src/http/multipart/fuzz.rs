//! Any bytes as a form, and forms that are right: through the same steps as an upload, up to the engine.

use super::*;
use bytes::Bytes;
use form::{content_length, filename};
use futures_util::stream;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the whole request.
const LIMIT: u64 = 1 << 30;
const PAUSE: Duration = Duration::from_secs(60);

/// A part of a form.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Field { name: String, value: String },
    File { filename: String, content: Vec<u8> },
}

/// Reads a form as [`Reception`] does. Of a file, the upper bound of its size is checked.
async fn read<E>(body: impl futures_util::Stream<Item = Result<Bytes, E>> + Send + Unpin, length: Option<u64>) -> Result<Vec<Part>, Failure>
where
    E: Into<gate::Broken> + 'static,
{
    let (size, gate) = (FormSize::new(length, "edge"), Gate::new());
    let mut fields = Fields::new(None, None);
    let body = body.inspect_ok(|bytes| size.pass(bytes));
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(LIMIT));
    let mut form = Multipart::with_constraints(gate.guard(body), "edge", constraints);
    let mut parts = Vec::new();
    while let Some(mut field) = gate.next_part(&mut form).await.map_err(|error| malformed(error, LIMIT))? {
        let name = field.name().unwrap_or_default().to_owned();
        let _ = content_length(field.headers());
        match filename(field.headers(), field.file_name()) {
            Some(filename) => {
                let mut content = Vec::new();
                while let Some(piece) = field.chunk().await.map_err(|error| malformed(error, LIMIT))? {
                    content.extend_from_slice(&piece);
                }
                let at_most = size.at_most(parts.len() + 1);
                assert!(length.is_none() || at_most.is_none_or(|most| content.len() as u64 <= most));
                parts.push(Part::File { filename, content });
            }
            None => {
                let value = form::value(field, &name, PAUSE, LIMIT).await?;
                assert!(value.len() <= 64 << 10);
                fields.set(&name, value.clone(), 0)?;
                parts.push(Part::Field { name, value });
            }
        }
    }
    Ok(parts)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(future)
}

/// The bytes in pieces, as a network delivers them.
fn pieces(bytes: &[u8], cut: usize) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin + use<> {
    let pieces: Vec<_> = bytes.chunks(cut).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

fn written(parts: &[Part]) -> Vec<u8> {
    let mut form = Vec::new();
    for part in parts {
        form.extend(b"--edge\r\nContent-Disposition: form-data; ");
        match part {
            Part::Field { name, value } => form.extend(format!("name=\"{name}\"\r\n\r\n{value}").into_bytes()),
            Part::File { filename, content } => {
                let filename = percent_encoding::utf8_percent_encode(filename, percent_encoding::NON_ALPHANUMERIC);
                form.extend(format!("name=\"files\"; filename=\"plain\"; filename*=UTF-8''{filename}\r\n\r\n").into_bytes());
                form.extend(content);
            }
        }
        form.extend(b"\r\n");
    }
    form.extend(b"--edge--\r\n");
    form
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        ("[a-z_]{1,12}[0-9]", ".{0,40}").prop_map(|(name, value)| Part::Field { name, value }),
        ("\\PC{1,20}", vec(any::<u8>(), 0..200)).prop_map(|(filename, content)| Part::File { filename, content }),
    ]
}

fn refused(failure: &Failure) -> Result<(), TestCaseError> {
    let error = failure.error();
    let known = [ErrorCode::InvalidMessage, ErrorCode::ValidationError, ErrorCode::PayloadTooLarge];
    prop_assert!(known.contains(&error.code), "{:?}: {}", error.code, error.message);
    prop_assert!((1..1000).contains(&error.message.len()), "{}", error.message);
    Ok(())
}

proptest! {
    #[test]
    fn a_form_arrives_as_it_was_sent(parts in vec(part(), 0..5), cut in 1usize..80) {
        // A name is never a path, and has no spaces around it.
        let clean = |part: &Part| match part {
            Part::File { filename, .. } => !filename.contains(['/', '\\']) && filename.trim() == filename && ![".", ".."].contains(&filename.as_str()),
            Part::Field { .. } => true,
        };
        prop_assume!(parts.iter().all(clean));
        let form = written(&parts);
        let length = form.len() as u64;
        let read = block_on(read(pieces(&form, cut), Some(length)));
        prop_assert_eq!(read.ok(), Some(parts));
    }

    #[test]
    fn a_form_that_is_changed_is_read_or_refused(
        parts in vec(part(), 0..4), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(), cut in 1usize..80,
    ) {
        let mut form = written(&parts);
        for (at, byte) in changes {
            let at = at.index(form.len());
            form[at] = byte;
        }
        form.truncate(form.len() - end.index(form.len()) / 8);
        if let Err(failure) = block_on(read(pieces(&form, cut), None)) {
            refused(&failure)?;
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop_oneof![
        vec(any::<u8>(), 0..300),
        "(--edge|\r\n|--|Content-Disposition: form-data|; name=\"|; filename=\"|\"|[ -~]){0,30}".prop_map(String::into_bytes),
    ], cut in 1usize..80) {
        if let Err(failure) = block_on(read(pieces(&bytes, cut), None)) {
            refused(&failure)?;
        }
    }

    #[test]
    fn any_field_is_taken_or_refused(name in prop_oneof![
        prop::sample::select(vec!["collection_name", "metadata", "wait", "chunk_size", "chunk_overlap", "processing_mode"]).prop_map(str::to_owned),
        ".{0,12}",
    ], value in prop_oneof!["\\PC{0,40}", "[0-9]{1,24}", "\\{(\"[a-z]{0,3}\":(\"[a-z]{0,3}\"|[0-9]{1,3}|null|\\[\\]),?){0,3}\\}"], files in 0usize..2) {
        let mut fields = Fields::new(None, None);
        match fields.set(&name, value.clone(), files) {
            Ok(()) => {
                let number = |number: Option<u64>| number.is_none_or(|number| value.trim().parse() == Ok(number));
                prop_assert!(number(fields.chunk_size) && number(fields.chunk_overlap));
                let metadata: usize = fields.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
                prop_assert!(metadata <= value.len());
            }
            Err(error) => {
                prop_assert_eq!(error.code, ErrorCode::ValidationError);
                let field = error.details["field"].as_str().unwrap_or_default();
                prop_assert!(field.starts_with(&name), "{field} is not {name}");
            }
        }
    }
}

/// Without end, in pieces of this size; counts what was taken.
fn endless(
    begin: &'static str,
    piece: usize,
    taken: &AtomicUsize,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin {
    let rest = Bytes::from(vec![b'x'; piece]);
    let count = move |piece: &Bytes| _ = taken.fetch_add(piece.len(), Ordering::Relaxed);
    let begin = stream::iter([Ok(Bytes::from_static(begin.as_bytes()))]);
    futures_util::StreamExt::chain(begin, stream::repeat_with(move || Ok(rest.clone()))).inspect_ok(count)
}

#[test]
fn what_is_not_a_part_is_not_held_in_memory() {
    for begin in ["", "--edge\r\nContent-Disposition: form-data; name=\"files\"; filename=\""] {
        for piece in [1 << 10, 400 << 10] {
            let taken = AtomicUsize::new(0);
            let failure = block_on(read(endless(begin, piece, &taken), None)).expect_err("it has no end");
            assert_eq!(failure.error().code, ErrorCode::InvalidMessage);
            assert!(failure.error().message.contains("head of a part"), "{}", failure.error().message);
            let taken = taken.load(Ordering::Relaxed);
            assert!(taken < 1 << 20, "{taken} bytes were taken");
        }
    }
}

#[test]
fn a_large_file_passes_in_small_pieces() {
    let mut form = b"--edge\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\n".to_vec();
    form.resize(4 << 20, b'x');
    form.extend(b"\r\n--edge--\r\n");
    for cut in [1 << 10, 400 << 10, 8 << 20] {
        let Ok(parts) = block_on(read(pieces(&form, cut), Some(form.len() as u64))) else {
            panic!("the form is read in pieces of {cut} bytes");
        };
        assert!(
            matches!(&parts[..], [Part::File { content, .. }] if content.len() > 4_000_000),
            "{cut}"
        );
    }
}
