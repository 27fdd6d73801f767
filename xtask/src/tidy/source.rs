//! A parsed Rust file, and which of its lines are tests.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::tree::File;

/// A Rust file.
pub struct Source<'a> {
    pub file: &'a File,
    pub syntax: syn::File,
    pub tokens: TokenStream,
    tests: Tests,
}

/// Where a file's tests are.
enum Tests {
    /// The whole file is compiled for tests alone.
    All,
    /// These lines are.
    Lines(Vec<RangeInclusive<usize>>),
}

impl Source<'_> {
    /// Whether a line belongs to a test.
    pub fn is_test(&self, line: usize) -> bool {
        match &self.tests {
            Tests::All => true,
            Tests::Lines(ranges) => ranges.iter().any(|range| range.contains(&line)),
        }
    }
}

/// Parses the Rust files among `files`. Templates are left out: they are no Rust until they are filled in.
pub fn parse(files: &[File]) -> Result<Vec<Source<'_>>, String> {
    let mut sources = Vec::new();
    let mut modules = HashSet::new();
    for file in files
        .iter()
        .filter(|file| file.extension() == "rs" && !file.parts().contains(&"templates"))
    {
        let failed = |error: &dyn std::fmt::Display| format!("{} cannot be parsed: {error}", file.path);
        let syntax = syn::parse_file(&file.text).map_err(|error| failed(&error))?;
        let tokens = file.text.parse().map_err(|error: proc_macro2::LexError| failed(&error))?;
        let mut found = TestItems::default();
        found.visit_file(&syntax);
        modules.extend(found.modules.iter().map(|name| module_path(&file.path, name)));
        let tests = if is_test_file(file) {
            Tests::All
        } else {
            Tests::Lines(found.lines)
        };
        sources.push(Source {
            file,
            syntax,
            tokens,
            tests,
        });
    }
    for source in &mut sources {
        let path = source.file.path.trim_end_matches(".rs");
        if modules
            .iter()
            .any(|module| path == module || path.starts_with(&format!("{module}/")))
        {
            source.tests = Tests::All;
        }
    }
    Ok(sources)
}

/// Whether a file's path says that it is a test.
fn is_test_file(file: &File) -> bool {
    let mut parts = file.parts();
    let name = parts.pop().unwrap_or_default();
    parts.contains(&"tests") || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// The path of the file of module `name`, declared in the file at `path`, without `.rs` or `/mod.rs`.
fn module_path(path: &str, name: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "mod.rs" | "lib.rs" | "main.rs" => format!("{folder}/{name}"),
        _ => format!("{folder}/{}/{name}", file.trim_end_matches(".rs")),
    }
}

/// Collects what is compiled for tests alone: the lines of items, and modules that are files of their own.
#[derive(Default)]
struct TestItems {
    lines: Vec<RangeInclusive<usize>>,
    modules: Vec<String>,
}

impl<'ast> Visit<'ast> for TestItems {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !module.attrs.iter().any(is_cfg_test) {
            visit::visit_item_mod(self, module);
        } else if module.content.is_some() {
            self.add(module);
        } else {
            self.modules.push(module.ident.to_string());
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_test = |attribute: &syn::Attribute| {
            is_cfg_test(attribute) || attribute.path().segments.last().is_some_and(|last| last.ident == "test")
        };
        if function.attrs.iter().any(is_test) {
            self.add(function);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.attrs.iter().any(is_cfg_test) {
            self.add(item);
        }
    }
}

impl TestItems {
    fn add(&mut self, item: &impl Spanned) {
        let span = item.span();
        self.lines.push(span.start().line..=span.end().line);
    }
}

/// Whether an attribute is `#[cfg(test)]`, or asks for more beside.
fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    let condition = list.tokens.to_string();
    attribute.path().is_ident("cfg") && (condition == "test" || condition.starts_with("all") && condition.contains("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_path_and_by_attribute() {
        let files = [
            File::new(
                "src/a/mod.rs",
                "#[cfg(test)]\nmod contract;\nmod b;\n#[cfg(test)]\nmod inline {\n    fn a() {}\n}\nfn b() {}\n",
            ),
            File::new(
                "src/a/b.rs",
                "#[cfg(all(test, unix))]\nmod deep;\n#[tokio::test]\nasync fn c() {\n}\n",
            ),
            File::new("src/a/b/deep.rs", "fn d() {}\n"),
            File::new("src/a/contract.rs", "fn e() {}\n"),
            File::new("src/a/remote_tests.rs", "fn f() {}\n"),
            File::new("tests/server/main.rs", "fn g() {}\n"),
            File::new("templates/t.rs", "fn {{name}}\n"),
        ];
        let sources = parse(&files).unwrap();
        let tests = |path: &str, line| sources.iter().find(|source| source.file.path == path).unwrap().is_test(line);
        assert!(tests("src/a/mod.rs", 6) && !tests("src/a/mod.rs", 8));
        assert!(tests("src/a/b.rs", 4) && !tests("src/a/b.rs", 2));
        for path in [
            "src/a/b/deep.rs",
            "src/a/contract.rs",
            "src/a/remote_tests.rs",
            "tests/server/main.rs",
        ] {
            assert!(tests(path, 1), "{path}");
        }
        assert_eq!(sources.len(), 6);
    }

    #[test]
    fn what_is_no_rust_is_an_error() {
        let files = [File::new("src/a.rs", "fn (\n")];
        assert!(parse(&files).err().unwrap().starts_with("src/a.rs cannot be parsed"));
    }
}
