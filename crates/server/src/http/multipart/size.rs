//! How long a file in a form is where its part does not say, which neither browsers nor curl do: at most what is left of
//! the request. Plain bytes; no I/O.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a form that are looked at: the first file begins within them, unless the fields before it are long.
const LOOKED_AT: usize = 64 << 10;

/// Looks on while a form goes by.
#[derive(Debug, Clone)]
pub(super) struct FormSize {
    /// Of the request, if it says so.
    length: Option<u64>,
    delimiter: String,
    head: Arc<Mutex<Vec<u8>>>,
}

impl FormSize {
    /// Of a form of `length` bytes.
    pub fn new(length: Option<u64>, boundary: &str) -> Self {
        Self {
            length,
            delimiter: format!("--{boundary}"),
            head: Arc::default(),
        }
    }

    /// Takes note of bytes that go by.
    pub fn pass(&self, bytes: &[u8]) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LOOKED_AT.saturating_sub(head.len());
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The most bytes that the content of the part with this number, from 1, can have; exact if it is the last.
    pub fn at_most(&self, part: usize) -> Option<u64> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = 0;
        for _ in 0..part {
            at = after(&head, at, self.delimiter.as_bytes())?;
            at = after(&head, at, b"\r\n\r\n")?;
        }
        // The line end before the last delimiter, and the two dashes and the line end after it.
        let closing = self.delimiter.len() as u64 + 6;
        self.length?.checked_sub(at as u64 + closing)
    }
}

/// Where the next `pattern` from `from` on ends.
fn after(bytes: &[u8], from: usize, pattern: &[u8]) -> Option<usize> {
    let found = bytes.get(from..)?.windows(pattern.len()).position(|window| window == pattern)?;
    Some(from + found + pattern.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_last_part_is_as_long_as_it_is(
            fields in prop::collection::vec("[ -~\r\n]{0,40}", 0..4), content in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..50,
        ) {
            let mut form = Vec::new();
            for field in &fields {
                prop_assume!(!field.contains("--edge"));
                form.extend(format!("--edge\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{field}\r\n").into_bytes());
            }
            form.extend(b"--edge\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\n");
            form.extend(&content);
            form.extend(b"\r\n--edge--\r\n");
            let size = FormSize::new(Some(form.len() as u64), "edge");
            for piece in form.chunks(cut) {
                size.pass(piece);
            }
            prop_assert_eq!(size.at_most(fields.len() + 1), Some(content.len() as u64));
        }

        #[test]
        fn no_form_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), length in prop::option::of(any::<u64>()), part in 0usize..4) {
            let size = FormSize::new(length, "");
            size.pass(&bytes);
            let _ = size.at_most(part);
        }
    }

    #[test]
    fn what_begins_too_late_is_not_known() {
        let size = FormSize::new(Some(1 << 30), "edge");
        size.pass(&vec![b'x'; 2 * LOOKED_AT]);
        size.pass(b"--edge\r\n\r\n");
        assert_eq!(size.at_most(1), None);
        assert_eq!(FormSize::new(None, "edge").at_most(0), None);
    }
}
