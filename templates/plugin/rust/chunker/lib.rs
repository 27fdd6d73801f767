//! Joins paragraphs into chunks of so many tokens.

use ibid_plugin::{Chunker, Document, Failure, Piece, Settings, Span};
use serde::Deserialize;
use std::ops::Range;

/// The settings: `config.schema.json` as a struct.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Tokens of a chunk at most.
    pub max_tokens: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_tokens: 200 }
    }
}

impl Settings for Config {}

/// The chunker: its settings are all that it keeps.
struct Plugin(Config);

ibid_plugin::chunker!(Plugin);

impl Chunker for Plugin {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn chunk(&self, document: &impl Document, within: Span) -> Result<Vec<Piece>, Failure> {
        // The whole part at once; a document of many megabytes is better read in windows of 64 KiB or more.
        let text = document.text(within);
        let span = |at: &Range<usize>| Span::from(at.clone()).shifted(within.start);
        let paragraphs = paragraphs(&text);
        let spans: Vec<Span> = paragraphs.iter().map(span).collect();
        // One call for all of them: each call into the host costs.
        let tokens = document.count_spans(&spans);
        let chunks = join(&paragraphs, &tokens, &self.0);
        Ok(chunks.iter().map(|at| Piece::new(span(at))).collect())
    }
}

/// Where the paragraphs of a text stand: bytes, without white space at their ends. A paragraph ends at a blank line.
pub fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut offset = 0;
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        if content.is_empty() {
            goes_on = false;
        } else {
            let start = offset + line.len() - line.trim_start().len();
            let end = start + content.len();
            match found.last_mut().filter(|_| goes_on) {
                Some(last) => last.end = end,
                None => found.push(start..end),
            }
            goes_on = true;
        }
        offset += line.len();
    }
    found
}

/// Joins neighbours while they have no more than `max_tokens` together; `tokens` has a number for each paragraph.
pub fn join(paragraphs: &[Range<usize>], tokens: &[u32], config: &Config) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let mut held = 0;
    for (paragraph, own) in paragraphs.iter().zip(tokens) {
        match chunks.last_mut().filter(|_| held + own <= config.max_tokens) {
            Some(last) => {
                last.end = paragraph.end;
                held += own;
            }
            None => {
                chunks.push(paragraph.clone());
                held = *own;
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_plugin::testing::Text;

    #[test]
    fn paragraphs_end_at_blank_lines() {
        let text = "  Eins\nzwei\n\n\nDrei 日本\n";
        let found: Vec<&str> = paragraphs(text).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, ["Eins\nzwei", "Drei 日本"]);
    }

    #[test]
    fn neighbours_are_joined_while_there_is_room() {
        let config = Config { max_tokens: 10 };
        assert_eq!(join(&[0..3, 5..8, 10..13], &[6, 4, 1], &config), [0..8, 10..13]);
        assert_eq!(join(&[0..3, 5..8], &[60, 4], &config), [0..3, 5..8]);
    }

    #[test]
    fn chunks_quote_the_document() {
        let document = Text::new("One two.\n\nThree.\n\nFour five six.");
        let plugin = Plugin::open(r#"{"max_tokens": 3}"#).unwrap();
        let chunks = plugin.chunk(&document, document.span()).unwrap();
        let quoted: Vec<_> = chunks.iter().map(|chunk| document.get(chunk.at)).collect();
        assert_eq!(quoted, [Some("One two.\n\nThree."), Some("Four five six.")]);
    }
}
