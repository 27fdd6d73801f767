//! Divides rows into the batches that the model runs.
//!
//! A text gets the same vector whatever texts it is computed with, so that rankings are reproducible. Matrix products compute a row to the
//! same bits whatever rows stand beside it, but attention does not if the row is padded to another length. So the padded length is a
//! function of the text's own length alone, and only rows of equal padded length share a batch. An engine that packs rows without padding
//! needs none of this: its attention sees one row at a time.

use super::{queue::Row, session::Rows};

/// Padded lengths are multiples of this many tokens. Measured on sentences and queries: with 8 or 16, padding costs more than larger
/// batches gain, and with 1, hardly two texts share a batch.
pub const STEP: usize = 4;

/// A tokenised input of the model.
pub trait Encoded: AsRef<[u32]> {
    /// Returns where the second text of a pair begins; the length if there is only one text.
    fn second(&self) -> usize {
        self.as_ref().len()
    }
}

impl Encoded for Vec<u32> {}
impl Encoded for &[u32] {}

/// Rows that run together.
pub struct Batch<R = Row> {
    /// The length that rows are padded to. `None`: the longest row, or no padding where rows are packed.
    pub length: Option<usize>,
    pub rows: Vec<R>,
}

/// As [`STEP`], on a GPU, where large batches pay and a little padding is cheap.
pub const GPU_STEP: usize = 16;

/// The bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How rows are padded, if they are.
    pub padding: Option<Padding>,
    /// The most tokens with padding, unless a single row has more.
    pub tokens: usize,
    /// The most rows.
    pub rows: usize,
}

/// How rows are padded.
#[derive(Clone, Copy, Debug)]
pub struct Padding {
    /// Padded lengths are multiples of this; at least 1.
    pub step: usize,
    /// The longest padded length: the model's `max_tokens`.
    pub longest: usize,
}

/// Returns the padded length of a row of `tokens` tokens.
pub fn padded(tokens: usize, step: usize, longest: usize) -> usize {
    tokens.next_multiple_of(step.max(1)).min(longest).max(tokens)
}

/// Divides rows into batches. Padded rows are sorted by padded length, shortest first; packed rows keep their order.
pub fn divide<R: AsRef<[u32]>>(rows: Vec<R>, limits: Limits) -> Vec<Batch<R>> {
    match limits.padding {
        Some(padding) => divide_padded(rows, limits, padding),
        None => divide_in_order(rows, limits),
    }
}

fn divide_in_order<R: AsRef<[u32]>>(rows: Vec<R>, limits: Limits) -> Vec<Batch<R>> {
    let mut batches: Vec<Batch<R>> = Vec::new();
    let mut tokens = 0;
    for row in rows {
        let length = row.as_ref().len();
        match batches.last_mut() {
            Some(batch) if tokens + length <= limits.tokens && batch.rows.len() < limits.rows => {
                tokens += length;
                batch.rows.push(row);
            }
            _ => {
                tokens = length;
                batches.push(Batch {
                    length: None,
                    rows: vec![row],
                });
            }
        }
    }
    batches
}

fn divide_padded<R: AsRef<[u32]>>(mut rows: Vec<R>, limits: Limits, padding: Padding) -> Vec<Batch<R>> {
    let length_of = |row: &R| padded(row.as_ref().len(), padding.step, padding.longest);
    rows.sort_by_key(length_of);
    let mut batches: Vec<Batch<R>> = Vec::new();
    for row in rows {
        let length = length_of(&row);
        let most = (limits.tokens / length.max(1)).clamp(1, limits.rows.max(1));
        match batches.last_mut() {
            Some(batch) if batch.length == Some(length) && batch.rows.len() < most => batch.rows.push(row),
            _ => batches.push(Batch {
                length: Some(length),
                rows: vec![row],
            }),
        }
    }
    batches
}

impl<R: Encoded> Batch<R> {
    /// Returns its size in tokens, padding included.
    pub fn cells(&self) -> usize {
        let lengths = self.rows.iter().map(|row| row.as_ref().len());
        lengths.map(|length| self.length.unwrap_or(length)).sum()
    }

    /// Converts the batch to the padded rows that a model reads.
    pub fn to_rows(&self) -> Rows {
        let longest = self.rows.iter().map(|row| row.as_ref().len()).max();
        let length = self.length.or(longest).unwrap_or_default();
        let cells = self.rows.len() * length;
        let (mut ids, mut mask, mut types) = (Vec::with_capacity(cells), Vec::with_capacity(cells), Vec::with_capacity(cells));
        for (index, row) in self.rows.iter().enumerate() {
            ids.extend(row.as_ref().iter().map(|&id| i64::from(id)));
            mask.resize(ids.len(), 1);
            types.resize(index * length + row.second(), 0);
            types.resize(ids.len(), 1);
            // Any id that exists does for padding, since the mask hides it.
            ids.resize((index + 1) * length, 0);
            mask.resize(ids.len(), 0);
            types.resize(ids.len(), 0);
        }
        Rows {
            rows: self.rows.len(),
            length,
            ids,
            mask,
            types,
        }
    }
}
