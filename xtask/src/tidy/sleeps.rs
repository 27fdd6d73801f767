//! Rule `sleep`: a test waits for what it needs, not for time to pass.
//!
//! In the end-to-end tests (`tests/` at the root), the pause of a `loop` or `while` is allowed: the server is another process, which can
//! only be looked at again. Everywhere else a sleep needs `// sleep: reason` on the line before.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::offence::{Offence, Rule};
use super::source::Source;

/// Checks one file.
pub fn check(source: &Source) -> Vec<Offence> {
    let mut lines = Vec::new();
    find(source.tokens.clone(), false, source.file.path.starts_with("tests/"), &mut lines);
    let has_reason = |line: usize| {
        let before = source.file.text.lines().nth(line.saturating_sub(2)).unwrap_or_default();
        before
            .trim()
            .strip_prefix("// sleep:")
            .is_some_and(|reason| !reason.trim().is_empty())
    };
    lines
        .into_iter()
        .filter(|line| source.is_test(*line) && !has_reason(*line))
        .map(|line| {
            let remedy =
                "wait for the event itself, or pause tokio's clock; a sleep that is right has `// sleep: reason` on the line before";
            Offence::new(Rule::Sleep, &source.file.path, line, "a test sleeps", remedy)
        })
        .collect()
}

/// Collects the lines of calls of a function `sleep`. Macros are looked into as well, so that `select!` hides none.
fn find(tokens: TokenStream, in_poll: bool, polls_are_allowed: bool, lines: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    // Whether the next block is that of a `loop` or `while`.
    let mut begins_poll = false;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) if name == "loop" || name == "while" => begins_poll = true,
            TokenTree::Ident(name) if name == "sleep" => {
                let is_call = matches!(tokens.get(index + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
                let is_other = index
                    .checked_sub(1)
                    .and_then(|before| tokens.get(before))
                    .is_some_and(|before| match before {
                        TokenTree::Ident(word) => word == "fn",
                        TokenTree::Punct(point) => point.as_char() == '.',
                        _ => false,
                    });
                if is_call && !is_other && !(in_poll && polls_are_allowed) {
                    lines.push(name.span().start().line);
                }
            }
            TokenTree::Group(group) => {
                let is_body = begins_poll && group.delimiter() == Delimiter::Brace;
                find(group.stream(), in_poll || is_body, polls_are_allowed, lines);
                begins_poll &= !is_body;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::parse;
    use super::super::tree::File;
    use super::*;

    fn of(path: &str, text: &str) -> Vec<usize> {
        let files = [File::new(path, text)];
        parse(&files).unwrap().iter().flat_map(check).map(|offence| offence.line).collect()
    }

    #[test]
    fn only_tests_are_concerned() {
        let text = "fn a() {\n    std::thread::sleep(b);\n}\n\n#[cfg(test)]\nmod tests {\n    async fn c() {\n        tokio::time::sleep(d).await;\n    }\n}\n";
        assert_eq!(of("src/a.rs", text), [8]);
        assert_eq!(of("src/a/tests.rs", text), [2, 8]);
        assert_eq!(of("crates/a/tests/a.rs", text), [2, 8]);
    }

    #[test]
    fn a_reason_stands_on_the_line_before() {
        assert_eq!(
            of(
                "tests/a.rs",
                "fn a() {\n    // sleep: any moment is tested\n    sleep(b);\n    sleep(c);\n}\n"
            ),
            [4]
        );
        assert_eq!(of("tests/a.rs", "fn a() {\n    // sleep:\n    sleep(b);\n}\n"), [3]);
    }

    #[test]
    fn end_to_end_tests_may_look_again() {
        let text = "fn a() {\n    while b(&[1]) {\n        sleep(c);\n    }\n    sleep(d);\n    for e in f {\n        sleep(g);\n    }\n    loop {\n        h!({ sleep(i) });\n    }\n}\n";
        assert_eq!(of("tests/server/a.rs", text), [5, 7]);
        assert_eq!(of("crates/a/src/tests.rs", text), [3, 5, 7, 10]);
    }

    #[test]
    fn other_functions_of_the_name_are_allowed() {
        assert!(of("tests/a.rs", "fn sleep() {}\nfn a() {\n    clock.sleep(b);\n}\n").is_empty());
    }
}
