//! The outline (bookmarks): which titles it gives to which pages.

use std::collections::{HashMap, HashSet};

use lopdf::{Dictionary, Document, Object, ObjectId};

use crate::file::{self, Page};
use crate::object;

/// Most entries that are read.
const MAX_ENTRIES: usize = 20_000;

/// Most nodes of the tree of named destinations that are visited.
const MAX_NAMES: usize = 50_000;

/// Titles by page, with their depth.
#[derive(Default)]
pub(crate) struct Outline {
    titles: HashMap<usize, Vec<(String, u8)>>,
}

/// Letters and digits in lower case: what of a title survives typesetting.
fn normalized(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Outline {
    pub(crate) fn load(doc: &Document, pages: &[Page]) -> Outline {
        let mut outline = Outline::default();
        let Some(catalog) = file::catalog(doc) else {
            return outline;
        };
        let Some(root) = object::dict(doc, catalog, b"Outlines") else {
            return outline;
        };
        let index: HashMap<ObjectId, usize> = pages.iter().enumerate().filter_map(|(at, page)| Some((page.id?, at))).collect();
        let names = Names::load(doc, catalog);
        let mut seen = HashSet::new();
        let mut stack: Vec<(&Dictionary, u8)> = object::dict(doc, root, b"First").map(|first| (first, 1)).into_iter().collect();
        while let Some((entry, level)) = stack.pop() {
            if seen.len() >= MAX_ENTRIES || !seen.insert(std::ptr::from_ref(entry)) {
                continue;
            }
            if let Some(next) = object::dict(doc, entry, b"Next") {
                stack.push((next, level));
            }
            if let Some(first) = object::dict(doc, entry, b"First") {
                stack.push((first, level.saturating_add(1)));
            }
            let Some(title) = object::text(doc, entry, b"Title").map(|t| normalized(&t)) else {
                continue;
            };
            if title.chars().count() < 3 {
                continue;
            }
            let destination = object::get(doc, entry, b"Dest")
                .or_else(|| object::dict(doc, entry, b"A").and_then(|action| object::get(doc, action, b"D")));
            let page = destination
                .and_then(|destination| names.page(doc, destination))
                .and_then(|id| index.get(&id));
            if let Some(page) = page {
                outline.titles.entry(*page).or_default().push((title, level.clamp(1, 6)));
            }
        }
        outline
    }

    /// The level of a text that the outline names as a title on this page (counted from 0).
    pub(crate) fn level(&self, page: usize, text: &str) -> Option<u8> {
        let titles = self.titles.get(&page)?;
        let text = normalized(text);
        titles.iter().find(|(title, _)| *title == text).map(|(_, level)| *level)
    }
}

/// Named destinations.
#[derive(Default)]
struct Names<'a> {
    by_name: HashMap<&'a [u8], &'a Object>,
}

impl<'a> Names<'a> {
    fn load(doc: &'a Document, catalog: &'a Dictionary) -> Names<'a> {
        let mut names = Names::default();
        if let Some(old) = object::dict(doc, catalog, b"Dests") {
            for (name, destination) in old.iter().take(MAX_NAMES) {
                names.by_name.insert(name, destination);
            }
        }
        let tree = object::dict(doc, catalog, b"Names").and_then(|names| object::dict(doc, names, b"Dests"));
        let mut seen = HashSet::new();
        let mut stack: Vec<&Dictionary> = tree.into_iter().collect();
        while let Some(node) = stack.pop() {
            if seen.len() >= MAX_NAMES || !seen.insert(std::ptr::from_ref(node)) {
                continue;
            }
            for kid in object::array(doc, node, b"Kids").unwrap_or_default() {
                if stack.len() < MAX_NAMES
                    && let Some(kid) = object::resolve(doc, kid).and_then(object::as_dict)
                {
                    stack.push(kid);
                }
            }
            for pair in object::array(doc, node, b"Names").unwrap_or_default().chunks_exact(2) {
                if let [Object::String(name, _), destination] = pair
                    && names.by_name.len() < MAX_NAMES
                {
                    names.by_name.insert(name, destination);
                }
            }
        }
        names
    }

    /// The page that a destination leads to.
    fn page(&self, doc: &Document, destination: &Object) -> Option<ObjectId> {
        let explicit = match destination {
            Object::String(name, _) | Object::Name(name) => object::resolve(doc, self.by_name.get(name.as_slice())?)?,
            other => other,
        };
        let array = match explicit {
            Object::Array(array) => array.as_slice(),
            Object::Dictionary(dict) => object::array(doc, dict, b"D")?,
            _ => return None,
        };
        array.first()?.as_reference().ok()
    }
}
