//! Reports a plugin's panic in words.
//!
//! A panic of a WebAssembly guest is a trap without a message. The host adds the last error in the plugin's log to the report of the
//! crash.

use std::panic::{self, PanicHookInfo};

/// Writes the message of every panic from now on to `log`, before the panic ends the call.
///
/// The export macros call this with [`log::error`](crate::log::error) when they open a plugin.
pub fn report_to(log: fn(&str)) {
    panic::set_hook(Box::new(move |panic| log(&message(panic))));
}

/// Returns `index out of bounds: the len is 3 but the index is 7 (src/rows.rs:120)`. The position is there for the plugin's own sources
/// only: paths of libraries are those of the machine that built it.
fn message(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("panicked");
    match panic.location().filter(|location| location.file().starts_with("src/")) {
        Some(location) => format!("{message} ({}:{})", location.file(), location.line()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn a_panic_is_logged_with_its_message() {
        let before = panic::take_hook();
        report_to(|message| LOG.lock().expect("one thread").push(message.to_owned()));
        let caught = panic::catch_unwind(|| panic!("no room for {}", 3));
        panic::set_hook(before);
        assert!(caught.is_err());
        let log = LOG.lock().expect("one thread");
        assert!(log.iter().any(|message| message.starts_with("no room for 3")), "{log:?}");
    }
}
