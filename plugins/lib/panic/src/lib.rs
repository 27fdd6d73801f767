//! Says what a plugin's panic was about.
//!
//! A panic of a WebAssembly guest is a trap without a word. The host adds the last error that the plugin wrote to its
//! log, so a plugin that starts with `panic_words::to(|words| log::write("error", words))` tells its author, and whoever
//! asked, what was wrong.

use std::panic::{self, PanicHookInfo};

/// Has every panic from now on written to `log`, before it ends the call.
pub fn to(log: fn(&str)) {
    panic::set_hook(Box::new(move |panic| log(&words(panic))));
}

/// `index out of bounds: the len is 3 but the index is 7 (src/rows.rs:120)`. Where it happened is told for the
/// plugin's own sources only: paths of libraries are those of the machine that built it.
fn words(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("panicked");
    match panic.location().filter(|place| place.file().starts_with("src/")) {
        Some(place) => format!("{message} ({}:{})", place.file(), place.line()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn a_panic_is_told_with_its_place() {
        let before = panic::take_hook();
        to(|words| SAID.lock().expect("one thread").push(words.to_owned()));
        let caught = panic::catch_unwind(|| panic!("no room for {}", 3));
        panic::set_hook(before);
        assert!(caught.is_err());
        let said = SAID.lock().expect("one thread");
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("no room for 3"), "{said:?}");
    }
}
