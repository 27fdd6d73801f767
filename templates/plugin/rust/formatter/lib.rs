//! Marks citations by letters: ` [a]`, ` [b]`, ..., ` [aa]`.

#[cfg(target_arch = "wasm32")]
mod component;

use serde::Deserialize;

/// The settings: `config.schema.json` in Rust.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Whether letters are capital.
    pub capital: bool,
}

/// The letters of a number from 1: a to z, then aa, ab and so on.
pub fn letters(number: u32, config: &Config) -> String {
    let mut rest = number;
    let mut letters = Vec::new();
    while rest > 0 {
        rest -= 1;
        let first = if config.capital { b'A' } else { b'a' };
        letters.push(char::from(first + (rest % 26) as u8));
        rest /= 26;
    }
    letters.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_letters() {
        let check = |number, expected| assert_eq!(letters(number, &Config::default()), expected);
        check(1, "a");
        check(26, "z");
        check(27, "aa");
        check(703, "aaa");
        assert_eq!(letters(2, &Config { capital: true }), "B");
    }
}
