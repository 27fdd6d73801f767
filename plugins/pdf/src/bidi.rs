//! Text that runs from right to left: between the order in which it stands on a page, left to right, and the order in which it is read.
//!
//! What a page shows does not determine its text. Here it is taken for the text that the Unicode bidirectional algorithm shows this way and
//! that has the fewest changes of direction: `Windows 10` within Hebrew is one name, not a name and a number.

use std::ops::Range;

use unicode_bidi::{BidiClass, BidiInfo, Level, bidi_class};

/// Whether the text may hold letters of scripts that run from right to left: a quick look at its bytes, which never misses any.
pub(crate) fn may_have_rtl(text: &str) -> bool {
    !text.is_ascii() && text.bytes().any(|byte| matches!(byte, 0xD6..=0xE0 | 0xEF | 0xF0))
}

/// Letters that run from right to left, and from left to right.
pub(crate) fn letters(text: &str) -> (usize, usize) {
    let (mut rtl, mut ltr) = (0, 0);
    for c in text.chars() {
        match bidi_class(c) {
            BidiClass::R | BidiClass::AL => rtl += 1,
            BidiClass::L => ltr += 1,
            _ => {}
        }
    }
    (rtl, ltr)
}

/// What a character does to the order of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rtl,
    Ltr,
    Number,
    Neutral,
}

/// A character with the marks over and under it.
struct Cluster {
    chars: Range<usize>,
    class: BidiClass,
    kind: Kind,
}

/// Turns a line from the order in which it stands on the page into the one in which it is read. `is_rtl_page` tells whether most of the
/// page runs from right to left.
pub(crate) fn to_logical(line: &mut String, is_rtl_page: bool) {
    if !may_have_rtl(line) {
        return;
    }
    let (rtl, ltr) = letters(line);
    if rtl == 0 {
        return;
    }
    reorder(line, if is_rtl_page { ltr <= 3 * rtl } else { rtl > ltr });
}

/// Turns a line round; `is_rtl` is the direction of its paragraph.
fn reorder(line: &mut String, is_rtl: bool) {
    let mut chars: Vec<char> = line.chars().collect();
    let mut clusters = clusters(&chars);
    find_numbers(&chars, &mut clusters);
    let levels = levels(&chars, &clusters, is_rtl);
    let order = BidiInfo::reorder_visual(&levels);
    mirror(&mut chars, &clusters, &levels, &order);
    rebuild(line, &chars, &clusters, &order);
}

/// Turns the text that follows `start`, which one glyph or one mark of a file bears, from the order in which it is read into the one in
/// which it would stand on the page.
pub(crate) fn to_visual(text: &mut String, start: usize) {
    let Some(part) = text.get(start..).filter(|part| may_have_rtl(part)) else {
        return;
    };
    let chars: Vec<char> = part.chars().collect();
    let info = BidiInfo::new(part, None);
    let Some(paragraph) = info.paragraphs.first().filter(|_| info.has_rtl()) else {
        return;
    };
    let clusters = clusters(&chars);
    let levels = info.reordered_levels_per_char(paragraph, paragraph.range.clone());
    let levels: Vec<Level> = clusters
        .iter()
        .filter_map(|cluster| levels.get(cluster.chars.start).copied())
        .collect();
    let order = BidiInfo::reorder_visual(&levels);
    let mut visual = String::with_capacity(part.len());
    rebuild(&mut visual, &chars, &clusters, &order);
    text.truncate(start);
    text.push_str(&visual);
}

fn rebuild(text: &mut String, chars: &[char], clusters: &[Cluster], order: &[usize]) {
    text.clear();
    for cluster in order.iter().filter_map(|&at| clusters.get(at)) {
        text.extend(chars.get(cluster.chars.clone()).unwrap_or_default());
    }
}

fn clusters(chars: &[char]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::with_capacity(chars.len());
    for (at, &c) in chars.iter().enumerate() {
        let class = bidi_class(c);
        match clusters.last_mut() {
            Some(last) if class == BidiClass::NSM => last.chars.end = at + 1,
            _ => clusters.push(Cluster {
                chars: at..at + 1,
                class,
                kind: match class {
                    BidiClass::R | BidiClass::AL => Kind::Rtl,
                    BidiClass::L => Kind::Ltr,
                    BidiClass::EN | BidiClass::AN => Kind::Number,
                    _ => Kind::Neutral,
                },
            }),
        }
    }
    clusters
}

/// For each cluster whether the nearest letter to its right is Arabic.
fn follow_arabic(clusters: &[Cluster]) -> Vec<bool> {
    let mut follow = vec![false; clusters.len()];
    let mut is_arabic = false;
    for (follows, cluster) in follow.iter_mut().zip(clusters).rev() {
        *follows = is_arabic;
        match cluster.class {
            BidiClass::AL => is_arabic = true,
            BidiClass::R | BidiClass::L => is_arabic = false,
            _ => {}
        }
    }
    follow
}

/// Makes what belongs to numbers a part of them: the separators within, the signs beside.
fn find_numbers(chars: &[char], clusters: &mut [Cluster]) {
    let follows_arabic = follow_arabic(clusters);
    let mut at = 0;
    while at < clusters.len() {
        if clusters.get(at).is_none_or(|cluster| cluster.kind != Kind::Number) {
            at += 1;
            continue;
        }
        // Numbers that follow Arabic letters, which stand to their right, hold together less.
        let is_arabic = follows_arabic.get(at).copied().unwrap_or(false);
        let is_digit = |at: usize| clusters.get(at).is_some_and(|cluster| cluster.kind == Kind::Number);
        let mut end = at + 1;
        loop {
            let separates = clusters.get(end).is_some_and(|cluster| match cluster.class {
                BidiClass::CS => true,
                BidiClass::ES => !is_arabic,
                _ => false,
            });
            if is_digit(end) {
                end += 1;
            } else if separates && is_digit(end + 1) {
                end += 2;
            } else {
                break;
            }
        }
        let is_sign = |cluster: &Cluster| cluster.class == BidiClass::ET && chars.get(cluster.chars.start) != Some(&'\'');
        let (before, rest) = clusters.split_at_mut(at);
        if !is_arabic {
            before
                .iter_mut()
                .rev()
                .take_while(|cluster| is_sign(cluster))
                .for_each(|cluster| cluster.kind = Kind::Number);
        }
        let (number, after) = rest.split_at_mut(end - at);
        number.iter_mut().for_each(|cluster| cluster.kind = Kind::Number);
        if !is_arabic {
            after
                .iter_mut()
                .take_while(|cluster| is_sign(cluster))
                .for_each(|cluster| cluster.kind = Kind::Number);
        }
        at = end;
    }
}

/// The embedding level of each cluster, by its place on the page.
fn levels(chars: &[char], clusters: &[Cluster], is_rtl: bool) -> Vec<Level> {
    let line = VisualLine { chars, clusters, is_rtl };
    // What bounds the stretches of the other direction.
    let bound = if is_rtl { Kind::Rtl } else { Kind::Ltr };
    let mut levels = vec![if is_rtl { Level::rtl() } else { Level::ltr() }; clusters.len()];
    let mut start = 0;
    for stretch in clusters.split(|cluster| cluster.kind == bound) {
        let end = start + stretch.len();
        let mut at = start;
        for bracket in line.lone_brackets(line.section(at..end)) {
            line.raise(&mut levels, at..bracket);
            at = bracket + 1;
        }
        line.raise(&mut levels, at..end);
        start = end + 1;
    }
    levels
}

/// A line as it stands on the page, in a paragraph of a direction.
struct VisualLine<'a> {
    chars: &'a [char],
    clusters: &'a [Cluster],
    is_rtl: bool,
}

impl VisualLine<'_> {
    fn char_at(&self, at: usize) -> Option<char> {
        let cluster = self.clusters.get(at)?;
        self.chars.get(cluster.chars.start).copied()
    }

    /// The kind of letters that run against the paragraph.
    fn inner(&self) -> Kind {
        if self.is_rtl { Kind::Ltr } else { Kind::Rtl }
    }

    /// The part of a stretch that runs against the paragraph: from its first letter or number to its last one, and a bracket after it whose
    /// other half stands within.
    fn section(&self, stretch: Range<usize>) -> Range<usize> {
        let counts = |at: &usize| {
            let kind = self.clusters.get(*at).map(|cluster| cluster.kind);
            kind == Some(self.inner()) || (self.is_rtl && kind == Some(Kind::Number))
        };
        let (Some(first), Some(last)) = (stretch.clone().find(counts), stretch.clone().rfind(counts)) else {
            return stretch.start..stretch.start;
        };
        let section = first..last + 1;
        let mut lone = self.lone_brackets(section.clone());
        // A bracket belongs to the letters before it, which stand at the left or at the right.
        let is_inner = |at: &usize| self.clusters.get(*at).is_some_and(|cluster| cluster.kind == self.inner());
        let letters = (section.clone().find(is_inner), section.clone().rfind(is_inner));
        let (Some(first_letter), Some(last_letter)) = letters else {
            return section;
        };
        let outer = match self.is_rtl {
            true => {
                lone.retain(|at| self.char_at(*at).is_some_and(is_opening) && first_letter < *at);
                (section.end..stretch.end)
                    .take(lone.len())
                    .take_while(|at| self.char_at(*at).is_some_and(is_closing))
                    .last()
            }
            false => {
                lone.retain(|at| self.char_at(*at).is_some_and(is_closing) && *at < last_letter);
                let before = (stretch.start..first).rev().take(lone.len());
                before.take_while(|at| self.char_at(*at).is_some_and(is_opening)).last()
            }
        };
        match outer {
            Some(at) => section.start.min(at)..section.end.max(at + 1),
            None => section,
        }
    }

    /// Brackets whose other half is not in the same range: they belong to the text around it.
    fn lone_brackets(&self, range: Range<usize>) -> Vec<usize> {
        let mut lone: Vec<usize> = Vec::new();
        for at in range {
            let Some(c) = self.char_at(at) else { break };
            let is_closed = is_closing(c) && lone.last().is_some_and(|at| self.char_at(*at).is_some_and(is_opening));
            if is_closed {
                lone.pop();
            } else if is_opening(c) || is_closing(c) {
                lone.push(at);
            }
        }
        lone
    }

    /// Raises the levels of a stretch that runs against the paragraph, or of the numbers in it.
    fn raise(&self, levels: &mut [Level], stretch: Range<usize>) {
        let one = Level::rtl();
        let two = Level::new(2).unwrap_or(one);
        let section = self.section(stretch);
        let part = self.clusters.get(section.clone()).unwrap_or_default();
        let has_letters = part.iter().any(|cluster| cluster.kind == self.inner());
        for (level, cluster) in levels.iter_mut().skip(section.start).zip(part) {
            match (cluster.kind, self.is_rtl) {
                (Kind::Number, _) => *level = two,
                (_, true) if has_letters => *level = two,
                (_, false) => *level = one,
                _ => {}
            }
        }
    }
}

fn is_opening(c: char) -> bool {
    matches!(c, '(' | '[' | '{')
}

fn is_closing(c: char) -> bool {
    matches!(c, ')' | ']' | '}')
}

/// Brackets and quotation marks that look the other way round in text from right to left.
const MIRRORED: [(char, char); 6] = [('(', ')'), ('[', ']'), ('{', '}'), ('«', '»'), ('‹', '›'), ('<', '>')];

/// Gives brackets the meaning that they have where they are read. Most files say of a bracket how it looks, some what it means: they are
/// left alone where they come in pairs as they are.
fn mirror(chars: &mut [char], clusters: &[Cluster], levels: &[Level], order: &[usize]) {
    let place = |at: usize| {
        clusters
            .get(at)
            .filter(|_| levels.get(at).is_some_and(Level::is_rtl))
            .map(|cluster| cluster.chars.start)
    };
    let places: Vec<usize> = order.iter().filter_map(|&at| place(at)).collect();
    let mut open = 0_i64;
    let mut is_paired = true;
    for c in places.iter().filter_map(|&at| chars.get(at)) {
        open += i64::from(MIRRORED.iter().any(|(opening, _)| opening == c));
        open -= i64::from(MIRRORED.iter().any(|(_, closing)| closing == c));
        is_paired &= open >= 0;
    }
    if is_paired && open == 0 {
        return;
    }
    for at in places {
        if let Some(c) = chars.get_mut(at) {
            let pair = MIRRORED.iter().find(|(opening, closing)| opening == c || closing == c);
            if let Some((opening, closing)) = pair {
                *c = if c == opening { *closing } else { *opening };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(visual: &str, is_rtl_page: bool, logical: &str) {
        let mut line = visual.to_owned();
        to_logical(&mut line, is_rtl_page);
        assert_eq!(line, logical, "{visual}");
    }

    #[test]
    fn lines_are_put_into_the_order_in_which_they_are_read() {
        check("plain, 90 (x) 50%", true, "plain, 90 (x) 50%");
        check("םוי 90 לכ קדבנ :הקוזחת חוד", true, "דוח תחזוקה: נבדק כל 90 יום");
        check(".Windows 10 םע דבוע", true, "עובד עם Windows 10.");
        check(
            "12/05/2020 ךיראתב 1,234.50 ,25% לש החנה",
            true,
            "הנחה של 25%, 1,234.50 בתאריך 12/05/2020",
        );
        check("20 10", true, "20 10");
        check("20 10 א", true, "א 10 20");
        check("the word םולש means peace", false, "the word שלום means peace");
        check("the words 90 םוי, in LTR", false, "the words 90 יום, in LTR");
        check("first םוי 90 לכ last", false, "first כל 90 יום last");
        check("يبرع صن", false, "نص عربي");
        check("٢٠٢٤ ماع", true, "عام ٢٠٢٤");
        check("1,200 (Valve X) לוחכ", true, "כחול (Valve X) 1,200");
        check("f(x) = 2 וניה", true, "הינו f(x) = 2");
        check(
            "רדס לכב םגו Windows 10 Pro (64-bit)-ב",
            true,
            "ב-Windows 10 Pro (64-bit) וגם בכל סדר",
        );
        check(
            "English with a name (תילגנא) תירבע inside",
            false,
            "English with a name עברית (אנגלית) inside",
        );
        check(
            "the abstract of this long text has םולש in it",
            true,
            "the abstract of this long text has שלום in it",
        );
    }

    #[test]
    fn brackets_are_mirrored_where_a_file_tells_their_looks() {
        check("םלוע (abc) םולש", true, "שלום (abc) עולם");
        check("םלוע )abc( םולש", true, "שלום (abc) עולם");
        check(".(םולש", true, "שלום).");
        check("«נתמ»", true, "«מתנ»");
    }

    #[test]
    fn marks_stay_with_their_letters() {
        check("ם\u{5B9}ול", true, "לום\u{5B9}");
    }

    #[test]
    fn a_glyph_of_several_letters_is_turned_round() {
        let mut text = "ab لا".to_owned();
        to_visual(&mut text, 3);
        assert_eq!(text, "ab ال");
        to_visual(&mut text, 100);
        let mut text = "office".to_owned();
        to_visual(&mut text, 0);
        assert_eq!(text, "office");
    }

    proptest! {
        #[test]
        fn what_is_read_looks_as_on_the_page(logical in "[א-ת ]{1,8}( [א-ת]{1,6}| [a-z]{1,5}[ ,][a-z]{1,3}| [0-9]{1,3}(\\.[0-9])?%?,?){0,6} [א-ת]{2}") {
            let shown = |text: &str| {
                let info = BidiInfo::new(text, Some(Level::rtl()));
                info.paragraphs.first().map(|whole| info.reorder_line(whole, whole.range.clone()).into_owned())
            };
            let visual = shown(&logical).unwrap_or_default();
            let mut read = visual.clone();
            reorder(&mut read, true);
            prop_assert_eq!(shown(&read).unwrap_or_default(), visual, "{}", read);
        }

        #[test]
        fn nothing_is_lost(line in "[a-c(א-גﺍ-ﺏ ٠-٣0-3.,%\u{5b9}-]{0,20}", is_rtl_page: bool) {
            let sorted = |text: &str| {
                let mut chars: Vec<char> = text.chars().map(|c| if c == ')' { '(' } else { c }).collect();
                chars.sort_unstable();
                chars
            };
            let mut read = line.clone();
            to_logical(&mut read, is_rtl_page);
            prop_assert_eq!(sorted(&read), sorted(&line));
            let mut turned = line.clone();
            to_visual(&mut turned, 0);
            prop_assert_eq!(sorted(&turned), sorted(&line));
        }
    }
}
