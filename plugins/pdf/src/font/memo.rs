//! What codes of two bytes mean, once it was found out: a document says each of them thousands of times, and each look asks three sorted
//! lists.

/// Codes that share their first byte: for each second byte the place of what is known of it, plus one; 0 for what is not known.
type Row = Box<[u32; 256]>;

/// What a code means.
#[derive(Debug, Clone, Copy)]
struct Known {
    advance: f32,
    /// Its text, in the text of all.
    start: u32,
    end: u32,
}

/// Codes that were looked up.
#[derive(Debug, Default)]
pub(super) struct Memo {
    rows: Vec<Option<Row>>,
    known: Vec<Known>,
    text: String,
}

impl Memo {
    /// The advance and the text of a code. `look_up` appends the text of one that is not known yet, and gives its advance.
    pub(super) fn get(&mut self, code: [u8; 2], look_up: impl FnOnce(u32, &mut String) -> f32) -> (f32, &str) {
        let [first, second] = code.map(usize::from);
        let place = self.rows.get(first).and_then(Option::as_ref).map_or(0, |row| row[second]);
        let known = (place as usize).checked_sub(1).and_then(|at| self.known.get(at)).copied();
        let Known { advance, start, end } = match known {
            Some(known) => known,
            None => self.learn(code, look_up),
        };
        (advance, self.text.get(start as usize..end as usize).unwrap_or_default())
    }

    #[cold]
    fn learn(&mut self, code: [u8; 2], look_up: impl FnOnce(u32, &mut String) -> f32) -> Known {
        let start = self.text.len();
        let advance = look_up(u32::from(u16::from_be_bytes(code)), &mut self.text);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let known = Known {
            advance,
            start: place(start),
            end: place(self.text.len()),
        };
        self.known.push(known);
        let [first, second] = code.map(usize::from);
        if self.rows.is_empty() {
            self.rows.resize_with(256, || None);
        }
        if let Some(row) = self.rows.get_mut(first) {
            row.get_or_insert_with(|| Box::new([0; 256]))[second] = place(self.known.len());
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_looked_up_once() {
        let mut memo = Memo::default();
        let mut asked = Vec::new();
        for code in [[0, 3], [1, 3], [0, 3], [255, 255], [1, 3], [0, 0]] {
            let expected = u32::from(u16::from_be_bytes(code));
            let (advance, text) = memo.get(code, |code, text| {
                asked.push(code);
                text.push_str(&format!("<{code}>"));
                code as f32 / 2.0
            });
            assert_eq!((advance, text), (expected as f32 / 2.0, &*format!("<{expected}>")));
        }
        assert_eq!(asked, [3, 259, 65535, 0]);
    }
}
