//! Reads a Markdown file in pieces, and returns its blocks and metadata with offsets in the file.

use crate::blocks::{Block, blocks};
use crate::front_matter::front_matter;
use crate::windows::Windows;

/// Reads a file piece by piece, in memory that does not grow with the file.
#[derive(Debug, Default)]
pub struct Reader {
    windows: Windows,
    /// The offset of the next window in the file, in bytes.
    offset: usize,
    attrs: Vec<(&'static str, String)>,
}

impl Reader {
    /// Makes a reader at the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next piece, and returns the blocks that are complete, in order.
    pub fn push(&mut self, piece: &str) -> Vec<Block> {
        self.windows.push(piece);
        self.read(false)
    }

    /// Ends the file. Returns the last blocks and the metadata.
    pub fn finish(mut self) -> (Vec<Block>, Vec<(&'static str, String)>) {
        let last = self.read(true);
        (last, self.attrs)
    }

    fn read(&mut self, at_end: bool) -> Vec<Block> {
        let mut found = Vec::new();
        while let Some(window) = self.windows.next(at_end) {
            let mut skip = 0;
            if self.offset == 0 {
                skip = window.len() - window.trim_start_matches('\u{feff}').len();
                let matter = front_matter(window.get(skip..).unwrap_or_default());
                skip += matter.len;
                self.attrs = matter.attrs;
            }
            let (blocks, title) = blocks(window.get(skip..).unwrap_or_default());
            let title = title.filter(|_| !self.attrs.iter().any(|(key, _)| *key == "title"));
            self.attrs.extend(title.map(|title| ("title", title)));
            let base = self.offset + skip;
            found.extend(blocks.into_iter().map(|block| Block {
                at: block.at.start + base..block.at.end + base,
                title: block.title.map(|at| at.start + base..at.end + base),
                ..block
            }));
            self.offset += window.len();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Block>, Vec<(&'static str, String)>) {
        let mut reader = Reader::new();
        let characters: Vec<char> = text.chars().collect();
        let pieces = characters.chunks(200_000).map(|piece| piece.iter().collect::<String>());
        let mut found: Vec<Block> = pieces.flat_map(|piece| reader.push(&piece)).collect();
        let (last, attrs) = reader.finish();
        found.extend(last);
        (found, attrs)
    }

    #[test]
    fn front_matter_is_metadata_and_no_block() {
        let text = "\u{feff}---\ntitle: From above\n---\n# A heading\n\ntext";
        let (found, attrs) = read(text);
        assert_eq!(attrs, [("title", "From above".to_owned())]);
        let parts: Vec<&str> = found.iter().map(|block| &text[block.at.clone()]).collect();
        assert_eq!(parts, ["# A heading", "text"]);
    }

    #[test]
    fn a_heading_is_the_title_otherwise() {
        assert_eq!(read("# Grüße\n\ntext\n# More").1, [("title", "Grüße".to_owned())]);
        assert!(read("text").1.is_empty());
    }

    #[test]
    fn large_files_read_as_small_ones_do() {
        let part = "# Grüße\n\nA paragraph.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n\n";
        let (one, _) = read(part);
        let (many, attrs) = read(&part.repeat(20_000));
        assert_eq!(many.len(), 20_000 * one.len());
        assert_eq!(attrs.len(), 1);
        let shift = 19_999 * part.len();
        let moved = one.iter().map(|b| Block {
            at: b.at.start + shift..b.at.end + shift,
            title: b.title.clone().map(|at| at.start + shift..at.end + shift),
            ..b.clone()
        });
        assert!(moved.eq(many.into_iter().rev().take(one.len()).rev()));
    }

    #[test]
    fn monotonous_files_are_no_trouble() {
        for part in [
            "\n", "a", "#", "|", ">", "[", "*", "`", "<", "- ", "![", "|-\n", "a\n|-\n", "1. ", "&", "\\", "  \n>", "_a",
        ] {
            let (found, _) = read(&part.repeat((5 << 20) / part.len()));
            assert!(found.len() < 3_000_000, "{part}");
        }
    }
}
