//! Declares settings: each layer has a struct whose fields carry key, range, default and documentation.
//!
//! The macro [`settings!`](crate::settings!) makes the struct and implements [`LayerSettings`] for it. The program collects the keys of all
//! layers; the file format, the environment variables, `--set` and the reference page are derived from them. This crate reads no file and no
//! environment.

mod declare;
mod format;
mod key;
mod secret_file;
#[cfg(test)]
mod tests;

pub use format::{AutoPath, Direct, Format, Megabytes, OrEmpty, SettingValue};
pub use key::{Key, Kind};
pub use secret_file::{SecretFileError, SecretSlot, read_secret_file};

use std::collections::BTreeMap;
pub use toml::Value;

/// The value of a setting that its struct cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {issue}")]
pub struct InvalidValue {
    /// The setting.
    pub key: &'static str,
    /// What is wrong with the value.
    pub issue: String,
}

/// The values of settings, by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// Returns the value of `key` as a `T` in format `F`.
    ///
    /// # Errors
    /// If it has none, or one that is no `T`.
    pub fn read<T, F: Format<T>>(&self, key: &'static str) -> Result<T, InvalidValue> {
        let value = self.0.get(key).ok_or_else(|| "has no value".to_owned());
        value
            .and_then(|value| F::from_toml(value))
            .map_err(|issue| InvalidValue { key, issue })
    }

    /// Sets the value of `key`.
    pub fn insert(&mut self, key: &'static str, value: Value) {
        self.0.insert(key, value);
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }
}

impl FromIterator<(&'static str, Value)> for Values {
    fn from_iter<I: IntoIterator<Item = (&'static str, Value)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A layer's settings: a struct, and the keys that its fields are read from.
pub trait LayerSettings: Sized {
    /// Adds the keys of all fields to `keys`.
    fn keys(keys: &mut Vec<Key>);

    /// Reads the struct from the values of its keys.
    ///
    /// # Errors
    /// The first key with a value that its field cannot hold.
    fn read(values: &Values) -> Result<Self, InvalidValue>;

    /// Adds the values of all fields to `values`.
    fn write(&self, values: &mut Values);

    /// Replaces each secret that is kept in a file by what the file contains.
    ///
    /// # Errors
    /// The first secret whose file cannot be read, or that is given twice.
    fn read_secret_files(&mut self) -> Result<(), SecretFileError>;
}

/// Settings that mean nothing until one of them is set, such as those of a server that need not be there.
pub trait OptionalSettings: LayerSettings {
    /// Whether the setting without which the others mean nothing is set.
    fn is_set(&self) -> bool;
}

impl<T: OptionalSettings> LayerSettings for Option<T> {
    fn keys(keys: &mut Vec<Key>) {
        T::keys(keys);
    }

    fn read(values: &Values) -> Result<Self, InvalidValue> {
        Ok(Some(T::read(values)?).filter(T::is_set))
    }

    fn write(&self, values: &mut Values) {
        if let Some(settings) = self {
            settings.write(values);
        }
    }

    fn read_secret_files(&mut self) -> Result<(), SecretFileError> {
        self.as_mut().map_or(Ok(()), T::read_secret_files)
    }
}
