//! The comments and strings of a JavaScript file.

use super::prose::Prose;

/// What the scanner is in.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Code,
    LineComment,
    BlockComment,
    /// A string that ends with this sign.
    Text(char),
}

/// Collects the comments and strings of a script, line comments that follow one another as one. Regular expressions are taken for code:
/// a quote in one hides what follows it on its line, or shows code as text.
pub fn prose(script: &str) -> Vec<Prose> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut state = In::Code;
    let (mut line, mut last_comment) = (1, 0);
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        match state {
            In::Code => {
                state = match (letter, next) {
                    ('/', Some('/')) => In::LineComment,
                    ('/', Some('*')) => In::BlockComment,
                    ('\'' | '"' | '`', _) => In::Text(letter),
                    _ => In::Code,
                };
                if matches!(state, In::LineComment | In::BlockComment) {
                    letters.next();
                }
                let goes_on = state == In::LineComment && last_comment + 1 == line;
                if state != In::Code && !goes_on {
                    texts.push((line, String::new()));
                }
            }
            In::LineComment if letter == '\n' => {
                add(&mut texts, letter);
                last_comment = line;
                state = In::Code;
            }
            In::BlockComment if letter == '*' && next == Some('/') => {
                letters.next();
                state = In::Code;
            }
            In::Text(end) if letter == end || letter == '\n' && end != '`' => state = In::Code,
            In::Text(_) if letter == '\\' => {
                line += usize::from(letters.next() == Some('\n'));
                add(&mut texts, ' ');
            }
            In::LineComment | In::BlockComment | In::Text(_) => add(&mut texts, letter),
        }
        line += usize::from(letter == '\n');
    }
    texts
        .iter()
        .map(|(line, text)| Prose::new(&text.replace('`', " "), *line))
        .filter(Prose::is_sentence)
        .collect()
}

fn add(texts: &mut [(usize, String)], letter: char) {
    if let Some((_, text)) = texts.last_mut() {
        text.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(script: &str) -> Vec<usize> {
        prose(script).iter().flat_map(|prose| prose.find(&["is", "told"], false)).collect()
    }

    #[test]
    fn comments_and_strings_are_kept_apart_from_code() {
        assert_eq!(
            told("a(is, told);\n// is\n// told\n/* what\n is told */ 'is \\' told' + `b\n is told`;\n"),
            [2, 5, 5, 6]
        );
        assert_eq!(told("// is\na();\n// told\nb('is', 'told', \"it is told\");\n"), [4]);
    }
}
