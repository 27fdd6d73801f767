//! Short ways to look values up in lopdf's objects, references followed.

use lopdf::{Dictionary, Document, Object, Stream};

/// Follows a reference; `None` where it leads nowhere or in a circle.
pub(crate) fn resolve<'a>(doc: &'a Document, object: &'a Object) -> Option<&'a Object> {
    doc.dereference(object).ok().map(|(_, found)| found)
}

/// The value of a key, references followed; null counts as absent.
pub(crate) fn get<'a>(doc: &'a Document, dict: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    let object = resolve(doc, dict.get(key).ok()?)?;
    (!object.is_null()).then_some(object)
}

/// The dictionary at a key; of a stream, its dictionary.
pub(crate) fn dict<'a>(doc: &'a Document, dict: &'a Dictionary, key: &[u8]) -> Option<&'a Dictionary> {
    as_dict(get(doc, dict, key)?)
}

/// A dictionary, or a stream's dictionary.
pub(crate) fn as_dict(object: &Object) -> Option<&Dictionary> {
    match object {
        Object::Dictionary(dict) => Some(dict),
        Object::Stream(stream) => Some(&stream.dict),
        _ => None,
    }
}

pub(crate) fn as_stream(object: &Object) -> Option<&Stream> {
    match object {
        Object::Stream(stream) => Some(stream),
        _ => None,
    }
}

pub(crate) fn array<'a>(doc: &'a Document, dict: &'a Dictionary, key: &[u8]) -> Option<&'a [Object]> {
    match get(doc, dict, key)? {
        Object::Array(array) => Some(array),
        _ => None,
    }
}

pub(crate) fn name<'a>(doc: &'a Document, dict: &'a Dictionary, key: &[u8]) -> Option<&'a [u8]> {
    match get(doc, dict, key)? {
        Object::Name(name) => Some(name),
        _ => None,
    }
}

/// A finite number.
pub(crate) fn as_number(object: &Object) -> Option<f32> {
    let value = match object {
        Object::Integer(value) => *value as f32,
        Object::Real(value) => *value,
        _ => return None,
    };
    value.is_finite().then_some(value)
}

pub(crate) fn number(doc: &Document, dict: &Dictionary, key: &[u8]) -> Option<f32> {
    as_number(get(doc, dict, key)?)
}

pub(crate) fn integer(doc: &Document, dict: &Dictionary, key: &[u8]) -> Option<i64> {
    match get(doc, dict, key)? {
        Object::Integer(value) => Some(*value),
        Object::Real(value) if value.is_finite() => Some(*value as i64),
        _ => None,
    }
}

/// The numbers of a short array; anything else in it counts as 0.
pub(crate) fn numbers(doc: &Document, dict: &Dictionary, key: &[u8]) -> Option<Vec<f32>> {
    let array = array(doc, dict, key)?;
    Some(
        array
            .iter()
            .take(16)
            .map(|item| resolve(doc, item).and_then(as_number).unwrap_or(0.0))
            .collect(),
    )
}

/// A text string (UTF-16, UTF-8 or PDFDocEncoding), white space collapsed; `None` if it is empty.
pub(crate) fn text(doc: &Document, dict: &Dictionary, key: &[u8]) -> Option<String> {
    let object = get(doc, dict, key)?;
    if !matches!(object, Object::String(..)) {
        return None;
    }
    let text = lopdf::decode_text_string(object).ok()?;
    let text: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    (!text.is_empty()).then(|| text.join(" "))
}
