//! Characters as a reader wants them: ligatures expanded, soft hyphens and controls dropped, every blank a space.

/// Appends a character of a file's text in its plain form.
pub(crate) fn push(out: &mut String, c: char) {
    match c {
        ' '..='~' => out.push(c),
        '\u{FB00}' => out.push_str("ff"),
        '\u{FB01}' => out.push_str("fi"),
        '\u{FB02}' => out.push_str("fl"),
        '\u{FB03}' => out.push_str("ffi"),
        '\u{FB04}' => out.push_str("ffl"),
        '\u{FB05}' | '\u{FB06}' => out.push_str("st"),
        '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{FFFD}' => {}
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
        c if c.is_control() => {}
        c if c.is_whitespace() => out.push(' '),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn plain_forms() {
        let mut out = String::new();
        for c in "of\u{FB01}ce\u{A0}co\u{AD}op\u{1680}\u{F0B7}\u{E123}é".chars() {
            super::push(&mut out, c);
        }
        assert_eq!(out, "office coop •é");
    }
}
