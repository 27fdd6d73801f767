use super::*;
use ibid_types::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Colour {
    Red,
    Blue,
}

crate::choice!(Colour { "red" => Red, "blue" => Blue });

crate::settings! {
    /// Settings of the lamp.
    struct Lamp {
        keys {
            /// Address of the lamp;
            /// empty: none.
            "lamp.url" => url: Option<String> = None,
            /// Its colour.
            "lamp.colour" [live()] => colour: Colour = Colour::Blue,
        }
    }
}

impl OptionalSettings for Lamp {
    fn is_set(&self) -> bool {
        self.url.is_some()
    }
}

crate::settings! {
    /// Settings of the house.
    struct House {
        keys {
            /// Seconds until the light goes out.
            "house.timeout_seconds" [range(1, 60), live()] => timeout: Duration = Duration::from_secs(9),
            /// Megabytes of memory.
            "house.cache_mb" as Megabytes => cache_bytes: u64 = 3_000_000,
            /// The key.
            "house.key" => key: Option<Secret> = None,
            /// A file with the key.
            "house.key_file" => key_file: Option<PathBuf> = None,
        }
        parts {
            /// The lamp.
            lamp: Option<Lamp>,
        }
        fixed {
            /// How many doors.
            doors: u32 = 2,
        }
        secrets { "house.key" => key or key_file }
    }
}

fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    House::keys(&mut keys);
    keys
}

fn defaults() -> Values {
    keys().iter().map(|key| (key.path, key.default())).collect()
}

#[test]
fn keys_are_declared_on_fields() {
    let paths: Vec<_> = keys().iter().map(|key| key.path).collect();
    let expected = [
        "house.timeout_seconds",
        "house.cache_mb",
        "house.key",
        "house.key_file",
        "lamp.url",
        "lamp.colour",
    ];
    assert_eq!(paths, expected);
    let [timeout, cache, _, _, url, colour] = keys().try_into().unwrap();
    assert_eq!((timeout.kind, timeout.is_live()), (Kind::Integer(1, 60), true));
    assert_eq!((timeout.default(), cache.default()), (9.into(), 3.into()));
    assert_eq!(url.help(), "Address of the lamp; empty: none.");
    assert_eq!(
        (colour.kind, colour.variable()),
        (Kind::Choice(&["red", "blue"]), "IBID_LAMP_COLOUR".to_owned())
    );
}

#[test]
fn the_default_is_what_default_values_give() {
    let read = House::read(&defaults()).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", House::default()));
}

#[test]
fn values_go_into_the_struct_and_come_back() {
    let mut values = defaults();
    for (key, value) in [
        ("house.timeout_seconds", Value::from(5)),
        ("house.cache_mb", 7.into()),
        ("lamp.url", "http://lamp".into()),
        ("lamp.colour", "red".into()),
    ] {
        values.insert(key, value);
    }
    let house = House::read(&values).unwrap();
    assert_eq!(
        (house.timeout, house.cache_bytes, house.doors),
        (Duration::from_secs(5), 7_000_000, 2)
    );
    assert_eq!(house.lamp.as_ref().map(|lamp| lamp.colour), Some(Colour::Red));
    let mut written = Values::default();
    house.write(&mut written);
    assert_eq!(written, values);
}

#[test]
fn a_value_that_a_field_cannot_hold_names_its_key() {
    let mut values = defaults();
    values.insert("lamp.colour", "green".into());
    let error = House::read(&values).unwrap_err();
    assert_eq!(error.to_string(), "`lamp.colour` must be red or blue, not `\"green\"`");
}

#[test]
fn networks_are_addresses_and_networks() {
    let value = Value::from(vec!["10.0.0.0/8", "::1"]);
    let networks = Vec::<ipnet::IpNet>::from_toml(&value).unwrap();
    assert_eq!(networks.to_toml(), value);
    let error = Vec::<ipnet::IpNet>::from_toml(&vec!["proxy.example.org"].into()).unwrap_err();
    assert!(error.contains("`proxy.example.org`") && error.contains("10.0.0.0/8"), "{error}");
}

#[test]
fn a_secret_is_read_from_its_file_once() {
    let path = std::env::temp_dir().join(format!("ibid-secret-{}", std::process::id()));
    std::fs::write(&path, " very-secret\n").unwrap();
    let mut house = House {
        key_file: Some(path.clone()),
        ..House::default()
    };
    house.read_secret_files().unwrap();
    assert_eq!(house.key.as_ref().map(Secret::expose), Some("very-secret"));
    house.read_secret_files().unwrap();
    house.key_file = Some(path.clone());
    let error = house.read_secret_files().unwrap_err().to_string();
    assert_eq!(error, "set `house.key` or `house.key_file`, not both");
    house.key = None;
    std::fs::write(&path, "\n").unwrap();
    assert!(house.read_secret_files().unwrap_err().to_string().contains("holds no key"));
    std::fs::remove_file(&path).unwrap();
    assert!(house.read_secret_files().unwrap_err().to_string().contains("cannot be read"));
}
