//! Rule `words`: pages, documentation comments and messages have none of the glossary's phrases.

use proc_macro2::{TokenStream, TokenTree};

use super::glossary::PHRASES;
use super::offence::{Offence, Rule};
use super::prose::Prose;
use super::script;
use super::source::Source;
use super::tree::File;

/// Pages at the repository's root that are checked; of those in `docs/`, all are.
const PAGES: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Pages that stay as they are: the protocol's text is given from outside.
const PAGES_KEPT: &[&str] = &["docs/websocket-guide.md"];

const CHANGELOG: &str = "CHANGELOG.md";

/// Checks a file that is not Rust.
pub fn check_page(file: &File) -> Vec<Offence> {
    let path = file.path.as_str();
    let is_page = PAGES.contains(&path) || path.starts_with("docs/") && !PAGES_KEPT.contains(&path);
    let is_ui = path.starts_with("src/") || path.starts_with("crates/");
    let prose = match file.extension() {
        "md" if path == CHANGELOG => Prose::of_markdown(unreleased(&file.text)),
        "md" if is_page => Prose::of_markdown(&file.text),
        "html" if is_ui => vec![Prose::new(&file.text, 1)],
        "js" if is_ui => script::prose(&file.text),
        _ => Vec::new(),
    };
    find(path, &prose)
}

/// Checks the documentation comments and the messages of a Rust file. Messages of tests are read by those who write them: they are left out.
pub fn check_source(source: &Source) -> Vec<Offence> {
    let mut prose = Prose::of_comments(&source.file.text, &["///", "//!"]);
    messages(source.tokens.clone(), &|line| !source.is_test(line), &mut prose);
    find(&source.file.path, &prose)
}

fn find(path: &str, prose: &[Prose]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for phrase in PHRASES {
        let words: Vec<&str> = phrase.says.split(' ').collect();
        let mut lines: Vec<usize> = prose.iter().flat_map(|prose| prose.find(&words, phrase.at_end)).collect();
        let ordinary: Vec<&str> = phrase.except.into_iter().flat_map(|except| except.split(' ')).collect();
        if !ordinary.is_empty() {
            for line in prose.iter().flat_map(|prose| prose.find(&ordinary, false)) {
                lines.iter().position(|found| *found == line).map(|found| lines.remove(found));
            }
        }
        for line in lines {
            offences.push(Offence::new(
                Rule::Words,
                path,
                line,
                format!("the text has \"{}\"", phrase.says),
                format!("write {}", phrase.write),
            ));
        }
    }
    offences
}

/// The changelog up to the first version that is published.
fn unreleased(text: &str) -> &str {
    let is_released = |heading: &str| heading.starts_with("## [") && !heading.starts_with("## [Unreleased]");
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if is_released(line) {
            break;
        }
        end += line.len();
    }
    text.get(..end).unwrap_or(text)
}

/// Collects the string literals that are sentences, and no SQL.
fn messages(tokens: TokenStream, is_wanted: &dyn Fn(usize) -> bool, prose: &mut Vec<Prose>) {
    let mut before = [None, None];
    for token in tokens {
        match &token {
            TokenTree::Group(group) => messages(group.stream(), is_wanted, prose),
            TokenTree::Literal(literal) if !is_doc(&before) => {
                let line = literal.span().start().line;
                if is_wanted(line)
                    && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                    && !is_sql(&text.value())
                {
                    let message = Prose::new(&text.value(), line);
                    prose.extend(message.is_sentence().then_some(message));
                }
            }
            _ => {}
        }
        before = [before[1].take(), Some(token.to_string())];
    }
}

/// Whether a literal after these two tokens is a documentation comment, which is read with its neighbours.
fn is_doc(before: &[Option<String>; 2]) -> bool {
    matches!(before, [Some(name), Some(sign)] if name == "doc" && sign == "=")
}

fn is_sql(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER"].contains(&first)
}

#[cfg(test)]
mod tests {
    use super::super::source::parse;
    use super::*;

    fn of(path: &str, text: &str) -> Vec<usize> {
        let files = [File::new(path, text)];
        let mut lines: Vec<_> = if path.ends_with(".rs") {
            parse(&files)
                .unwrap()
                .iter()
                .flat_map(check_source)
                .map(|offence| offence.line)
                .collect()
        } else {
            check_page(&files[0]).into_iter().map(|offence| offence.line).collect()
        };
        lines.sort();
        lines
    }

    #[test]
    fn comments_and_messages_are_read() {
        let text = "//! It is\n//! well again.\n/// Who asks is known.\nfn a() {\n    let told = \"told\";\n    b!(\"the client is told\");\n    // told\n    c(r#\"is told of \\ it\"#);\n}\n";
        assert_eq!(of("src/a.rs", text), [2, 3, 6, 8]);
    }

    #[test]
    fn messages_of_tests_and_statements_are_not() {
        assert!(of("src/tests.rs", "fn a() { assert!(b, \"it is told\"); }").is_empty());
        assert!(of("src/a.rs", "const A: &str = \"SELECT told FROM b\";").is_empty());
    }

    #[test]
    fn ordinary_english_stays() {
        assert!(
            of(
                "docs/a.md",
                "This is well-known and is well built. They are told apart. Ask the person who asks. `told` tells the client.\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn pages_are_read_but_for_those_that_stay() {
        for path in [
            "README.md",
            "docs/a.md",
            "docs/a/b.md",
            "CONTRIBUTING.md",
            "crates/server/ui/index.html",
        ] {
            assert_eq!(of(path, "A\nis told.\n"), [2], "{path}");
        }
        for path in ["docs/websocket-guide.md", "plugins/a/README.md", "tests/page/page.html"] {
            assert!(of(path, "is told\n").is_empty(), "{path}");
        }
        assert_eq!(of("CHANGELOG.md", "## [Unreleased]\n- told\n\n## [1.0.0]\n- told\n"), [2]);
    }

    #[test]
    fn scripts_are_read_where_they_are_no_code() {
        assert_eq!(
            of("src/ui/assets/a.js", "const told = 1;\n// It is told.\nsay('is told');\n"),
            [2, 3]
        );
    }
}
