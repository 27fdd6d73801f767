//! From the tokens of a page to text.

use crate::config::Config;
use blocks::Writer;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use std::cell::RefCell;

/// What a page holds.
#[derive(Debug, Default)]
pub struct Page {
    /// Text and units.
    pub writer: Writer,
    /// `title`, `author`, `description`, `language`, `created`: what the page says of itself.
    pub attrs: Vec<(&'static str, String)>,
    /// Whether something was left out to the page's end, as where a menu is never closed.
    pub swallowed: bool,
}

/// Reads a page that comes in pieces.
pub struct Reader {
    tokenizer: Tokenizer<Sink>,
    input: BufferQueue,
}

impl Reader {
    /// A reader at the start of a page.
    pub fn new(config: &Config) -> Self {
        let sink = Sink(RefCell::new(State {
            keep_navigation: config.navigation,
            ..State::default()
        }));
        Self {
            tokenizer: Tokenizer::new(sink, TokenizerOpts::default()),
            input: BufferQueue::default(),
        }
    }

    /// Reads on.
    pub fn push(&mut self, piece: &str) {
        self.input.push_back(StrTendril::from(piece));
        self.feed();
    }

    /// Ends the page.
    pub fn finish(self) -> Page {
        self.feed();
        self.tokenizer.end();
        let mut state = self.tokenizer.sink.0.into_inner();
        state.end_block();
        Page {
            swallowed: !state.skipped.is_empty(),
            writer: state.writer,
            attrs: state.attrs,
        }
    }

    fn feed(&self) {
        // It pauses at scripts, which are not run.
        while !self.input.is_empty() {
            let _ = self.tokenizer.feed(&self.input);
        }
    }
}

struct Sink(RefCell<State>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut state = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => return state.tag(&tag),
            Token::CharacterTokens(text) => state.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// A table that is open.
#[derive(Debug, Default)]
struct Table {
    /// Number of units before it.
    first: usize,
    /// Whether its first row has header cells.
    has_header: bool,
    rows: usize,
}

#[derive(Default)]
struct State {
    writer: Writer,
    attrs: Vec<(&'static str, String)>,
    keep_navigation: bool,
    /// Names of the open elements whose text is left out, with how often each is open.
    skipped: Vec<(String, usize)>,
    /// Level of the heading that is open.
    heading: Option<u8>,
    lists: u8,
    in_item: bool,
    quotes: u8,
    verbatim: bool,
    caption: bool,
    title: Option<String>,
    main: usize,
    tables: Vec<Table>,
    in_row: bool,
}

impl State {
    fn text(&mut self, text: &str) {
        match &mut self.title {
            Some(title) => title.push_str(text),
            None if self.skipped.is_empty() => self.writer.push(text, self.verbatim),
            None => {}
        }
    }

    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let opens = tag.kind == TagKind::StartTag;
        // What follows these is no markup up to their end tag.
        let raw = match name {
            "script" => Some(RawKind::ScriptData),
            "style" | "iframe" | "noembed" | "noframes" | "xmp" => Some(RawKind::Rawtext),
            "title" | "textarea" => Some(RawKind::Rcdata),
            _ => None,
        };
        if self.skip(name, opens, tag.self_closing) {
            return match raw.filter(|_| opens) {
                Some(kind) => TokenSinkResult::RawData(kind),
                None => TokenSinkResult::Continue,
            };
        }
        match name {
            "title" if opens => self.title = Some(String::new()),
            "title" => {
                let title = self.title.take().unwrap_or_default();
                self.say("title", &title);
            }
            "html" if opens => {
                let language = attribute(tag, "lang").or_else(|| attribute(tag, "xml:lang")).unwrap_or_default();
                self.say("language", &language);
            }
            "meta" if opens => self.meta(tag),
            "br" => self.writer.line_break(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.end_block();
                let level = name.as_bytes().get(1).map_or(1, |digit| digit.saturating_sub(b'0'));
                self.heading = opens.then_some(level);
            }
            "ul" | "ol" | "menu" | "dl" => {
                self.end_block();
                self.lists = count(self.lists, opens);
                self.in_item = false;
            }
            "li" | "dt" | "dd" => {
                self.end_block();
                self.in_item = opens;
            }
            "blockquote" => {
                self.end_block();
                self.quotes = count(self.quotes, opens);
            }
            "pre" => {
                self.end_block();
                self.verbatim = opens;
            }
            "caption" | "figcaption" => {
                self.end_block();
                self.caption = opens;
            }
            "table" if opens => {
                self.end_block();
                self.in_row = false;
                self.tables.push(Table {
                    first: self.writer.units.len(),
                    ..Table::default()
                });
            }
            "table" => {
                self.end_block();
                self.in_row = false;
                if let Some(table) = self.tables.pop() {
                    self.writer.end_table(table.first, table.has_header);
                }
            }
            "tr" => {
                self.end_block();
                self.in_row = opens && !self.tables.is_empty();
            }
            "td" | "th" if opens && self.in_row => {
                self.writer.cell();
                if let Some(table) = self.tables.last_mut().filter(|table| table.rows == 0 && name == "th") {
                    table.has_header = true;
                }
            }
            // A cell may hold paragraphs: the row stays one line.
            "p" | "div" if self.in_row => self.writer.push(" ", false),
            "main" | "article" => {
                self.end_block();
                self.main = if opens {
                    self.main.saturating_add(1)
                } else {
                    self.main.saturating_sub(1)
                };
            }
            "p" | "div" | "section" | "header" | "footer" | "aside" | "nav" | "figure" | "hr" | "address" | "details" | "summary"
            | "fieldset" | "form" | "tbody" | "thead" | "tfoot" | "body" => self.end_block(),
            _ => {}
        }
        match raw.filter(|_| opens) {
            Some(kind) => TokenSinkResult::RawData(kind),
            None => TokenSinkResult::Continue,
        }
    }

    /// Whether the element is left out, or lies in one that is.
    fn skip(&mut self, name: &str, opens: bool, closes_itself: bool) -> bool {
        if let Some((outermost, depth)) = self.skipped.last_mut() {
            if outermost.as_str() == name && !closes_itself {
                *depth = if opens { *depth + 1 } else { *depth - 1 };
                if *depth == 0 {
                    self.skipped.pop();
                }
            }
            return true;
        }
        let is_left_out = match name {
            "script" | "style" | "noscript" | "template" | "svg" | "math" | "iframe" | "object" | "select" | "button" | "textarea" => true,
            "nav" | "aside" => !self.keep_navigation,
            // Of an article they hold its title and its author; of a page, menus.
            "header" | "footer" => !self.keep_navigation && self.main == 0,
            _ => false,
        };
        if is_left_out && opens && !closes_itself {
            self.end_inline(name);
            self.skipped.push((name.to_owned(), 1));
        }
        is_left_out
    }

    /// What is left out within a line is a gap in it; what stands for itself ends the block.
    fn end_inline(&mut self, name: &str) {
        match name {
            "nav" | "aside" | "header" | "footer" => self.end_block(),
            _ => self.writer.push(" ", false),
        }
    }

    fn end_block(&mut self) {
        let (kind, level) = match (self.heading, self.in_row) {
            (Some(level), false) => ("heading", level),
            (_, true) => ("table-row", 0),
            _ if self.caption => ("caption", 0),
            _ if self.verbatim => ("code", 0),
            _ if self.in_item => ("list-item", self.lists.max(1)),
            _ if self.quotes > 0 => ("quote", 0),
            _ => ("paragraph", 0),
        };
        if self.writer.end_block(kind, level).is_some()
            && kind == "table-row"
            && let Some(table) = self.tables.last_mut()
        {
            table.rows += 1;
        }
    }

    fn meta(&mut self, tag: &Tag) {
        let name = attribute(tag, "name")
            .or_else(|| attribute(tag, "property"))
            .unwrap_or_default()
            .to_ascii_lowercase();
        let key = match name.as_str() {
            "author" | "article:author" | "dc.creator" => "author",
            "description" | "og:description" => "description",
            "date" | "article:published_time" | "dc.date" => "created",
            "og:title" => "title",
            _ => return,
        };
        self.say(key, &attribute(tag, "content").unwrap_or_default());
    }

    /// Keeps what the page says of itself: the first word on each matter.
    fn say(&mut self, key: &'static str, value: &str) {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() && self.attrs.iter().all(|(known, _)| *known != key) {
            self.attrs.push((key, value.chars().take(1_000).collect()));
        }
    }
}

fn count(depth: u8, opens: bool) -> u8 {
    if opens { depth.saturating_add(1) } else { depth.saturating_sub(1) }
}

fn attribute(tag: &Tag, name: &str) -> Option<String> {
    let found = tag.attrs.iter().find(|attribute| &*attribute.name.local == name)?;
    Some(found.value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(html: &str) -> Page {
        let mut reader = Reader::new(&Config::default());
        reader.push(html);
        reader.finish()
    }

    fn units(page: &Page) -> Vec<(&str, u8, &str)> {
        let text = |at: &std::ops::Range<usize>| &page.writer.text[at.clone()];
        page.writer
            .units
            .iter()
            .map(|unit| (unit.kind, unit.level, text(&unit.at)))
            .collect()
    }

    #[test]
    fn a_page_becomes_its_blocks() {
        let page = read(
            "<!doctype html><html lang=de><head><title>Das\n Caf&eacute;</title><meta name=author content='Ann Lee'>\
             <style>p { color: red }</style><script>if (a < b) document.write('<p>no</p>')</script></head>\
             <body><header><nav><a href=/>Home</a></nav></header><main><h1>Opening <em>hours</em></h1>\
             <p>We open at 7:30<br>on weekdays &mdash; except\n  Monday.<ul><li>Tea<li>Coffee<ul><li>Black</ul></ul>\
             <pre>a  b\n  c</pre><blockquote><p>Good!</blockquote></main><footer>Imprint</footer>",
        );
        assert_eq!(
            units(&page),
            [
                ("heading", 1, "Opening hours"),
                ("paragraph", 0, "We open at 7:30\non weekdays — except Monday."),
                ("list-item", 1, "Tea"),
                ("list-item", 1, "Coffee"),
                ("list-item", 2, "Black"),
                ("code", 0, "a  b\n  c"),
                ("quote", 0, "Good!"),
            ]
        );
        assert_eq!(
            page.attrs,
            [
                ("language", "de".into()),
                ("title", "Das Café".into()),
                ("author", "Ann Lee".into())
            ]
        );
        assert!(!page.swallowed);
    }

    #[test]
    fn rows_keep_their_header() {
        let page = read(
            "<table><caption>Wardens</caption><thead><tr><th>Floor<th>Name</thead>\
             <tr><td>1<td><p>Ann</p><p>Lee</p><tr><td>2<td>Jürgen Groß</table><p>End",
        );
        assert_eq!(
            units(&page),
            [
                ("table", 0, "Wardens\n\nFloor | Name\n1 | Ann Lee\n2 | Jürgen Groß"),
                ("caption", 0, "Wardens"),
                ("table-row", 0, "Floor | Name"),
                ("table-row", 0, "1 | Ann Lee"),
                ("table-row", 0, "2 | Jürgen Groß"),
                ("paragraph", 0, "End"),
            ]
        );
        let header = |at: usize| page.writer.units[at].title.clone().map(|at| &page.writer.text[at]);
        assert_eq!(
            [header(0), header(2), header(4)],
            [Some("Floor | Name"), None, Some("Floor | Name")]
        );
    }

    #[test]
    fn a_menu_that_is_never_closed_is_noticed() {
        assert!(read("<nav><a>Home</a><p>All of the page").swallowed);
        let kept = Config { navigation: true };
        let mut reader = Reader::new(&kept);
        reader.push("<nav><a>Home</a><p>All of the page");
        assert_eq!(reader.finish().writer.text, "Home\n\nAll of the page");
    }

    proptest! {
        #[test]
        fn any_page_gives_ordered_units_that_cut_no_character(
            html in "(?s)(</?(p|div|h1|table|tr|td|th|ul|li|nav|main|pre|br|script|title|svg)[ >]|[a-zé日&;<>=\" \n]{0,12}){0,60}",
            cut in 0_usize..200,
        ) {
            let mut reader = Reader::new(&Config::default());
            let cut = html.floor_char_boundary(cut);
            reader.push(&html[..cut]);
            reader.push(&html[cut..]);
            let page = reader.finish();
            let text = &page.writer.text;
            for unit in &page.writer.units {
                prop_assert!(text.get(unit.at.clone()).is_some_and(|text| !text.trim().is_empty()));
            }
            prop_assert!(page.writer.units.windows(2).all(|pair| pair[0].at.start <= pair[1].at.start));
            prop_assert_eq!(&read(&html).writer.text, text, "pieces do not show");
        }

        #[test]
        fn plain_words_are_all_there(words in prop::collection::vec("[a-z]{1,8}", 0..30)) {
            let html: String = words.iter().map(|word| format!("<p>{word}</p>")).collect();
            let page = read(&html);
            prop_assert_eq!(page.writer.text.split_whitespace().collect::<Vec<_>>(), words);
        }
    }
}
