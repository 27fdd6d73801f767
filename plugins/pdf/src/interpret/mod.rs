//! Runs a page's content and notes where each glyph stands.

mod text;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use lopdf::{Dictionary, Document, Object, ObjectId, Stream};

use crate::failure::Failure;
use crate::file::{self, Page, stream_bytes};
use crate::font::Font;
use crate::lexer::{Lexer, Token};
use crate::limits::Budget;
use crate::matrix::Matrix;
use crate::object;
use text::{Marked, Operand, Run, State};

/// Decoded forms that are kept, in bytes: letterheads and such that every page draws.
const FORM_CACHE_BYTES: usize = 8 << 20;

/// Most operands before an operator. More is no content stream.
const MAX_OPERANDS: usize = 200_000;

/// A glyph as it is shown, lengths in points, origin at the lower left of the page as viewed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glyph {
    /// Where the glyph starts on its baseline.
    pub(crate) x: f32,
    pub(crate) y: f32,
    /// The way to where it ends, spacing of characters and words left out.
    pub(crate) dx: f32,
    pub(crate) dy: f32,
    /// Height of the font.
    pub(crate) size: f32,
    /// Width of a space in its font.
    pub(crate) space: f32,
    /// Character spacing that followed it inside its string: tracking, not a gap between words.
    pub(crate) tracking: f32,
    /// Its text: start in [`PageGlyphs::text`], and length in bytes.
    pub(crate) start: u32,
    pub(crate) len: u16,
    pub(crate) bold: bool,
    /// Whether the text runs from top to bottom.
    pub(crate) vertical: bool,
}

/// What a page shows.
#[derive(Debug, Default)]
pub(crate) struct PageGlyphs {
    pub(crate) glyphs: Vec<Glyph>,
    pub(crate) text: String,
    /// The area that images cover, in square points, as far as it is on the page; where they overlap it counts twice.
    pub(crate) pictured: f32,
    /// Curves drawn. Letters that are drawn instead of set are made of them.
    pub(crate) curves: u32,
    /// Glyphs of which no text is known.
    pub(crate) unreadable: u32,
}

impl PageGlyphs {
    pub(crate) fn text_of(&self, glyph: &Glyph) -> &str {
        let start = glyph.start as usize;
        self.text.get(start..start + usize::from(glyph.len)).unwrap_or_default()
    }
}

/// What is kept between the pages of one file. Objects are told apart by their address, which
/// holds as long as the document is borrowed.
pub(crate) struct Interpreter<'a> {
    doc: &'a Document,
    fonts: HashMap<*const Dictionary, Rc<Font>>,
    forms: HashMap<*const Stream, Rc<[u8]>>,
    forms_bytes: usize,
    fallback: Rc<Font>,
    /// Optional content that is switched off.
    hidden: HashSet<ObjectId>,
}

impl<'a> Interpreter<'a> {
    pub(crate) fn new(doc: &'a Document) -> Self {
        Interpreter {
            doc,
            fonts: HashMap::new(),
            forms: HashMap::new(),
            forms_bytes: 0,
            fallback: Rc::new(Font::fallback()),
            hidden: hidden_content(doc),
        }
    }

    /// The glyphs of a page, in the order in which they are drawn.
    pub(crate) fn page(&mut self, page: &Page<'a>, annotations: bool, budget: &mut Budget) -> Result<PageGlyphs, Failure> {
        budget.start_page();
        let mut out = PageGlyphs::default();
        let content = file::page_content(self.doc, page, budget)?;
        let mut run = Run {
            page,
            out: &mut out,
            budget,
            state: State::new(page.to_view),
            saved: Vec::new(),
            text_matrix: Matrix::IDENTITY,
            line_matrix: Matrix::IDENTITY,
            marked: Vec::new(),
            hidden_depth: 0,
            actual: None,
            decoded: String::new(),
        };
        let initial = run.state.clone();
        self.content(&mut run, &content, page.resources, 0)?;
        drop(content);
        if annotations {
            run.state = initial;
            run.saved.clear();
            run.marked.clear();
            run.hidden_depth = 0;
            run.actual = None;
            self.annotations(&mut run)?;
        }
        Ok(out)
    }

    fn content(&mut self, run: &mut Run<'_, 'a>, content: &[u8], resources: Option<&'a Dictionary>, depth: u32) -> Result<(), Failure> {
        let mut operands: Vec<Operand<'_>> = Vec::new();
        let mut lexer = Lexer::new(content);
        while let Some(token) = lexer.next() {
            match token {
                Token::Number(value) => operands.push(Operand::Number(value)),
                Token::Name(name) => operands.push(Operand::Name(name)),
                Token::String(bytes) => operands.push(Operand::String(bytes)),
                // Arrays and dictionaries are read flat: their members tell themselves apart.
                Token::ArrayStart | Token::ArrayEnd | Token::DictStart | Token::DictEnd => {}
                Token::Word(word) => {
                    run.budget.operator()?;
                    match word {
                        b"Do" => {
                            if let Some(Operand::Name(name)) = operands.last() {
                                self.draw(run, name, resources, depth)?;
                            }
                        }
                        b"ID" => {
                            run.image();
                            lexer.skip_inline_image();
                        }
                        b"Tf" => {
                            if let [.., Operand::Name(name), Operand::Number(size)] = operands.as_slice() {
                                let font = resources
                                    .and_then(|r| object::dict(self.doc, r, b"Font"))
                                    .and_then(|fonts| object::dict(self.doc, fonts, name));
                                run.state.font = Some(self.font(font, run.budget)?);
                                run.state.size = *size;
                            }
                        }
                        b"gs" => {
                            if let Some(Operand::Name(name)) = operands.last() {
                                self.graphics_state(run, name, resources)?;
                            }
                        }
                        b"BDC" => self.begin_marked(run, &operands, resources),
                        b"BMC" => run.begin(Marked::Plain),
                        b"EMC" => run.end_marked(),
                        b"true" | b"false" | b"null" => continue,
                        _ => run.operator(word, &operands)?,
                    }
                    operands.clear();
                }
            }
            if operands.len() > MAX_OPERANDS {
                operands.clear();
            }
        }
        Ok(())
    }

    fn font(&mut self, dict: Option<&'a Dictionary>, budget: &mut Budget) -> Result<Rc<Font>, Failure> {
        let Some(dict) = dict else {
            return Ok(Rc::clone(&self.fallback));
        };
        if let Some(font) = self.fonts.get(&std::ptr::from_ref(dict)) {
            return Ok(Rc::clone(font));
        }
        let font = Rc::new(Font::load(self.doc, dict, budget)?);
        self.fonts.insert(std::ptr::from_ref(dict), Rc::clone(&font));
        Ok(font)
    }

    fn graphics_state(&mut self, run: &mut Run<'_, 'a>, name: &[u8], resources: Option<&'a Dictionary>) -> Result<(), Failure> {
        let font = resources
            .and_then(|r| object::dict(self.doc, r, b"ExtGState"))
            .and_then(|states| object::dict(self.doc, states, name))
            .and_then(|state| object::array(self.doc, state, b"Font"));
        if let Some([font, size]) = font {
            let dict = object::resolve(self.doc, font).and_then(object::as_dict);
            run.state.font = Some(self.font(dict, run.budget)?);
            run.state.size = object::resolve(self.doc, size)
                .and_then(object::as_number)
                .unwrap_or(run.state.size);
        }
        Ok(())
    }

    fn begin_marked(&self, run: &mut Run<'_, 'a>, operands: &[Operand<'_>], resources: Option<&'a Dictionary>) {
        let properties = |name: &[u8]| {
            resources
                .and_then(|r| object::dict(self.doc, r, b"Properties"))
                .and_then(|properties| properties.get(name).ok())
        };
        let mark = match operands {
            [Operand::Name(tag), Operand::Name(name)] if tag.as_ref() == b"OC" => {
                match properties(name).and_then(|object| object.as_reference().ok()) {
                    Some(id) if self.is_hidden(id) => Marked::Hidden,
                    _ => Marked::Plain,
                }
            }
            [_, Operand::Name(name)] => {
                let actual = properties(name)
                    .and_then(|object| object::resolve(self.doc, object))
                    .and_then(object::as_dict)
                    .and_then(|dict| object::get(self.doc, dict, b"ActualText"))
                    .and_then(|text| lopdf::decode_text_string(text).ok());
                run.actual_text(actual)
            }
            [_, rest @ ..] => {
                let actual = rest.windows(2).find_map(|pair| match pair {
                    [Operand::Name(key), Operand::String(bytes)] if key.as_ref() == b"ActualText" => {
                        let text = Object::String(bytes.to_vec(), lopdf::StringFormat::Literal);
                        lopdf::decode_text_string(&text).ok()
                    }
                    _ => None,
                });
                run.actual_text(actual)
            }
            [] => Marked::Plain,
        };
        run.begin(mark);
    }

    fn is_hidden(&self, id: ObjectId) -> bool {
        if self.hidden.contains(&id) {
            return true;
        }
        // A membership dictionary names the groups that it goes by.
        let groups = self
            .doc
            .get_object(id)
            .ok()
            .and_then(object::as_dict)
            .filter(|dict| dict.has_type(b"OCMD"))
            .and_then(|dict| dict.get(b"OCGs").ok());
        match groups {
            Some(Object::Reference(group)) => self.hidden.contains(group),
            Some(Object::Array(groups)) => {
                !groups.is_empty()
                    && groups
                        .iter()
                        .all(|group| matches!(group, Object::Reference(id) if self.hidden.contains(id)))
            }
            _ => false,
        }
    }

    fn draw(&mut self, run: &mut Run<'_, 'a>, name: &[u8], resources: Option<&'a Dictionary>, depth: u32) -> Result<(), Failure> {
        let object = resources
            .and_then(|r| object::dict(self.doc, r, b"XObject"))
            .and_then(|objects| object::get(self.doc, objects, name));
        let Some(object) = object else { return Ok(()) };
        if let Some(dict) = object::as_dict(object) {
            if object::name(self.doc, dict, b"Subtype") == Some(b"Image") {
                run.image();
                return Ok(());
            }
            let hidden = matches!(dict.get(b"OC"), Ok(Object::Reference(id)) if self.is_hidden(*id));
            if hidden {
                return Ok(());
            }
        }
        if let Object::Stream(form) = object {
            self.form(run, form, Matrix::IDENTITY, resources, depth)?;
        }
        Ok(())
    }

    /// Draws a form, its own matrix applied before `placed`.
    fn form(
        &mut self,
        run: &mut Run<'_, 'a>,
        form: &'a Stream,
        placed: Matrix,
        resources: Option<&'a Dictionary>,
        depth: u32,
    ) -> Result<(), Failure> {
        run.budget.form()?;
        if depth >= run.budget.limits().form_depth {
            return Ok(());
        }
        let content = match self.forms.get(&std::ptr::from_ref(form)) {
            Some(content) => Rc::clone(content),
            None => {
                let bytes = stream_bytes(self.doc, form, run.budget)?.unwrap_or_default();
                let content: Rc<[u8]> = bytes.into();
                if self.forms_bytes + content.len() <= FORM_CACHE_BYTES {
                    self.forms_bytes += content.len();
                    self.forms.insert(std::ptr::from_ref(form), Rc::clone(&content));
                }
                content
            }
        };
        let matrix = object::numbers(self.doc, &form.dict, b"Matrix")
            .and_then(|v| Matrix::from_slice(&v))
            .unwrap_or(Matrix::IDENTITY);
        let own = object::dict(self.doc, &form.dict, b"Resources").or(resources);
        let outer = run.state.clone();
        let saved = std::mem::take(&mut run.saved);
        let marked = std::mem::take(&mut run.marked);
        let (hidden, matrices) = (run.hidden_depth, (run.text_matrix, run.line_matrix));
        run.state.ctm = matrix.then(&placed).then(&outer.ctm);
        let result = self.content(run, &content, own, depth + 1);
        run.state = outer;
        run.saved = saved;
        run.marked = marked;
        run.hidden_depth = hidden;
        (run.text_matrix, run.line_matrix) = matrices;
        result
    }

    /// Draws the normal appearance of annotations that a viewer shows, form fields among them.
    fn annotations(&mut self, run: &mut Run<'_, 'a>) -> Result<(), Failure> {
        let doc = self.doc;
        let Some(annotations) = object::array(doc, run.page.dict, b"Annots") else {
            return Ok(());
        };
        const HIDDEN_OR_NO_VIEW: i64 = 1 << 1 | 1 << 5;
        for annotation in annotations {
            let Some(annotation) = object::resolve(doc, annotation).and_then(object::as_dict) else {
                continue;
            };
            let flags = object::integer(doc, annotation, b"F").unwrap_or(0);
            if flags & HIDDEN_OR_NO_VIEW != 0 || object::name(doc, annotation, b"Subtype") == Some(b"Popup") {
                continue;
            }
            let appearance = object::dict(doc, annotation, b"AP").and_then(|appearance| object::get(doc, appearance, b"N"));
            let form = match appearance {
                Some(Object::Stream(form)) => form,
                Some(Object::Dictionary(states)) => {
                    let state = object::name(doc, annotation, b"AS").unwrap_or(b"Off");
                    match object::get(doc, states, state) {
                        Some(Object::Stream(form)) => form,
                        _ => continue,
                    }
                }
                _ => continue,
            };
            let Some(rect) = file::rectangle(doc, annotation, b"Rect") else {
                continue;
            };
            let matrix = object::numbers(doc, &form.dict, b"Matrix")
                .and_then(|v| Matrix::from_slice(&v))
                .unwrap_or(Matrix::IDENTITY);
            let placed = file::rectangle(doc, &form.dict, b"BBox")
                .and_then(|bbox| fit(bbox, &matrix, rect))
                .unwrap_or_else(|| Matrix::translation(rect[0], rect[1]));
            self.form(run, form, placed, run.page.resources, 0)?;
        }
        Ok(())
    }
}

/// What takes a form's box, as its matrix turns it, to an annotation's rectangle.
fn fit(bbox: [f32; 4], matrix: &Matrix, rect: [f32; 4]) -> Option<Matrix> {
    let [left, bottom, right, top] = bbox;
    let corners = [
        matrix.apply(left, bottom),
        matrix.apply(right, bottom),
        matrix.apply(left, top),
        matrix.apply(right, top),
    ];
    let min = corners.iter().fold((f32::MAX, f32::MAX), |m, c| (m.0.min(c.0), m.1.min(c.1)));
    let max = corners.iter().fold((f32::MIN, f32::MIN), |m, c| (m.0.max(c.0), m.1.max(c.1)));
    let (width, height) = (max.0 - min.0, max.1 - min.1);
    if width < 1e-3 || height < 1e-3 {
        return None;
    }
    let (sx, sy) = ((rect[2] - rect[0]) / width, (rect[3] - rect[1]) / height);
    Some(Matrix::new(sx, 0.0, 0.0, sy, rect[0] - min.0 * sx, rect[1] - min.1 * sy))
}

/// Groups that the default configuration switches off.
fn hidden_content(doc: &Document) -> HashSet<ObjectId> {
    let Some(default) = file::catalog(doc)
        .and_then(|catalog| object::dict(doc, catalog, b"OCProperties"))
        .and_then(|properties| object::dict(doc, properties, b"D"))
    else {
        return HashSet::new();
    };
    object::array(doc, default, b"OFF")
        .unwrap_or_default()
        .iter()
        .filter_map(|group| group.as_reference().ok())
        .collect()
}
