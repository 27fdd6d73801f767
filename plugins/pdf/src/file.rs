//! Opens a file and finds its pages and their streams.

use std::collections::HashSet;

use lopdf::{Dictionary, Document, Error, LoadOptions, Object, ObjectId, Stream};

use crate::failure::Failure;
use crate::limits::{Budget, Limits};
use crate::matrix::Matrix;
use crate::object;

/// How deep a page tree may nest.
const TREE_DEPTH: usize = 64;

/// A page, with what it inherits from the page tree.
#[derive(Clone)]
pub(crate) struct Page<'a> {
    pub(crate) id: Option<ObjectId>,
    pub(crate) dict: &'a Dictionary,
    pub(crate) resources: Option<&'a Dictionary>,
    /// Takes the page's user space to one where the page, turned as it is shown, has its lower
    /// left corner at the origin.
    pub(crate) to_view: Matrix,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

/// Drops what is never read (images, attached files), so that a big scan costs little memory.
fn keep_readable(id: ObjectId, object: &mut Object) -> Option<(ObjectId, Object)> {
    if let Object::Stream(stream) = object {
        let named = |key: &[u8], name: &[u8]| matches!(stream.dict.get(key), Ok(Object::Name(found)) if found == name);
        if named(b"Subtype", b"Image") || named(b"Type", b"EmbeddedFile") {
            *object = Object::Dictionary(std::mem::take(&mut stream.dict));
        }
        // lopdf uses what comes back only of objects out of object streams, which hold no
        // streams; of others it uses what was left in place. So nothing big is cloned.
        return Some((id, Object::Null));
    }
    Some((id, object.clone()))
}

/// Parses a file, decrypting it where the empty password opens it.
pub(crate) fn open(bytes: &[u8], limits: &Limits) -> Result<Document, Failure> {
    if bytes.len() as u64 > limits.file_bytes {
        return Err(Failure::LimitExceeded(format!(
            "the file is larger than {} MiB",
            limits.file_bytes >> 20
        )));
    }
    let options = LoadOptions {
        filter: Some(keep_readable),
        max_decompressed_size: Some(limits.stream_bytes),
        ..LoadOptions::default()
    };
    let document = Document::load_mem_with_options(bytes, options.clone());
    let document = match document {
        Ok(document) if document.is_encrypted() => return Err(locked(&document)),
        Ok(document) if page_root(&document).is_some() => document,
        // lopdf repairs a table of contents that points past its objects only for loads without
        // a filter: ask for it.
        first => {
            let rebuilt = Document::load_mem_with_options(
                bytes,
                LoadOptions {
                    force_reconstruct: true,
                    ..options
                },
            );
            match (first, rebuilt) {
                (_, Ok(document)) if document.is_encrypted() => return Err(locked(&document)),
                (_, Ok(document)) if page_root(&document).is_some() => document,
                (Ok(document), _) | (Err(_), Ok(document)) => document,
                (Err(error), Err(_)) => return Err(error.into()),
            }
        }
    };
    Ok(document)
}

/// Why a file that is still encrypted stays closed.
fn locked(document: &Document) -> Failure {
    let handler = document
        .trailer
        .get(b"Encrypt")
        .ok()
        .and_then(|object| object::resolve(document, object))
        .and_then(object::as_dict)
        .and_then(|encrypt| object::name(document, encrypt, b"Filter"));
    match handler {
        Some(handler) if handler != b"Standard" => Failure::Unsupported(format!("encryption by {}", String::from_utf8_lossy(handler))),
        _ => Failure::Encrypted,
    }
}

/// The catalog, empty where there is none.
pub(crate) fn catalog(doc: &Document) -> Option<&Dictionary> {
    object::dict(doc, &doc.trailer, b"Root")
}

fn page_root(doc: &Document) -> Option<&Dictionary> {
    let root = object::dict(doc, catalog(doc)?, b"Pages")?;
    (root.has(b"Kids") || root.has(b"Contents")).then_some(root)
}

/// Inheritable entries on the way from the root to a page.
#[derive(Clone, Copy, Default)]
struct Inherited<'a> {
    resources: Option<&'a Dictionary>,
    media_box: Option<[f32; 4]>,
    rotate: Option<i64>,
}

impl<'a> Inherited<'a> {
    fn with(self, doc: &'a Document, node: &'a Dictionary) -> Self {
        Inherited {
            resources: object::dict(doc, node, b"Resources").or(self.resources),
            media_box: rectangle(doc, node, b"MediaBox").or(self.media_box),
            rotate: object::integer(doc, node, b"Rotate").or(self.rotate),
        }
    }
}

/// A rectangle as left, bottom, right, top; `None` if it is empty.
pub(crate) fn rectangle(doc: &Document, dict: &Dictionary, key: &[u8]) -> Option<[f32; 4]> {
    match *object::numbers(doc, dict, key)?.as_slice() {
        [a, b, c, d] => {
            let rect = [a.min(c), b.min(d), a.max(c), b.max(d)];
            (rect[2] - rect[0] > 1e-3 && rect[3] - rect[1] > 1e-3).then_some(rect)
        }
        _ => None,
    }
}

/// All pages in order. A tree that is circular or broken gives the pages that can be reached; one
/// that gives none is searched for among all objects.
pub(crate) fn pages<'a>(doc: &'a Document, limits: &Limits) -> Result<Vec<Page<'a>>, Failure> {
    let too_many = || Failure::LimitExceeded(format!("the file has more than {} pages", limits.pages));
    let mut pages = Vec::new();
    let mut seen = HashSet::new();
    // Depth first, in order: children are pushed in reverse.
    let mut stack: Vec<(Option<ObjectId>, &Object, Inherited, usize)> = Vec::new();
    if let Some(root) = catalog(doc).and_then(|catalog| catalog.get(b"Pages").ok()) {
        stack.push((root.as_reference().ok(), root, Inherited::default(), 0));
    }
    while let Some((id, object, inherited, depth)) = stack.pop() {
        let Some(node) = object::resolve(doc, object).and_then(object::as_dict) else {
            continue;
        };
        let inherited = inherited.with(doc, node);
        match object::array(doc, node, b"Kids") {
            Some(kids) => {
                if depth >= TREE_DEPTH || !seen.insert(std::ptr::from_ref(node)) {
                    continue;
                }
                if stack.len() + kids.len() > limits.pages.saturating_mul(2) {
                    return Err(too_many());
                }
                for kid in kids.iter().rev() {
                    stack.push((kid.as_reference().ok(), kid, inherited, depth + 1));
                }
            }
            None => {
                if pages.len() >= limits.pages {
                    return Err(too_many());
                }
                pages.push(page(id, node, inherited));
            }
        }
    }
    if pages.is_empty() {
        for (id, object) in &doc.objects {
            if let Object::Dictionary(dict) = object
                && dict.has_type(b"Page")
            {
                if pages.len() >= limits.pages {
                    return Err(too_many());
                }
                pages.push(page(Some(*id), dict, Inherited::default().with(doc, dict)));
            }
        }
    }
    if pages.is_empty() {
        return Err(Failure::Malformed("no page can be found in it".into()));
    }
    Ok(pages)
}

fn page<'a>(id: Option<ObjectId>, dict: &'a Dictionary, inherited: Inherited<'a>) -> Page<'a> {
    let [left, bottom, right, top] = inherited.media_box.unwrap_or([0.0, 0.0, 612.0, 792.0]);
    let (width, height) = (right - left, top - bottom);
    let (to_view, turned) = match inherited.rotate.unwrap_or(0).rem_euclid(360) {
        90 => (Matrix::new(0.0, -1.0, 1.0, 0.0, -bottom, right), true),
        180 => (Matrix::new(-1.0, 0.0, 0.0, -1.0, right, top), false),
        270 => (Matrix::new(0.0, 1.0, -1.0, 0.0, top, -left), true),
        _ => (Matrix::translation(-left, -bottom), false),
    };
    Page {
        id,
        dict,
        resources: inherited.resources,
        to_view,
        width: if turned { height } else { width },
        height: if turned { width } else { height },
    }
}

/// A stream's decoded bytes; `None` where its filter is not one for text or its data is damaged.
pub(crate) fn stream_bytes(doc: &Document, stream: &Stream, budget: &mut Budget) -> Result<Option<Vec<u8>>, Failure> {
    let allowance = budget.stream_allowance();
    let decoded = match with_direct_filters(doc, stream) {
        Some(direct) => {
            // It is a copy, however little it decompresses to.
            budget.decompressed(direct.content.len())?;
            direct.decompressed_content_with_limit(allowance)
        }
        None => stream.decompressed_content_with_limit(allowance),
    };
    match decoded {
        Ok(bytes) => {
            budget.decompressed(bytes.len())?;
            Ok(Some(bytes))
        }
        Err(error @ Error::Decompress(_)) => {
            let failure = Failure::from(error);
            if failure.is_limit() { Err(failure) } else { Ok(None) }
        }
        Err(_) => Ok(None),
    }
}

/// The stream with its filters and their parameters in place of references to them, which lopdf does not follow; `None` where it has no
/// such reference.
fn with_direct_filters(doc: &Document, stream: &Stream) -> Option<Stream> {
    const KEYS: [&[u8]; 2] = [b"Filter", b"DecodeParms"];
    let is_indirect = KEYS
        .iter()
        .any(|key| stream.dict.get(key).is_ok_and(|value| has_reference(value, FILTER_DEPTH)));
    if !is_indirect {
        return None;
    }
    let mut dict = Dictionary::new();
    for key in KEYS {
        if let Some(value) = object::get(doc, &stream.dict, key) {
            dict.set(key, direct(doc, value, FILTER_DEPTH));
        }
    }
    Some(Stream::new(dict, stream.content.clone()))
}

/// How deep the values of filters nest: an array of dictionaries of numbers.
const FILTER_DEPTH: u32 = 3;

fn has_reference(value: &Object, depth: u32) -> bool {
    match value {
        Object::Reference(_) => true,
        Object::Array(items) if depth > 0 => items.iter().any(|item| has_reference(item, depth - 1)),
        Object::Dictionary(dict) if depth > 0 => dict.iter().any(|(_, item)| has_reference(item, depth - 1)),
        _ => false,
    }
}

fn direct(doc: &Document, value: &Object, depth: u32) -> Object {
    match object::resolve(doc, value) {
        Some(Object::Array(items)) if depth > 0 => items
            .iter()
            .take(64)
            .map(|item| direct(doc, item, depth - 1))
            .collect::<Vec<_>>()
            .into(),
        Some(Object::Dictionary(dict)) if depth > 0 => {
            let mut found = Dictionary::new();
            for (key, item) in dict.iter().take(16) {
                found.set(key.clone(), direct(doc, item, depth - 1));
            }
            found.into()
        }
        Some(plain @ (Object::Name(_) | Object::Integer(_) | Object::Boolean(_) | Object::Real(_))) => plain.clone(),
        _ => Object::Null,
    }
}

/// A page's content: its streams joined, as the standard says, by white space.
pub(crate) fn page_content(doc: &Document, page: &Page, budget: &mut Budget) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let mut append = |object: &Object, budget: &mut Budget| -> Result<(), Failure> {
        if let Some(Object::Stream(stream)) = object::resolve(doc, object)
            && let Some(bytes) = stream_bytes(doc, stream, budget)?
        {
            if content.is_empty() {
                content = bytes;
            } else {
                if content.len() + bytes.len() > budget.limits().stream_bytes {
                    return Err(Failure::LimitExceeded(format!(
                        "a page decompresses to more than {} MiB",
                        budget.limits().stream_bytes >> 20
                    )));
                }
                content.push(b'\n');
                content.extend_from_slice(&bytes);
            }
        }
        Ok(())
    };
    match object::get(doc, page.dict, b"Contents") {
        Some(Object::Array(parts)) => {
            for part in parts {
                append(part, budget)?;
            }
        }
        Some(object) => append(object, budget)?,
        None => {}
    }
    Ok(content)
}
