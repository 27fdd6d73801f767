//! Tokenises texts.

use std::{borrow::Cow, path::Path, sync::Arc};

use tokenizers::Tokenizer;

use super::{EmbedError, ModelInfo, ModelKind};

/// The most bytes of a text that are tokenised: many times the tokens of any model's longest input. It bounds the work that one text can
/// cause.
const MAX_READ: usize = 256 << 10;

/// One input of a model.
#[derive(Clone, Debug)]
pub enum Input {
    /// A text.
    Text(String),
    /// A passage, and the question to score it for.
    Pair { question: Arc<str>, passage: String },
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The special tokens around a question and a passage that are read together.
struct Around {
    before: Vec<u32>,
    between: Vec<u32>,
    after: Vec<u32>,
    /// Whether the tokens from the passage on are of type 1.
    typed: bool,
}

/// A model's tokenizer. The truncation and padding of `tokenizer.json` are ignored: the model's description sets the number of tokens, and
/// batches are padded later.
pub struct Tokens {
    tokenizer: Tokenizer,
    max_tokens: usize,
    lowercase: bool,
    /// The special tokens around a text, such as `[CLS]` and `[SEP]`.
    before: Vec<u32>,
    after: Vec<u32>,
    /// The special tokens around pairs; only for rerankers.
    around: Option<Around>,
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

        // Tokenise a text of one known part to find where the tokenizer puts special tokens.
        let ids = |special| tokenizer.encode_fast("a", special).map(|encoding| encoding.get_ids().to_vec());
        let bare = ids(false).map_err(|error| invalid(error.to_string()))?;
        let full = ids(true).map_err(|error| invalid(error.to_string()))?;
        let position = full.windows(bare.len().max(1)).position(|window| window == bare.as_slice());
        let (before, after) = position
            .and_then(|position| Some((full.get(..position)?.to_vec(), full.get(position + bare.len()..)?.to_vec())))
            .ok_or_else(|| invalid("special tokens do not stand around a text".to_owned()))?;
        if before.len() + after.len() >= info.max_tokens {
            return Err(invalid(format!("special tokens leave no room in {} tokens", info.max_tokens)));
        }
        let around = match info.kind {
            ModelKind::Embedding => None,
            ModelKind::Reranker => Some(Around::of(&tokenizer, info.max_tokens).map_err(invalid)?),
        };
        Ok(Self {
            around,
            tokenizer,
            max_tokens: info.max_tokens,
            lowercase: info.lowercase,
            before,
            after,
        })
    }

    /// Returns the token ids of a text: at least the special tokens, at most `max_tokens`.
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

    /// Returns the token ids of an input, and where its second text begins; the length if there is only one text.
    pub fn read_input(&self, input: &Input) -> Result<(Vec<u32>, usize), EmbedError> {
        match input {
            Input::Text(text) => {
                let ids = self.ids(text)?;
                let end = ids.len();
                Ok((ids, end))
            }
            Input::Pair { question, passage } => self.pair(question, passage),
        }
    }

    /// Returns the token ids of a question and a passage. If both do not fit, the passage is cut; the question is cut only if it takes more
    /// than half of the room.
    fn pair(&self, question: &str, passage: &str) -> Result<(Vec<u32>, usize), EmbedError> {
        let around = self
            .around
            .as_ref()
            .ok_or_else(|| EmbedError::compute("an embedding model reads no pairs"))?;
        let bare = |text: &str| {
            let text = text.get(..text.floor_char_boundary(MAX_READ)).unwrap_or(text);
            self.tokenizer.encode_fast(self.cased(text), false).map_err(EmbedError::compute)
        };
        let (question, passage) = (bare(question)?, bare(passage)?);
        let room = self.max_tokens - around.length();
        let asked = question.len().min(room - passage.len().min(room / 2));
        let told = passage.len().min(room - asked);
        let mut ids = Vec::with_capacity(asked + told + around.length());
        ids.extend_from_slice(&around.before);
        ids.extend(question.get_ids().iter().take(asked));
        ids.extend_from_slice(&around.between);
        let second = ids.len();
        ids.extend(passage.get_ids().iter().take(told));
        ids.extend_from_slice(&around.after);
        let second = if around.typed { second } else { ids.len() };
        Ok((ids, second))
    }

    fn cased<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.lowercase {
            Cow::Owned(text.to_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Counts the tokens of a text, without special tokens and without the model's limit.
    pub fn count(&self, text: &str) -> usize {
        // A text that cannot be tokenised counts as the worst case: a token for each byte.
        self.tokenizer
            .encode_fast(self.cased(text), false)
            .map_or(text.len(), |encoding| encoding.len())
    }
}

impl Around {
    /// Finds the special tokens by tokenising a pair of known parts.
    fn of(tokenizer: &Tokenizer, max_tokens: usize) -> Result<Self, String> {
        let bare = |text: &str| tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec());
        let (first, second) = (
            bare("a").map_err(|error| error.to_string())?,
            bare("b").map_err(|error| error.to_string())?,
        );
        let pair = tokenizer.encode_fast(("a", "b"), true).map_err(|error| error.to_string())?;
        let (ids, types) = (pair.get_ids(), pair.get_type_ids());
        let find = |part: &[u32], from: usize| {
            let positions = ids.get(from..)?.windows(part.len().max(1)).position(|window| window == part)?;
            Some(from + positions)
        };
        let positions = find(&first, 0).and_then(|position| Some((position, find(&second, position + first.len())?)));
        let unclear = || "special tokens do not stand around the texts of a pair".to_owned();
        let (at_first, at_second) = positions.ok_or_else(unclear)?;
        let part = |range: std::ops::Range<usize>| ids.get(range).map(<[u32]>::to_vec).ok_or_else(unclear);
        let around = Self {
            before: part(0..at_first)?,
            between: part(at_first + first.len()..at_second)?,
            after: part(at_second + second.len()..ids.len())?,
            typed: types.iter().any(|kind| *kind != 0),
        };
        let expected = |position: usize| u32::from(around.typed && position >= at_second);
        if types.iter().enumerate().any(|(position, kind)| *kind != expected(position)) {
            return Err(format!(
                "the types of a pair's tokens are {types:?}: 0 for the question and 1 for the passage is what is read"
            ));
        }
        // At least one token of each.
        if around.length() + 2 > max_tokens {
            return Err(format!("special tokens leave no room for a pair in {max_tokens} tokens"));
        }
        Ok(around)
    }

    fn length(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
}
