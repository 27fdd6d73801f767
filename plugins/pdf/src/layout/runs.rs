//! Glyphs to runs: what was drawn in one go on one baseline.

use crate::extremes::larger;
use crate::interpret::{Glyph, PageGlyphs};

/// Glyphs that follow one another on a baseline, coordinates turned so that they run rightwards.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) x0: f32,
    pub(super) x1: f32,
    /// Height of the baseline; upwards.
    pub(super) base: f32,
    pub(super) size: f32,
    /// Gap at the end from which on another word starts.
    pub(super) word_gap: f32,
    pub(super) text: String,
    /// Whether blanks were drawn before or after the text.
    pub(super) space_before: bool,
    pub(super) space_after: bool,
    pub(super) bold: bool,
}

/// Gap, in parts of the font size, that ends a run; what it means is decided in its row.
const RUN_GAP: f32 = 0.9;

/// Runs of each writing direction, the direction of most glyphs first. Duplicates that fake a
/// bold face are left out.
pub(super) fn by_direction(page: &PageGlyphs) -> Vec<Vec<Run>> {
    let mut groups: Vec<(i32, usize, Builder)> = Vec::new();
    let mut seen = Seen::of(page.glyphs.len());
    let mut last = 0usize;
    for glyph in &page.glyphs {
        let degrees = direction(glyph);
        let at = match groups.get(last) {
            Some((known, ..)) if *known == degrees => last,
            _ => match groups.iter().position(|(known, ..)| *known == degrees) {
                Some(at) => at,
                // Text along a curve: each glyph its own direction. Past some it reads as level.
                None if groups.len() >= 24 => 0,
                None => {
                    groups.push((degrees, 0, Builder::new(degrees)));
                    groups.len() - 1
                }
            },
        };
        last = at;
        let text = page.text_of(glyph);
        if seen.before(glyph, text) {
            continue;
        }
        if let Some((_, count, builder)) = groups.get_mut(at) {
            *count += 1;
            builder.add(glyph, text);
        }
    }
    groups.sort_by_key(|(degrees, count, _)| (std::cmp::Reverse(*count), *degrees));
    groups
        .into_iter()
        .map(|(_, _, builder)| builder.finish())
        .filter(|runs| !runs.is_empty())
        .collect()
}

/// The direction in which text runs, in degrees; nearly level counts as level.
fn direction(glyph: &Glyph) -> i32 {
    if glyph.dx == 0.0 && glyph.dy == 0.0 {
        return 0;
    }
    if glyph.dx > 0.0 && glyph.dy.abs() < 0.05 * glyph.dx {
        return 0;
    }
    let degrees = glyph.dy.atan2(glyph.dx).to_degrees();
    let quarter = (degrees / 90.0).round() * 90.0;
    if (degrees - quarter).abs() < 4.0 {
        (quarter as i32).rem_euclid(360)
    } else {
        (degrees.round() as i32).rem_euclid(360)
    }
}

/// Where which glyph was drawn already: lists of places, by a hash of character and cell. Nearly every look finds an empty list, which
/// the tables of the standard library take longer to say, in WebAssembly above all.
struct Seen {
    /// For each hash the newest place of its list, plus one; 0 where there is none. A power of two of them.
    heads: Vec<u32>,
    places: Vec<Place>,
}

/// A place where a glyph was drawn.
struct Place {
    key: u64,
    x: f32,
    y: f32,
    /// The one before it in its list, plus one.
    next: u32,
}

/// The size of a cell that a glyph of size 1 falls into. It holds one place of a character: the narrowest are as far apart as it is wide,
/// and lines further than it is high.
const CELL: (f32, f32) = (0.25, 0.75);
/// How near another one of size 1 is taken for the same.
const NEAR: f32 = 0.12;

impl Seen {
    /// Room for so many glyphs, as far as that is no waste.
    fn of(glyphs: usize) -> Self {
        Self {
            heads: vec![0; (4 * glyphs).next_power_of_two().clamp(1 << 8, 1 << 16)],
            places: Vec::with_capacity(glyphs.min(1 << 14)),
        }
    }

    /// The list that a key belongs to. A file cannot profit from keys that collide: a page holds a bounded number of glyphs.
    fn list(&self, key: u64) -> usize {
        let bits = self.heads.len().trailing_zeros();
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
    }

    /// The newest place of a key.
    fn newest(&self, key: u64) -> Option<&Place> {
        let mut at = self.heads.get(self.list(key)).copied()?;
        while let Some(place) = self.places.get((at as usize).checked_sub(1)?) {
            if place.key == key {
                return Some(place);
            }
            at = place.next;
        }
        None
    }

    fn note(&mut self, key: u64, x: f32, y: f32) {
        let list = self.list(key);
        // As many as a number of four bytes counts are more than a page may hold.
        let number = u32::try_from(self.places.len() + 1).unwrap_or(0);
        if let Some(head) = self.heads.get_mut(list) {
            let next = std::mem::replace(head, number);
            self.places.push(Place { key, x, y, next });
        }
    }

    /// Whether the same glyph was drawn at nearly the same place before; notes it if not.
    fn before(&mut self, glyph: &Glyph, text: &str) -> bool {
        let Some(c) = text.chars().next() else {
            return false;
        };
        if c == ' ' {
            return false;
        }
        // Cells are more than twice as wide as the distance that counts as the same place, so that a neighbour
        // on either side is enough to look at, and none for most heights.
        let (width, height) = (larger(0.05, CELL.0 * glyph.size), larger(0.05, CELL.1 * glyph.size));
        let near = NEAR * glyph.size;
        let (x, y) = (glyph.x / width, glyph.y / height);
        let (cx, cy) = (x as i32, y as i32);
        let key = |x: i32, y: i32| (u64::from(u32::from(c)) << 42) ^ ((x as u64 & 0x1F_FFFF) << 21) ^ (y as u64 & 0x1F_FFFF);
        let is_in = |x: i32, y: i32| {
            let known = self.newest(key(x, y));
            known.is_some_and(|place| (place.x - glyph.x).abs() < near && (place.y - glyph.y).abs() < near)
        };
        let (within_x, within_y) = (x - cx as f32, y - cy as f32);
        let side = cx.wrapping_add(if within_x > 0.5 { 1 } else { -1 });
        if is_in(cx, cy) || is_in(side, cy) {
            return true;
        }
        let reach = NEAR / CELL.1;
        let above = if within_y > 1.0 - reach { 1 } else { -1 };
        if (above == 1 || within_y < reach) && (is_in(cx, cy.wrapping_add(above)) || is_in(side, cy.wrapping_add(above))) {
            return true;
        }
        self.note(key(cx, cy), glyph.x, glyph.y);
        false
    }
}

/// Appends the text of a glyph without blanks at its ends. Nearly every glyph is one character of one byte, for which a call that copies
/// any number of bytes costs more than the byte.
fn push(out: &mut String, text: &str) {
    match text.as_bytes() {
        [byte @ b'!'..=b'~'] => out.push(char::from(*byte)),
        _ => out.push_str(text.trim_matches(' ')),
    }
}

/// A blank: where it starts and ends, and its baseline.
type Blank = (f32, f32, f32);

/// Whether a blank stands just left of `x`. Where text is drawn from right to left, what follows a run does.
fn is_left_of((_, x1, base): Blank, x: f32, at: f32, size: f32) -> bool {
    (base - at).abs() < 0.1 * size && (x1 - x).abs() < 0.3 * size
}

/// Whether a blank stands just right of `x`.
fn is_right_of((x0, _, base): Blank, x: f32, at: f32, size: f32) -> bool {
    (base - at).abs() < 0.1 * size && (x0 - x).abs() < 0.3 * size
}

struct Builder {
    cos: f32,
    sin: f32,
    runs: Vec<Run>,
    open: Option<Run>,
    /// Where a blank was drawn between the open run and what comes next.
    blank: Option<Blank>,
    tracking: f32,
}

impl Builder {
    fn new(degrees: i32) -> Self {
        let (sin, cos) = match degrees {
            0 => (0.0, 1.0),
            90 => (1.0, 0.0),
            180 => (0.0, -1.0),
            270 => (-1.0, 0.0),
            other => (other as f32).to_radians().sin_cos(),
        };
        Builder {
            cos,
            sin,
            runs: Vec::new(),
            open: None,
            blank: None,
            tracking: 0.0,
        }
    }

    fn add(&mut self, glyph: &Glyph, text: &str) {
        let x0 = glyph.x * self.cos + glyph.y * self.sin;
        let mut base = glyph.y * self.cos - glyph.x * self.sin;
        if glyph.vertical {
            // Its line is the middle of the column, a baseline the left side of letters that lie in it.
            base -= 0.25 * glyph.size;
        }
        let x1 = x0 + larger(0.0, glyph.dx * self.cos + glyph.dy * self.sin);
        // The only blank that is left in a page's text.
        if text.bytes().all(|byte| byte == b' ') {
            if text.is_empty() {
                // A glyph without a meaning still takes its place.
                if let Some(open) = &mut self.open
                    && (open.base - base).abs() < 0.1 * open.size
                    && x0 >= open.x1 - 0.3 * open.size
                    && x0 - open.x1 < RUN_GAP * open.size
                {
                    open.x1 = larger(open.x1, x1);
                }
            } else {
                self.blank = Some((x0, x1, base));
            }
            return;
        }
        let word_gap = (0.45 * glyph.space).clamp(0.1 * glyph.size, 0.17 * glyph.size);
        if let Some(open) = &mut self.open {
            let gap = x0 - open.x1;
            let size = larger(open.size, glyph.size);
            let follows = (open.base - base).abs() < 0.08 * size
                && (open.size - glyph.size).abs() < 0.1 * size
                && gap > -0.35 * size
                && gap < RUN_GAP * size;
            if follows {
                let tracked = gap - self.tracking.clamp(0.0, 0.5 * size);
                // Where the pen went back over a blank, nobody sees it: kerning between letters of one word.
                let is_apart = self
                    .blank
                    .is_some_and(|(x0, x1, _)| x1 - x0 < 0.1 * size || gap > 0.03 * size || !open.text.ends_with(char::is_alphanumeric));
                if is_apart || tracked > word_gap || text.starts_with(' ') {
                    open.text.push(' ');
                }
                push(&mut open.text, text);
                open.x1 = larger(open.x1, x1);
                open.word_gap = word_gap;
                open.bold &= glyph.bold;
                self.blank = text.ends_with(' ').then_some((x1, x1, base));
                self.tracking = glyph.tracking;
                return;
            }
        }
        self.close();
        self.open = Some(Run {
            x0,
            x1,
            base,
            size: glyph.size,
            word_gap,
            text: text.trim_matches(' ').to_owned(),
            space_before: text.starts_with(' ') || self.blank.is_some_and(|blank| !is_right_of(blank, x1, base, glyph.size)),
            space_after: self.blank.is_some_and(|blank| is_right_of(blank, x1, base, glyph.size)),
            bold: glyph.bold,
        });
        self.blank = text.ends_with(' ').then_some((x1, x1, base));
        self.tracking = glyph.tracking;
    }

    fn close(&mut self) {
        if let Some(mut run) = self.open.take() {
            if let Some(blank) = self.blank {
                let is_before = is_left_of(blank, run.x0, run.base, run.size);
                run.space_before |= is_before;
                run.space_after = !is_before;
            }
            self.runs.push(run);
        }
    }

    fn finish(mut self) -> Vec<Run> {
        self.close();
        self.runs
    }
}
