//! Finds the titles of pages: their first lines, if they are short. `Consolidated Statements of Cash Flows` is on its page only once, above
//! rows that mean little without it.

use prose::document::Span;

/// The most lines of a page's title.
const LINES: usize = 2;
/// How many first lines of a page are examined: only running heads come before a title.
const LOOKED_AT: usize = 5;
/// The longest line of a title, in bytes; lines of prose are longer.
const LONGEST: usize = 80;
/// The fewest characters of a word that a title capitalises.
const LONG_WORD: usize = 4;

/// Takes a document's pages in order, and returns their titles.
#[derive(Debug, Default)]
pub struct Titles {
    /// The start of the last page, which another window may contain again.
    at: Option<u32>,
    /// The first lines of that page, and of the one before it.
    heads: [Vec<String>; 2],
}

impl Titles {
    /// Returns the lines of the title of the page that starts at byte `start` of the document with `text`; none for a page that starts with
    /// prose or figures. Lines that are at the top of the previous page as well are running heads.
    pub fn of(&mut self, start: u32, text: &str) -> Vec<Span> {
        let lines: Vec<(u32, &str)> = lines(text).take(LOOKED_AT).collect();
        if self.at != Some(start) {
            self.heads.swap(0, 1);
            self.at = Some(start);
        }
        let [before, last] = &mut self.heads;
        *last = lines.iter().map(|(_, line)| (*line).to_owned()).collect();
        let fresh = lines.iter().filter(|(_, line)| !before.iter().any(|head| head == line));
        let title = fresh.take_while(|(_, line)| is_title(line)).take(LINES);
        title
            .map(|(at, line)| Span {
                start: start + at,
                end: start + at + line.len() as u32,
            })
            .collect()
    }
}

/// Returns the lines that are not blank, without white space around them, each with its offset.
fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let mut at = 0;
    let lines = text.split('\n').map(move |line| {
        let start = at + (line.len() - line.trim_start().len());
        at += line.len() + 1;
        (start as u32, line.trim())
    });
    lines.filter(|(_, line)| !line.is_empty())
}

/// Returns whether a line is a title: it is short, has words, does not end a sentence, and capitalises at least half of its longer words.
fn is_title(line: &str) -> bool {
    let letters = line.chars().filter(|c| c.is_alphabetic()).count();
    let digits = line.chars().filter(char::is_ascii_digit).count();
    let short = line.len() <= LONGEST && letters >= 3 && digits * 2 < letters;
    let mut long = line
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= LONG_WORD)
        .peekable();
    let has_words = long.peek().is_some();
    let (capital, small): (Vec<&str>, Vec<&str>) = long.partition(|word| word.starts_with(char::is_uppercase));
    short && has_words && capital.len() >= small.len() && !line.ends_with(['.', ',', ';', '?', '!', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(pages: &[&str]) -> Vec<Vec<String>> {
        let mut found = Titles::default();
        let mut start = 0;
        let mut titles = Vec::new();
        for page in pages {
            let lines = found.of(start, page);
            // A page that is seen again has the same title.
            assert_eq!(found.of(start, page), lines);
            let text = |at: &Span| page[(at.start - start) as usize..(at.end - start) as usize].to_owned();
            titles.push(lines.iter().map(text).collect());
            start += page.len() as u32;
        }
        titles
    }

    #[test]
    fn titles_are_short_lines_below_running_heads() {
        let found = titles(&[
            "Acme\n\nBalance Sheets\n\n(Millions) 2018 2017\nCash 2,853 3,053\n",
            "Acme\n\n  Statements of Cash Flows\nYears ended December 31\nMillions 2018\n",
            "Acme\nand so the line of a sentence that began on the page before it goes on and on and on\nto its end\n",
            "12\n",
            "Inventories 4,366 4,034\nAccounts payable 7,244 7,098\n",
            "",
        ]);
        assert_eq!(found[0], ["Acme", "Balance Sheets"]);
        assert_eq!(found[1], ["Statements of Cash Flows", "Years ended December 31"]);
        assert!(found[2..5].iter().all(Vec::is_empty), "{found:?}");
        assert!(found[5].is_empty());
    }

    #[test]
    fn ends_of_sentences_are_no_titles() {
        assert_eq!(
            titles(&["of the year.\nNext Section\n", "Zürich – Übersicht\nText"])[1],
            ["Zürich – Übersicht", "Text"]
        );
        assert!(titles(&["The board intends to continue the\nprogram of last year"])[0].is_empty());
        assert!(titles(&["of the year.\nNext Section\n"])[0].is_empty());
    }
}
