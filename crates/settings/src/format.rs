//! How the types of fields are written in a settings file.

use super::Kind;
use ibid_types::IndexBackend;
use ibid_types::secret::Secret;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// A type that fields of settings may have.
pub trait SettingValue: Sized {
    /// The values that the setting may have. The key of a number narrows it by a range.
    const KIND: Kind;

    /// Reads a value that is of this kind.
    ///
    /// # Errors
    /// What is wrong with it, to follow the name of the key.
    fn from_toml(value: &Value) -> Result<Self, String>;

    /// Writes the value as a settings file has it.
    fn to_toml(&self) -> Value;
}

/// A way to write a `T` in a settings file. Most types have one ([`Direct`]); a key names another by `as`.
pub trait Format<T> {
    /// The values that the setting may have.
    const KIND: Kind;

    /// Reads a value that is of this kind.
    ///
    /// # Errors
    /// What is wrong with it, to follow the name of the key.
    fn from_toml(value: &Value) -> Result<T, String>;

    /// Writes the value as a settings file has it.
    fn to_toml(value: &T) -> Value;
}

/// The format of a [`SettingValue`].
#[derive(Debug)]
pub struct Direct;

impl<T: SettingValue> Format<T> for Direct {
    const KIND: Kind = T::KIND;

    fn from_toml(value: &Value) -> Result<T, String> {
        T::from_toml(value)
    }

    fn to_toml(value: &T) -> Value {
        value.to_toml()
    }
}

/// A text that may be empty.
#[derive(Debug)]
pub struct OrEmpty;

impl Format<String> for OrEmpty {
    const KIND: Kind = Kind::Optional(&Kind::Text);

    fn from_toml(value: &Value) -> Result<String, String> {
        String::from_toml(value)
    }

    fn to_toml(value: &String) -> Value {
        value.to_toml()
    }
}

/// A path, or `auto` for none.
#[derive(Debug)]
pub struct AutoPath;

impl Format<Option<PathBuf>> for AutoPath {
    const KIND: Kind = Kind::Text;

    fn from_toml(value: &Value) -> Result<Option<PathBuf>, String> {
        Ok(Some(PathBuf::from_toml(value)?).filter(|path| path.as_os_str() != "auto"))
    }

    fn to_toml(value: &Option<PathBuf>) -> Value {
        value.as_ref().map_or_else(|| Value::from("auto"), PathBuf::to_toml)
    }
}

/// A number of bytes, in megabytes.
#[derive(Debug)]
pub struct Megabytes;

impl Format<u64> for Megabytes {
    const KIND: Kind = Kind::Integer(0, i64::MAX);

    fn from_toml(value: &Value) -> Result<u64, String> {
        Ok(u64::from_toml(value)?.saturating_mul(1_000_000))
    }

    fn to_toml(value: &u64) -> Value {
        (value / 1_000_000).to_toml()
    }
}

fn mismatch(wanted: &str, value: &Value) -> String {
    format!("must be {wanted}, not `{value}`")
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| mismatch("a text", value))
}

fn texts(value: &Value) -> Result<Vec<&str>, String> {
    let texts = value.as_array().and_then(|texts| texts.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| mismatch("a list of texts", value))
}

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl SettingValue for $type {
            const KIND: Kind = Kind::Integer(0, i64::MAX);

            fn from_toml(value: &Value) -> Result<Self, String> {
                let number = value.as_integer().and_then(|number| number.try_into().ok());
                number.ok_or_else(|| mismatch(&format!("a whole number up to {}", <$type>::MAX), value))
            }

            fn to_toml(&self) -> Value {
                Value::Integer((*self).try_into().unwrap_or(i64::MAX))
            }
        }
    )* };
}

numbers!(u32, u64, usize);

/// 0 is none.
impl SettingValue for Option<u32> {
    const KIND: Kind = u32::KIND;

    fn from_toml(value: &Value) -> Result<Self, String> {
        Ok(Some(u32::from_toml(value)?).filter(|number| *number > 0))
    }

    fn to_toml(&self) -> Value {
        self.unwrap_or(0).to_toml()
    }
}

/// Whole seconds.
impl SettingValue for Duration {
    const KIND: Kind = u64::KIND;

    fn from_toml(value: &Value) -> Result<Self, String> {
        u64::from_toml(value).map(Self::from_secs)
    }

    fn to_toml(&self) -> Value {
        self.as_secs().to_toml()
    }
}

impl SettingValue for bool {
    const KIND: Kind = Kind::Boolean;

    fn from_toml(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| mismatch("`true` or `false`", value))
    }

    fn to_toml(&self) -> Value {
        Value::Boolean(*self)
    }
}

impl SettingValue for String {
    const KIND: Kind = Kind::Text;

    fn from_toml(value: &Value) -> Result<Self, String> {
        text(value).map(str::to_owned)
    }

    fn to_toml(&self) -> Value {
        Value::String(self.clone())
    }
}

impl SettingValue for PathBuf {
    const KIND: Kind = Kind::Path;

    fn from_toml(value: &Value) -> Result<Self, String> {
        text(value).map(Self::from)
    }

    fn to_toml(&self) -> Value {
        Value::String(self.to_string_lossy().into_owned())
    }
}

impl SettingValue for Secret {
    const KIND: Kind = Kind::Secret;

    fn from_toml(value: &Value) -> Result<Self, String> {
        // Whatever it is, it may be the secret.
        value.as_str().map(Self::new).ok_or_else(|| "must be a text".to_owned())
    }

    fn to_toml(&self) -> Value {
        Value::String(self.expose().to_owned())
    }
}

macro_rules! optional {
    ($($type:ty => $kind:expr),*) => { $(
        impl SettingValue for Option<$type> {
            const KIND: Kind = $kind;

            fn from_toml(value: &Value) -> Result<Self, String> {
                match value.as_str() {
                    Some("") => Ok(None),
                    _ => <$type>::from_toml(value).map(Some),
                }
            }

            fn to_toml(&self) -> Value {
                self.as_ref().map_or_else(|| Value::from(""), SettingValue::to_toml)
            }
        }
    )* };
}

optional!(String => Kind::Optional(&Kind::Text), PathBuf => Kind::Optional(&Kind::Path), Secret => Kind::Secret);

impl SettingValue for Vec<String> {
    const KIND: Kind = Kind::Texts;

    fn from_toml(value: &Value) -> Result<Self, String> {
        Ok(texts(value)?.into_iter().map(str::to_owned).collect())
    }

    fn to_toml(&self) -> Value {
        Value::Array(self.iter().map(String::to_toml).collect())
    }
}

/// Paths as they are written: relative ones start at the working directory.
impl SettingValue for Vec<PathBuf> {
    const KIND: Kind = Kind::Texts;

    fn from_toml(value: &Value) -> Result<Self, String> {
        Ok(texts(value)?.into_iter().map(PathBuf::from).collect())
    }

    fn to_toml(&self) -> Value {
        Value::Array(self.iter().map(PathBuf::to_toml).collect())
    }
}

/// An address is the smallest network.
impl SettingValue for Vec<IpNet> {
    const KIND: Kind = Kind::Networks;

    fn from_toml(value: &Value) -> Result<Self, String> {
        let network = |text: &str| {
            let text = text.trim();
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| format!("must list addresses and networks such as 10.0.0.0/8: `{text}` is neither"))
        };
        texts(value)?.into_iter().map(network).collect()
    }

    fn to_toml(&self) -> Value {
        let text = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        };
        Value::Array(self.iter().map(|network| Value::String(text(network))).collect())
    }
}

crate::choice!(IndexBackend { "embedded" => Embedded, "qdrant" => Qdrant });
