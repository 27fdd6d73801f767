//! Characters as a reader wants them: ligatures and presentation forms taken apart, controls dropped, every blank a space.

#[rustfmt::skip]
mod forms;

use forms::FORMS;

/// Appends a character of a file's text in its plain form. A soft hyphen stays, since it may divide a word at the end of a line, and so does
/// the mark that parts the letters of Persian words: what they are worth is decided line by line.
#[inline]
pub(crate) fn push(out: &mut String, c: char) {
    match c {
        ' '..='~' => out.push(c),
        c => push_other(out, c),
    }
}

fn push_other(out: &mut String, c: char) {
    match c {
        '\u{FB00}' => out.push_str("ff"),
        '\u{FB01}' => out.push_str("fi"),
        '\u{FB02}' => out.push_str("fl"),
        '\u{FB03}' => out.push_str("ffi"),
        '\u{FB04}' => out.push_str("ffl"),
        '\u{FB05}' | '\u{FB06}' => out.push_str("st"),
        // Marks of direction say how text was laid out, which is undone here.
        '\u{200B}' | '\u{200D}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{FFFD}' => {
        }
        '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{3000}' | '\t' | '\n' | '\r' => {
            out.push(' ');
        }
        // Symbol fonts put their codes into the private use area; these are bullets.
        '\u{F0B7}' => out.push('•'),
        '\u{F0A7}' => out.push('▪'),
        '\u{F06F}' | '\u{F0A8}' => out.push('☐'),
        '\u{F0FC}' => out.push('✓'),
        '\u{F0FE}' => out.push('☑'),
        '\u{F0D8}' => out.push('➢'),
        '\u{E000}'..='\u{F8FF}' => {}
        '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' => match form(c) {
            Some(plain) => out.push_str(plain),
            None => out.push(c),
        },
        '\u{FE10}'..='\u{FE48}' => out.push(upright(c)),
        c if c.is_control() => {}
        c if c.is_whitespace() => out.push(' '),
        c => out.push(c),
    }
}

/// The letters that a presentation form stands for.
fn form(c: char) -> Option<&'static str> {
    let code = u16::try_from(u32::from(c)).ok()?;
    let at = FORMS.binary_search_by_key(&code, |(form, _)| *form).ok()?;
    FORMS.get(at).map(|(_, plain)| *plain)
}

/// The sign that a form for vertical text stands for.
fn upright(c: char) -> char {
    const FROM_FE10: [char; 10] = ['，', '、', '。', '：', '；', '！', '？', '〖', '〗', '…'];
    const FROM_FE30: [char; 25] = [
        '‥', '—', '–', '_', '_', '（', '）', '｛', '｝', '〔', '〕', '【', '】', '《', '》', '〈', '〉', '「', '」', '『', '』', '﹅',
        '﹆', '［', '］',
    ];
    let code = u32::from(c);
    let of = |signs: &[char], first| signs.get(usize::try_from(code.checked_sub(first)?).ok()?).copied();
    of(&FROM_FE30, 0xFE30).or_else(|| of(&FROM_FE10, 0xFE10)).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = String::new();
        for c in text.chars() {
            push(&mut out, c);
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn plain_forms() {
        check("of\u{FB01}ce\u{A0}co\u{FEFF}op\u{1680}\u{F0B7}\u{E123}é", "office coop •é");
        check(
            "\u{FE8D}\u{FEDF}\u{FEE4}\u{FEAA} \u{FEFB} \u{FB8E}",
            "\u{627}\u{644}\u{645}\u{62F} \u{644}\u{627} \u{6A9}",
        );
        check("\u{FB2A}\u{FE80}\u{FE76}", "\u{5E9}\u{5C1}\u{621}\u{64E}");
        check("︵弁︶︒︐︙﹁", "（弁）。，…「");
    }

    #[test]
    fn forms_are_sorted_for_the_search() {
        assert!(FORMS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
