//! Which rows share a run of the model.
//!
//! A text's vector must not depend on the texts it happens to be computed with: ranks have to come out the
//! same each time. Matrix products give a row the same bits whatever rows stand beside it, but attention does not
//! if the row is padded to another length. So the padded length is a function of the text's own length alone, and only
//! rows of equal padded length share a batch.

use super::{queue::Row, session::Rows};

/// Padded lengths are multiples of this many tokens. Measured on sentences and queries: with 8 or 16 padding costs
/// more than larger batches gain, and with 1 hardly two texts share a batch.
pub const STEP: usize = 4;

/// What is read at once, as the model reads it.
pub trait Encoded: AsRef<[u32]> {
    /// Where the second text of a pair begins; at the end of a single text.
    fn second(&self) -> usize {
        self.as_ref().len()
    }
}

impl Encoded for Vec<u32> {}
impl Encoded for &[u32] {}

/// Rows of one padded length, ready to be run.
pub struct Batch<R = Row> {
    pub length: usize,
    pub rows: Vec<R>,
}

/// The same on a GPU, where a batch wants many rows, and a little padding costs little.
pub const GPU_STEP: usize = 16;

/// The bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What padded lengths are multiples of; at least 1.
    pub step: usize,
    /// Tokens with padding, unless a single row has more.
    pub tokens: usize,
    /// Rows.
    pub rows: usize,
    /// What no row is padded beyond: the model's `max_tokens`.
    pub length: usize,
}

/// The length that a row of `tokens` tokens is padded to.
pub fn padded(tokens: usize, step: usize, longest: usize) -> usize {
    tokens.next_multiple_of(step.max(1)).min(longest).max(tokens)
}

/// Divides rows into batches, short ones first. Keeps the order of rows of equal padded length.
pub fn divide<R: AsRef<[u32]>>(mut rows: Vec<R>, limits: Limits) -> Vec<Batch<R>> {
    let length_of = |row: &R| padded(row.as_ref().len(), limits.step, limits.length);
    rows.sort_by_key(length_of);
    let mut batches: Vec<Batch<R>> = Vec::new();
    for row in rows {
        let length = length_of(&row);
        let most = (limits.tokens / length.max(1)).clamp(1, limits.rows.max(1));
        match batches.last_mut() {
            Some(batch) if batch.length == length && batch.rows.len() < most => batch.rows.push(row),
            _ => batches.push(Batch { length, rows: vec![row] }),
        }
    }
    batches
}

impl<R: Encoded> Batch<R> {
    /// The batch as the model reads it.
    pub fn to_rows(&self) -> Rows {
        let cells = self.rows.len() * self.length;
        let (mut ids, mut mask, mut types) = (Vec::with_capacity(cells), Vec::with_capacity(cells), Vec::with_capacity(cells));
        for (index, row) in self.rows.iter().enumerate() {
            ids.extend(row.as_ref().iter().map(|&id| i64::from(id)));
            mask.resize(ids.len(), 1);
            types.resize(index * self.length + row.second(), 0);
            types.resize(ids.len(), 1);
            // Any id that exists will do for padding, since the mask hides it.
            ids.resize((index + 1) * self.length, 0);
            mask.resize(ids.len(), 0);
            types.resize(ids.len(), 0);
        }
        Rows {
            rows: self.rows.len(),
            length: self.length,
            ids,
            mask,
            types,
        }
    }
}
