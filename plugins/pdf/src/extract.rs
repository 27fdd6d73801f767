//! The extraction: opens a file and writes it page by page.

use std::collections::VecDeque;

use ibid_plugin::{Attr, Draft};

use crate::config::Config;
use crate::failure::Failure;
use crate::file;
use crate::interpret::Interpreter;
use crate::layout::{self, Block};
use crate::limits::Budget;
use crate::metadata::{self, Labels};
use crate::outline::Outline;
use crate::pictures;
use crate::structure::{self, Body};

/// Pages that are laid out ahead of the one that is written, so that what is body text is known
/// when the first headings are judged.
const LOOK_AHEAD: usize = 8;

/// Reads a PDF and writes its text, pages, units and metadata to `draft`.
///
/// Every page of the file becomes a page, an empty one too. Lines end in `\n`; an empty line stands
/// between blocks and between pages.
///
/// # Errors
/// [`Failure::Encrypted`] where a password is needed, [`Failure::Malformed`] where no page can be
/// found, [`Failure::LimitExceeded`] where the file asks for more than `config` allows,
/// [`Failure::Unsupported`] for unknown encryption. Damage in one page costs that page alone.
pub fn extract(bytes: &[u8], config: &Config, draft: &mut dyn Draft) -> Result<(), Failure> {
    let document = file::open(bytes, &config.limits)?;
    let pages = file::pages(&document, &config.limits)?;
    let labels = Labels::load(&document);
    let outline = Outline::load(&document, &pages);
    let mut attrs: Vec<Attr> = metadata::attrs(&document).into_iter().map(Attr::from).collect();
    attrs.push(Attr::new("pages", pages.len().to_string()));
    draft.add_attrs(&attrs);

    let mut budget = Budget::new(config.limits.clone());
    let mut interpreter = Interpreter::new(&document);
    let mut body = Body::default();
    let mut ahead: VecDeque<Vec<Block>> = VecDeque::with_capacity(LOOK_AHEAD + 1);
    let mut next = 0usize;
    let mut pictured: Vec<u32> = Vec::new();
    let mut unreadable = Unreadable::default();
    for number in 0..pages.len() {
        while let Some(page) = pages.get(next)
            && next <= number + LOOK_AHEAD
        {
            let glyphs = interpreter.page(page, config.annotations, &mut budget)?;
            let blocks = layout::blocks(&glyphs, config.cell_separator);
            body.learn(&blocks);
            ahead.push_back(blocks);
            next += 1;
            unreadable.add(u32::try_from(next).unwrap_or(u32::MAX), glyphs.unreadable);
            if pictures::is_picture(page, &glyphs) {
                pictured.push(u32::try_from(next).unwrap_or(u32::MAX));
            }
        }
        let blocks = ahead.pop_front().unwrap_or_default();
        let page_number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        draft.begin_page(page_number, labels.get(number).as_deref());
        structure::write_page(&blocks, number, &body, &outline, draft);
        draft.progress((number + 1) as f32 / pages.len() as f32);
    }
    if !pictured.is_empty() {
        draft.add_attrs(&[Attr::new("scanned-pages", pictures::ranges(&pictured))]);
    }
    if pictures::need_ocr(&pictured, pages.len()) {
        draft.add_attrs(&[Attr::new("needs-ocr", "true")]);
    }
    draft.add_attrs(unreadable.warning().as_slice());
    Ok(())
}

/// Counts the characters of fonts that do not say what they show.
#[derive(Default)]
struct Unreadable {
    characters: u64,
    pages: Vec<u32>,
}

impl Unreadable {
    fn add(&mut self, page: u32, characters: u32) {
        if characters > 0 {
            self.characters += u64::from(characters);
            self.pages.push(page);
        }
    }

    fn warning(&self) -> Option<Attr> {
        let Self { characters, pages } = self;
        let (what, why) = match characters {
            0 => return None,
            1 => ("character", "is not in the text: its font does not say what it shows"),
            _ => ("characters", "are not in the text: their fonts do not say what they show"),
        };
        let pages = match pages.as_slice() {
            [page] => format!("page {page}"),
            pages => format!("pages {}", pictures::ranges(pages)),
        };
        let message = format!("{characters} {what} on {pages} {why}.");
        Some(Attr::new("warning.unreadable-characters", message))
    }
}
