//! Any filters of a client and of an analyzer together: they only ever narrow, and what a client's dates passed is read.

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

fn texts() -> impl Strategy<Value = Vec<String>> {
    let known = prop::sample::select(vec!["a", "b", "pdf", ".PDF", "text/plain", "application/pdf", "text/*", ""]).prop_map(str::to_owned);
    vec(prop_oneof![4 => known, 1 => ".{0,8}"], 0..4)
}

fn date() -> impl Strategy<Value = String> {
    let zone = prop::sample::select(vec!["", "Z", "z", "+02:00", "-23:59", "+24:00"]);
    let time = prop_oneof![Just(String::new()), "[Tt ][0-9]{2}:[0-9]{2}:[0-6][0-9](\\.[0-9]{1,9})?"];
    let nearly = ("[0-9]{4}-[01][0-9]-[0-3][0-9]", time, zone).prop_map(|(date, time, zone)| format!("{date}{time}{zone}"));
    prop_oneof![6 => nearly, 1 => ".{0,12}", 1 => Just("2024-08-15".to_owned())]
}

fn filters() -> impl Strategy<Value = Filters> {
    let range = (prop::option::of(date()), prop::option::of(date()));
    let range = prop::option::of(range.prop_map(|(start, end)| ibid_protocol::DateRange { start, end }));
    (texts(), texts(), texts(), texts(), range, btree_map(".{0,3}", ".{0,3}", 0..3)).prop_map(
        |(document_ids, sources, document_types, authors, date_range, metadata)| Filters {
            document_ids,
            sources,
            document_types,
            authors,
            date_range,
            metadata,
        },
    )
}

/// Whether `value` may be found where only `allowed` may; an empty list restricts nothing.
fn passes(allowed: &[String], value: &str) -> bool {
    allowed.is_empty() || allowed.iter().any(|one| one == value)
}

proptest! {
    #[test]
    fn filters_only_narrow(first in filters(), second in filters(), value in "[ab]|pdf|") {
        let narrow = |filter: &Filter, filters: &Filters| narrowed(filter, filters).map_err(|error| TestCaseError::fail(error.to_string()));
        let one = narrow(&Filter::default(), &first)?;
        let both = narrow(&one, &second)?;
        for (one, both, theirs) in [
            (&one.document_ids, &both.document_ids, &second.document_ids),
            (&one.sources, &both.sources, &second.sources),
            (&one.authors, &both.authors, &second.authors),
        ] {
            // The empty text stands for nothing at all.
            let expected = passes(one, &value) && passes(theirs, &value);
            prop_assert!(value.is_empty() || passes(both, &value) == expected, "{value}: {one:?} and {theirs:?} are {both:?}");
        }
        prop_assert!(one.document_types.is_empty() == first.document_types.is_empty() || first.document_types.iter().all(|kind| kind.is_empty()));
        prop_assert!(both.created.start >= one.created.start, "{:?}", both.created);
        prop_assert!(one.created.end.is_none_or(|end| both.created.end.is_some_and(|both| both <= end)), "{:?}", both.created);
        prop_assert_eq!(both.metadata.len(), first.metadata.len() + second.metadata.len());
        // To say the same again changes nothing but the list of metadata.
        let mut again = narrow(&one, &first)?;
        again.metadata.clone_from(&one.metadata);
        prop_assert_eq!((again.created, &again.document_ids, &again.sources, &again.authors), (one.created, &one.document_ids, &one.sources, &one.authors));
    }

    #[test]
    fn dates_that_are_taken_are_read(date in date(), last in any::<bool>()) {
        let range = json!({ "start": if last { None } else { Some(&date) }, "end": if last { Some(&date) } else { None } });
        let filters: Filters = ibid_protocol::parse(json!({ "date_range": range })).map_err(|error| TestCaseError::fail(error.message))?;
        let taken = filters.validate().is_ok();
        prop_assert_eq!(moment(&date, last).is_some(), taken, "{}", date);
        if taken {
            let created = narrowed(&Filter::default(), &filters).map_err(|error| TestCaseError::fail(error.to_string()))?.created;
            prop_assert!(!created.is_open(), "{date}");
        }
    }

    #[test]
    fn a_kind_is_at_least_one_extension(kind in prop_oneof![".{0,20}", "[a-z]{1,12}/[a-z.+*-]{0,20}"]) {
        let found = extensions(&kind);
        prop_assert!(!found.is_empty() && found.len() < 2_000);
        prop_assert!(found.iter().all(|extension| !extension.starts_with('.')), "{found:?}");
    }
}
