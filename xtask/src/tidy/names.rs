//! Rule `names`: what the code defines has none of the glossary's words as its name. Bindings and parameters are not looked at.

use proc_macro2::Ident;
use syn::visit::{self, Visit};

use super::glossary::{NAMES, NAMES_KEPT, ORDINARY_BEFORE};
use super::offence::{Offence, Rule};
use super::source::Source;

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Function,
    Type,
    Variant,
    Field,
    Constant,
    Module,
    Macro,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Type => "type",
            Self::Variant => "variant",
            Self::Field => "field",
            Self::Constant => "constant",
            Self::Module => "module",
            Self::Macro => "macro",
        }
    }
}

/// Checks one file.
pub fn check(source: &Source) -> Vec<Offence> {
    let mut definitions = Definitions::default();
    definitions.visit_file(&source.syntax);
    let path = source.file.path.as_str();
    let is_kept = |name: &str| {
        NAMES_KEPT.iter().any(|(place, kept, _)| {
            name == *kept && (path == *place || place.is_empty() || place.ends_with('/') && path.starts_with(place))
        })
    };
    let mut offences = Vec::new();
    for (kind, ident) in definitions.0 {
        let name = ident.to_string();
        let Some((word, write)) = offending_word(kind, &name) else {
            continue;
        };
        if !is_kept(&name) {
            let what = format!("the {} `{name}` has the word \"{word}\"", kind.name());
            offences.push(Offence::new(
                Rule::Names,
                path,
                ident.span().start().line,
                what,
                format!("write {write}"),
            ));
        }
    }
    offences
}

/// The first word of the glossary that a name has, and what to write in its place.
fn offending_word(kind: Kind, name: &str) -> Option<(&'static str, &'static str)> {
    let parts = words(name);
    for entry in NAMES.iter().filter(|entry| entry.form.concerns(kind, parts.len())) {
        for word in entry.words {
            let wanted: Vec<&str> = word.split('_').collect();
            let is_ordinary = |start: usize| parts.get(start + wanted.len()).is_some_and(|next| next == ORDINARY_BEFORE);
            let has_part = || {
                parts
                    .windows(wanted.len())
                    .enumerate()
                    .any(|(start, window)| window == wanted && !is_ordinary(start))
            };
            let found = if entry.form.is_whole() { parts == wanted } else { has_part() };
            if found {
                return Some((word, entry.write));
            }
        }
    }
    None
}

/// The words of a name, in small letters: of `told_of`, `ToldOf` and `TOLD_OF` the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.trim_start_matches("r#").split('_') {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (index, letter) in letters.iter().enumerate() {
            let is_lower = |index: Option<usize>| {
                index
                    .and_then(|index| letters.get(index))
                    .is_some_and(|letter| letter.is_lowercase() || letter.is_numeric())
            };
            let begins = letter.is_uppercase() && (is_lower(index.checked_sub(1)) || is_lower(Some(index + 1)));
            if begins && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(letter.to_lowercase());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// The definitions of a file, in its order.
#[derive(Default)]
struct Definitions(Vec<(Kind, Ident)>);

impl Definitions {
    fn add(&mut self, kind: Kind, ident: &Ident) {
        self.0.push((kind, ident.clone()));
    }
}

macro_rules! visits {
    ($($method:ident($item:ty) is $kind:ident;)*) => {
        $(fn $method(&mut self, item: &'ast $item) {
            self.add(Kind::$kind, &item.ident);
            visit::$method(self, item);
        })*
    };
}

impl<'ast> Visit<'ast> for Definitions {
    visits! {
        visit_item_struct(syn::ItemStruct) is Type;
        visit_item_enum(syn::ItemEnum) is Type;
        visit_item_union(syn::ItemUnion) is Type;
        visit_item_trait(syn::ItemTrait) is Type;
        visit_item_type(syn::ItemType) is Type;
        visit_trait_item_type(syn::TraitItemType) is Type;
        visit_variant(syn::Variant) is Variant;
        visit_item_const(syn::ItemConst) is Constant;
        visit_item_static(syn::ItemStatic) is Constant;
        visit_impl_item_const(syn::ImplItemConst) is Constant;
        visit_trait_item_const(syn::TraitItemConst) is Constant;
        visit_item_mod(syn::ItemMod) is Module;
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.add(Kind::Function, &signature.ident);
        visit::visit_signature(self, signature);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.add(Kind::Field, ident);
        }
        visit::visit_field(self, field);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(ident) = &item.ident {
            self.add(Kind::Macro, ident);
        }
    }

    /// The names in an implementation of a trait are the trait's: only what its functions define inside is looked at.
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_none() {
            visit::visit_item_impl(self, item);
            return;
        }
        for member in &item.items {
            if let syn::ImplItem::Fn(function) = member {
                self.visit_block(&function.block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::parse;
    use super::super::tree::File;
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let files = [File::new("src/a.rs", text)];
        parse(&files)
            .unwrap()
            .iter()
            .flat_map(check)
            .map(|offence| format!("{} {}", offence.line, offence.what))
            .collect()
    }

    #[test]
    fn names_are_split_into_words() {
        for name in ["told_of_it", "ToldOfIt", "TOLD_OF_IT", "toldOfIt", "_told__of_it"] {
            assert_eq!(words(name), ["told", "of", "it"], "{name}");
        }
        assert_eq!(words("HTTPPlace2"), ["http", "place2"]);
        assert_eq!(words("r#type"), ["type"]);
    }

    #[test]
    fn every_kind_of_definition_is_looked_at() {
        let text = "mod redo;\nstruct Told { redo: u8 }\nenum A { Said }\ntrait Ear { fn hear(&self); const BEAT: u8; }\nimpl A { fn bury() {} }\nstatic REMADE: u8 = 1;\n";
        let lines: Vec<_> = of(text).iter().map(|found| found[..1].to_owned()).collect();
        assert_eq!(lines, ["1", "2", "2", "3", "4", "4", "4", "5", "6"]);
        assert_eq!(of("fn a() { fn told() {} }"), ["1 the function `told` has the word \"told\""]);
    }

    #[test]
    fn bindings_uses_and_implementations_of_traits_are_not() {
        assert!(of("use b::told;\nfn a(told: u8) { let said = told; }\nimpl b::Ear for A { fn hear() {} }\n").is_empty());
    }

    #[test]
    fn ordinary_english_stays() {
        let text = "fn place() {}\nfn changed() {}\nfn watch() {}\nstruct PluginChange;\nfn heartbeat() {}\nfn early() {}\nfn claim() {}\nfn replace() {}\n\
                    fn trial() {}\nstruct Network;\nfn workspace() {}\nfn is_space() {}\nstruct Placement;\nfn large_texts_are_no_trouble() {}\nfn names_tell_their_generation() {}\nfn types_are_told_apart() {}\n";
        assert!(of(text).is_empty());
    }

    #[test]
    fn what_the_glossary_means_does_not() {
        for text in [
            "struct CollectionPlace;",
            "mod watch;",
            "struct Watch;",
            "struct StallGuard;",
            "struct PlacedIndex;",
            "mod placed;",
            "struct Work;",
            "mod space;",
            "fn is_well() {}",
            "fn tell_others() {}",
            "fn says() {}",
            "struct Change;",
            "struct A { preferred: u8 }",
        ] {
            assert_eq!(of(text).len(), 1, "{text}");
        }
    }
}
