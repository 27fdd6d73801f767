//! Any bytes as a component, and any JSON as its manifest.

use super::*;
use crate::inspect::inspect;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,6}", inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Manifests that are nearly right: of each field there is the right kind of value, most of the time.
fn nearly_manifest() -> impl Strategy<Value = Value> {
    let field = |name: &'static str, value: BoxedStrategy<Value>| {
        prop_oneof![12 => value, 1 => json_value()].prop_map(move |value| (name.to_owned(), value))
    };
    let kinds = prop::sample::select(vec!["extractor", "chunker", "analyzer", "formatter", "citation", "Chunker"]);
    let version = prop_oneof![4 => "[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}(-[a-z]{1,4})?", 1 => ".{0,8}"];
    let media_type = prop_oneof![4 => "[a-z]{1,8}/([a-z.+-]{1,8}|\\*)", 1 => ".{0,8}"];
    let schema = prop_oneof![3 => Just(json!({ "type": "object" })), 1 => json_value()];
    let fields = (
        field(
            "name",
            prop_oneof![6 => "[a-z][a-z0-9-]{0,70}", 1 => ".{0,8}"]
                .prop_map(Value::from)
                .boxed(),
        ),
        field("version", version.prop_map(Value::from).boxed()),
        field("kind", kinds.prop_map(Value::from).boxed()),
        field("description", ".{0,40}".prop_map(Value::from).boxed()),
        field(
            "media_types",
            vec(media_type.prop_map(Value::from), 0..3).prop_map(Value::from).boxed(),
        ),
        field("config_schema", schema.boxed()),
    );
    (fields, prop::option::weighted(0.2, 0usize..6), any::<bool>()).prop_map(|((a, b, c, d, e, f), dropped, plain)| {
        let mut fields = vec![a, b, c, d, e, f];
        if let Some(dropped) = dropped {
            fields.remove(dropped);
        }
        let mut manifest: serde_json::Map<String, Value> = fields.into_iter().collect();
        // Only extractors have media types.
        if plain && manifest.get("kind").is_some_and(|kind| kind != "extractor") {
            manifest.remove("media_types");
        }
        Value::Object(manifest)
    })
}

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component with one custom section, as the encoder of another toolchain writes it.
fn with_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut section = vec![u8::try_from(name.len()).expect("a short name")];
    section.extend(name.as_bytes());
    section.extend(data);
    let mut component = COMPONENT.to_vec();
    // Five bytes of LEB128, which is more than is needed and is allowed.
    let length = section.len();
    let length = [0, 7, 14, 21, 28].map(|shift| (length >> shift) as u8 & 0x7f | if shift == 28 { 0 } else { 0x80 });
    component.push(0);
    component.extend(length);
    component.extend(section);
    component
}

fn check(read: Result<Manifest, ManifestError>) -> Result<(), TestCaseError> {
    match read {
        Ok(manifest) => {
            prop_assert!(manifest.check().is_ok());
            prop_assert!(manifest.name.len() <= MAX_NAME_BYTES && manifest.description.len() <= MAX_DESCRIPTION_BYTES);
            prop_assert!(manifest.config_schema.is_object());
            prop_assert_eq!(manifest.kind == Kind::Extractor, !manifest.media_types.is_empty());
            let mut component = COMPONENT.to_vec();
            manifest
                .embed(&mut component)
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(Manifest::of_component(&component), Ok(manifest));
        }
        Err(error) => prop_assert!((10..1_000).contains(&error.to_string().len()), "{error}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), begin in prop::sample::select(vec![&b""[..], WASM, COMPONENT])) {
        let bytes = [begin, &bytes].concat();
        check(Manifest::of_component(&bytes))?;
        if let Err(why) = inspect(&bytes) {
            prop_assert!(!why.is_empty());
        }
    }

    #[test]
    fn any_json_is_read_or_refused(value in prop_oneof![6 => nearly_manifest(), 1 => json_value()]) {
        let text = value.to_string();
        let read = Manifest::from_json(text.as_bytes());
        prop_assert_eq!(&Manifest::of_component(&with_section(SECTION, text.as_bytes())), &read);
        prop_assert_eq!(Manifest::of_component(&with_section("another", text.as_bytes())), Err(ManifestError::Missing));
        check(read)?;
    }

    #[test]
    fn a_component_that_is_changed_is_read_or_refused(
        value in nearly_manifest(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), end in any::<prop::sample::Index>(),
    ) {
        let mut component = with_section(SECTION, value.to_string().as_bytes());
        for (at, byte) in changes {
            let at = at.index(component.len());
            component[at] = byte;
        }
        component.truncate(component.len() - end.index(component.len()) / 8);
        check(Manifest::of_component(&component))?;
        let _ = inspect(&component);
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    let manifest = |schema: &str| format!(r#"{{"name":"a","version":"1.0.0","kind":"chunker","config_schema":{schema}}}"#);
    let long = manifest(&format!(r#"{{"title":"{}"}}"#, "x".repeat(MAX_SECTION_BYTES)));
    assert!(Manifest::from_json(long.as_bytes()).is_err_and(|error| error.to_string().contains("256 KiB")));
    let deep = manifest(&format!("{}{}", r#"{"a":"#.repeat(10_000), "1"));
    assert!(Manifest::from_json(deep.as_bytes()).is_err());
    assert!(Manifest::of_component(&[COMPONENT, &with_section(SECTION, long.as_bytes())[COMPONENT.len()..]].concat()).is_err());
}
