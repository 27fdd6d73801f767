//! Texts to token ids.

use std::{borrow::Cow, path::Path};

use tokenizers::Tokenizer;

use super::{EmbedError, ModelInfo};

/// No text is read further than this, in bytes: it holds many times the tokens of any model's longest input, and
/// bounds the work that one text can cause.
const MAX_READ: usize = 256 << 10;

/// A model's tokenizer. What `tokenizer.json` says about truncation and padding is set aside: the model's
/// description says how many tokens are read, and padding belongs to the batcher.
pub struct Tokens {
    tokenizer: Tokenizer,
    max_tokens: usize,
    lowercase: bool,
    /// The special tokens around a text, such as `[CLS]` and `[SEP]`.
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Tokens {
    /// Reads `tokenizer.json`. Blocks.
    pub fn read(path: &Path, info: &ModelInfo) -> Result<Self, EmbedError> {
        let bytes = std::fs::read(path).map_err(|source| EmbedError::file(path, source))?;
        let invalid = |reason: String| EmbedError::ModelInvalid {
            path: path.to_owned(),
            reason,
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| invalid(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| invalid(error.to_string()))?;

        // Where the special tokens go is asked of the tokenizer itself, with a text of one known part.
        let ids = |special| tokenizer.encode_fast("a", special).map(|encoding| encoding.get_ids().to_vec());
        let bare = ids(false).map_err(|error| invalid(error.to_string()))?;
        let full = ids(true).map_err(|error| invalid(error.to_string()))?;
        let place = full.windows(bare.len().max(1)).position(|window| window == bare.as_slice());
        let (before, after) = place
            .and_then(|place| Some((full.get(..place)?.to_vec(), full.get(place + bare.len()..)?.to_vec())))
            .ok_or_else(|| invalid("special tokens do not stand around a text".to_owned()))?;
        if before.len() + after.len() >= info.max_tokens {
            return Err(invalid(format!("special tokens leave no room in {} tokens", info.max_tokens)));
        }
        Ok(Self {
            tokenizer,
            max_tokens: info.max_tokens,
            lowercase: info.lowercase,
            before,
            after,
        })
    }

    /// The ids of a text as the model reads them: at least the special tokens, at most `max_tokens`.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        let text = text.get(..text.floor_char_boundary(MAX_READ)).unwrap_or(text);
        let encoding = self.tokenizer.encode_fast(self.cased(text), false).map_err(EmbedError::compute)?;
        let room = self.max_tokens - self.before.len() - self.after.len();
        let mut ids = Vec::with_capacity(encoding.len().min(room) + self.before.len() + self.after.len());
        ids.extend_from_slice(&self.before);
        ids.extend(encoding.get_ids().iter().take(room));
        ids.extend_from_slice(&self.after);
        Ok(ids)
    }

    fn cased<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.lowercase {
            Cow::Owned(text.to_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    }

    /// How many tokens a text has, without special ones and however many the model reads.
    pub fn count(&self, text: &str) -> usize {
        // A tokenizer that cannot read a text is taken at its worst: a token for each byte.
        self.tokenizer
            .encode_fast(self.cased(text), false)
            .map_or(text.len(), |encoding| encoding.len())
    }
}
