//! Formats works and page numbers as text.

use crate::config::Config;

/// A cited passage.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file name.
    pub name: &'a str,
    /// The document's title, where it has one.
    pub title: Option<&'a str>,
    /// Its authors, separated by `;`, `,` or `and`.
    pub author: Option<&'a str>,
    /// The date of creation, which begins with the year.
    pub created: Option<&'a str>,
    /// The page of the passage, from 1.
    pub page: Option<u32>,
}

/// The longest name of a work in a marker, in characters: it is in the middle of a sentence.
const MAX_NAME_CHARS: usize = 60;

impl Source<'_> {
    /// Returns the authors, the title or the file name: `Lee`, `Lee and Groß`, `Lee et al.`
    fn who(&self) -> String {
        let names: Vec<&str> = self.author.map(family_names).unwrap_or_default();
        match names.as_slice() {
            [] => shorten(self.title.map(str::trim).filter(|title| !title.is_empty()).unwrap_or(self.name)),
            [one] => shorten(one),
            [one, other] => shorten(&format!("{one} and {other}")),
            [one, ..] => shorten(&format!("{one} et al.")),
        }
    }

    /// Returns the year, if the file has it: `2019`.
    fn year(&self) -> Option<&str> {
        let year = self.created?.get(..4)?;
        year.bytes().all(|b| b.is_ascii_digit()).then_some(year)
    }

    /// Returns the name of the work: `Lee 2019`.
    fn work(&self, config: &Config) -> String {
        match self
            .year()
            .filter(|_| config.year && self.author.is_some_and(|author| !author.trim().is_empty()))
        {
            Some(year) => format!("{} {year}", self.who()),
            None => self.who(),
        }
    }

    /// Returns the work and the page: `Lee 2019, p. 4`.
    pub fn place(&self, config: &Config) -> String {
        match self.page {
            Some(page) => format!("{}, p. {page}", self.work(config)),
            None => self.work(config),
        }
    }

    /// Returns the entry of the list: `Lee 2019, Annual report (report.pdf), p. 4`.
    pub fn entry(&self, config: &Config) -> String {
        let work = self.work(config);
        let title = self.title.map(str::trim).filter(|title| !title.is_empty() && *title != work);
        let mut entry = match title {
            Some(title) => format!("{work}, {title} ({})", self.name),
            None if work == self.name => work,
            None => format!("{work} ({})", self.name),
        };
        if let Some(page) = self.page {
            entry.push_str(&format!(", p. {page}"));
        }
        entry
    }
}

/// Returns the marker: ` (Lee 2019, p. 4; Groß 2020, p. 1)`, each work and page once.
pub fn mark(cited: &[Source<'_>], config: &Config) -> String {
    let mut places: Vec<String> = Vec::new();
    for place in cited.iter().map(|source| source.place(config)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() {
        String::new()
    } else {
        format!(" ({})", places.join("; "))
    }
}

/// Returns the list that ends an answer: each entry once, in order.
pub fn list(cited: &[Source<'_>], config: &Config) -> String {
    let mut entries: Vec<String> = Vec::new();
    for entry in cited.iter().map(|source| source.entry(config)) {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    if entries.is_empty() {
        String::new()
    } else {
        format!("\n\nSources\n- {}", entries.join("\n- "))
    }
}

/// Returns the family names of authors, written as `Ann Lee; Groß, Jürgen` or `Ann Lee, Jürgen Groß and Bo Ek`. Commas separate authors
/// unless semicolons do.
fn family_names(authors: &str) -> Vec<&str> {
    let by_semicolon = authors.contains(';');
    let parts = authors.split([';', '&']).flat_map(|part| part.split(" and "));
    let names: Vec<&str> = if by_semicolon {
        // `Groß, Jürgen`: the family name comes first.
        parts.map(|name| name.split(',').next().unwrap_or(name)).collect()
    } else {
        parts.flat_map(|part| part.split(',')).collect()
    };
    names
        .into_iter()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| name.rsplit(' ').next().unwrap_or(name))
        .collect()
}

fn shorten(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or(name).trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source<'a>(author: Option<&'a str>, page: Option<u32>) -> Source<'a> {
        Source {
            name: "report.pdf",
            title: Some("Annual report"),
            author,
            created: Some("2019-03-01T00:00:00Z"),
            page,
        }
    }

    #[test]
    fn authors_are_named_by_their_family_names() {
        let check = |author: Option<&str>, expected: &str| assert_eq!(source(author, Some(4)).place(&Config::default()), expected);
        check(Some("Ann Lee"), "Lee 2019, p. 4");
        check(Some("Lee, Ann; Groß, Jürgen"), "Lee and Groß 2019, p. 4");
        check(Some("Ann Lee, Jürgen Groß and Bo Ek"), "Lee et al. 2019, p. 4");
        check(Some("Ann Lee & Bo Ek"), "Lee and Ek 2019, p. 4");
        check(Some("  "), "Annual report, p. 4");
        check(None, "Annual report, p. 4");
    }

    #[test]
    fn a_marker_names_each_place_once() {
        let config = Config::default();
        let (four, five) = (source(Some("Ann Lee"), Some(4)), source(Some("Ann Lee"), Some(5)));
        assert_eq!(mark(&[four, four, five], &config), " (Lee 2019, p. 4; Lee 2019, p. 5)");
        let plain = Config { year: false, list: true };
        assert_eq!(mark(&[source(Some("Ann Lee"), None)], &plain), " (Lee)");
        assert_eq!(mark(&[], &config), "");
    }

    #[test]
    fn the_list_names_the_files() {
        let nameless = Source {
            title: None,
            author: None,
            ..source(None, Some(2))
        };
        assert_eq!(
            list(&[source(Some("Ann Lee"), Some(4)), nameless, nameless], &Config::default()),
            "\n\nSources\n- Lee 2019, Annual report (report.pdf), p. 4\n- report.pdf, p. 2"
        );
    }

    proptest! {
        #[test]
        fn any_metadata_makes_a_short_marker(author in ".{0,200}", title in ".{0,200}", created in ".{0,12}") {
            let source = Source { name: "a.pdf", title: Some(&title), author: Some(&author), created: Some(&created), page: Some(1) };
            let marker = mark(&[source], &Config::default());
            prop_assert!(marker.starts_with(" (") && marker.ends_with(')'));
            prop_assert!(marker.chars().count() < 100);
        }
    }
}
