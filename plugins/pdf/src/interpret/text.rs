//! The text part of a content stream: state, matrices, and where each glyph comes to stand.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Glyph, PageGlyphs};
use crate::bidi;
use crate::extremes::{larger, smaller};
use crate::failure::Failure;
use crate::file::Page;
use crate::font::Font;
use crate::limits::Budget;
use crate::matrix::Matrix;

/// Most graphics states that may be saved at once.
const MAX_SAVED: usize = 512;

pub(super) enum Operand<'c> {
    Number(f32),
    Name(Cow<'c, [u8]>),
    String(Cow<'c, [u8]>),
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) ctm: Matrix,
    pub(super) font: Option<Rc<Font>>,
    pub(super) size: f32,
    pub(super) char_space: f32,
    pub(super) word_space: f32,
    pub(super) scale: f32,
    pub(super) leading: f32,
    pub(super) rise: f32,
    pub(super) mode: u8,
}

impl State {
    /// The state in which a page starts.
    pub(super) fn new(ctm: Matrix) -> Self {
        State {
            ctm,
            font: None,
            size: 0.0,
            char_space: 0.0,
            word_space: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
            mode: 0,
        }
    }
}

pub(super) enum Marked {
    Plain,
    Hidden,
    Actual,
}

/// Text that a file gives in place of the glyphs it shows.
pub(super) struct Actual {
    text: String,
    used: bool,
}

/// One run over a content stream.
pub(super) struct Run<'r, 'a> {
    pub(super) page: &'r Page<'a>,
    pub(super) out: &'r mut PageGlyphs,
    pub(super) budget: &'r mut Budget,
    pub(super) state: State,
    pub(super) saved: Vec<State>,
    pub(super) text_matrix: Matrix,
    pub(super) line_matrix: Matrix,
    pub(super) marked: Vec<Marked>,
    pub(super) hidden_depth: u32,
    pub(super) actual: Option<Actual>,
    /// Reused for decoding.
    pub(super) decoded: String,
}

impl Run<'_, '_> {
    pub(super) fn begin(&mut self, mark: Marked) {
        if matches!(mark, Marked::Hidden) {
            self.hidden_depth += 1;
        }
        // Deeper than this is a file that never ends its marks; they change nothing then.
        if self.marked.len() < 4096 {
            self.marked.push(mark);
        }
    }

    pub(super) fn end_marked(&mut self) {
        match self.marked.pop() {
            Some(Marked::Hidden) => self.hidden_depth = self.hidden_depth.saturating_sub(1),
            Some(Marked::Actual) => self.actual = None,
            Some(Marked::Plain) | None => {}
        }
    }

    pub(super) fn actual_text(&mut self, text: Option<String>) -> Marked {
        match text {
            Some(text) if self.actual.is_none() => {
                self.actual = Some(Actual { text, used: false });
                Marked::Actual
            }
            _ => Marked::Plain,
        }
    }

    pub(super) fn operator(&mut self, word: &[u8], operands: &[Operand<'_>]) -> Result<(), Failure> {
        let number = |from_end: usize| {
            operands
                .len()
                .checked_sub(from_end)
                .and_then(|at| operands.get(at))
                .map(|operand| match operand {
                    Operand::Number(value) => *value,
                    _ => 0.0,
                })
        };
        let matrix = || Some(Matrix::new(number(6)?, number(5)?, number(4)?, number(3)?, number(2)?, number(1)?));
        match word {
            b"q" if self.saved.len() < MAX_SAVED => self.saved.push(self.state.clone()),
            b"Q" => {
                if let Some(state) = self.saved.pop() {
                    self.state = state;
                }
            }
            b"cm" => {
                if let Some(matrix) = matrix() {
                    self.state.ctm = matrix.then(&self.state.ctm);
                }
            }
            b"BT" => {
                self.text_matrix = Matrix::IDENTITY;
                self.line_matrix = Matrix::IDENTITY;
            }
            b"Tc" => self.state.char_space = number(1).unwrap_or(0.0),
            b"Tw" => self.state.word_space = number(1).unwrap_or(0.0),
            b"Tz" => self.state.scale = number(1).unwrap_or(100.0) / 100.0,
            b"TL" => self.state.leading = number(1).unwrap_or(0.0),
            b"Ts" => self.state.rise = number(1).unwrap_or(0.0),
            b"Tr" => self.state.mode = number(1).unwrap_or(0.0) as u8,
            b"Td" => self.move_line(number(2).unwrap_or(0.0), number(1).unwrap_or(0.0)),
            b"TD" => {
                let (x, y) = (number(2).unwrap_or(0.0), number(1).unwrap_or(0.0));
                self.state.leading = -y;
                self.move_line(x, y);
            }
            b"Tm" => {
                if let Some(matrix) = matrix() {
                    self.text_matrix = matrix;
                    self.line_matrix = matrix;
                }
            }
            b"T*" => self.move_line(0.0, -self.state.leading),
            b"Tj" => self.show_last(operands)?,
            b"'" => {
                self.move_line(0.0, -self.state.leading);
                self.show_last(operands)?;
            }
            b"\"" => {
                self.state.word_space = number(3).unwrap_or(0.0);
                self.state.char_space = number(2).unwrap_or(0.0);
                self.move_line(0.0, -self.state.leading);
                self.show_last(operands)?;
            }
            b"c" | b"v" | b"y" => self.out.curves = self.out.curves.saturating_add(1),
            b"TJ" => {
                for operand in operands {
                    match operand {
                        Operand::String(bytes) => self.show(bytes)?,
                        Operand::Number(value) => {
                            let shift = -value / 1000.0 * self.state.size;
                            let vertical = self.state.font.as_ref().is_some_and(|f| f.vertical);
                            self.advance(shift, vertical);
                        }
                        Operand::Name(_) => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An image is drawn, which fills the unit square of the space that is set up.
    pub(super) fn image(&mut self) {
        let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(x, y)| self.state.ctm.apply(x, y));
        let side = |of: fn(&(f32, f32)) -> f32, end: f32| {
            let low = corners.iter().map(of).fold(f32::MAX, smaller).clamp(0.0, end);
            let high = corners.iter().map(of).fold(f32::MIN, larger).clamp(0.0, end);
            high - low
        };
        let area = side(|corner| corner.0, self.page.width) * side(|corner| corner.1, self.page.height);
        if area.is_finite() && self.hidden_depth == 0 {
            self.out.pictured += area;
        }
    }

    fn move_line(&mut self, x: f32, y: f32) {
        self.line_matrix = self.line_matrix.shifted(x, y);
        self.text_matrix = self.line_matrix;
    }

    fn advance(&mut self, by: f32, vertical: bool) {
        self.text_matrix = if vertical {
            self.text_matrix.shifted(0.0, by)
        } else {
            self.text_matrix.shifted(by * self.state.scale, 0.0)
        };
    }

    fn show_last(&mut self, operands: &[Operand<'_>]) -> Result<(), Failure> {
        match operands.last() {
            Some(Operand::String(bytes)) => self.show(bytes),
            _ => Ok(()),
        }
    }

    fn show(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(font) = self.state.font.clone() else {
            return Ok(());
        };
        let mut decoded = std::mem::take(&mut self.decoded);
        let state = self.state.clone();
        let base = self.text_matrix.then(&state.ctm);
        // Directions of the text's axes on the page, per unit of text space.
        let (ax, ay) = (base.a * state.scale, base.b * state.scale);
        let (ux, uy) = (base.c, base.d);
        let size = ((ux * ux + uy * uy).sqrt() * state.size).abs();
        let along = (ax * ax + ay * ay).sqrt();
        let space = (font.space * state.size * along).abs();
        let visible = self.hidden_depth == 0 && size > 1e-3 && size < 1e5;
        let bold = font.bold || state.mode == 2;
        let vertical = font.vertical;
        let (rise_x, rise_y) = (ux * state.rise, uy * state.rise);
        // How far the pen has moved, in text space.
        let mut pen = 0f32;
        let (width, height) = (self.page.width, self.page.height);
        let result = font.decode(bytes, &mut decoded, |code, text| {
            self.budget.glyph()?;
            let advance = code.advance * state.size;
            let spacing = state.char_space + if code.word_space { state.word_space } else { 0.0 };
            let (x, y, dx, dy) = if vertical {
                (ux * pen, uy * pen, ux * advance, uy * advance)
            } else {
                (ax * pen, ay * pen, ax * advance, ay * advance)
            };
            let (x, y) = (base.e + x + rise_x, base.f + y + rise_y);
            let on_page = larger(x, x + dx) >= 0.0 && smaller(x, x + dx) <= width && y + size >= 0.0 && y - size <= height;
            if visible && on_page && x.abs() < 1e6 && y.abs() < 1e6 && dx.is_finite() {
                let glyph = Glyph {
                    x,
                    y,
                    dx,
                    dy,
                    size,
                    space,
                    // Where lines run downwards, their advances say where one glyph ends and the next one starts.
                    tracking: if vertical { 0.0 } else { state.char_space * along },
                    start: 0,
                    len: 0,
                    bold,
                    vertical,
                };
                push(self.out, &mut self.actual, glyph, text);
            }
            pen += advance + spacing;
            Ok(())
        });
        // The last glyph's spacing belongs to the gap before the next string.
        self.advance(pen, vertical);
        self.decoded = decoded;
        result
    }
}

/// Adds a glyph with its text, or with the text that stands in for it.
fn push(out: &mut PageGlyphs, actual: &mut Option<Actual>, mut glyph: Glyph, text: &str) {
    let text = match actual {
        Some(actual) if actual.used => {
            // The first glyph bears the text of all; it grows over those on its line.
            if let Some(last) = out.glyphs.last_mut()
                && (last.y - glyph.y).abs() < 0.5 * last.size
                && glyph.x + glyph.dx > last.x
            {
                last.dx = glyph.x + glyph.dx - last.x;
            }
            return;
        }
        Some(actual) => {
            actual.used = true;
            actual.text.as_str()
        }
        None => text,
    };
    let start = out.text.len();
    for c in text.chars() {
        crate::normalize::push(&mut out.text, c);
    }
    if text.is_empty() || (out.text.len() == start && text.contains(is_unknown)) {
        out.unreadable = out.unreadable.saturating_add(1);
    }
    if out.text.len() > start + 2 {
        bidi::to_visual(&mut out.text, start);
    }
    let len = out.text.len() - start;
    let (Ok(start), Ok(len)) = (u32::try_from(start), u16::try_from(len)) else {
        return;
    };
    glyph.start = start;
    glyph.len = len;
    out.glyphs.push(glyph);
}

/// Whether a font says of a character only that it has none.
fn is_unknown(c: char) -> bool {
    c == '\u{FFFD}' || ('\u{E000}'..='\u{F8FF}').contains(&c)
}
