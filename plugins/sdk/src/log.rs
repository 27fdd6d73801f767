//! Messages to the server's log. The server tags them with the plugin's name and limits their number.
//!
//! Natively, as in a plugin's own tests, messages go to standard error.

/// Writes an error. The host adds the last error to the report of a crash.
pub fn error(message: &str) {
    write("error", message);
}

/// Writes a warning.
pub fn warn(message: &str) {
    write("warn", message);
}

/// Writes a message for the operator.
pub fn info(message: &str) {
    write("info", message);
}

/// Writes a message for the plugin's author.
pub fn debug(message: &str) {
    write("debug", message);
}

#[cfg(target_arch = "wasm32")]
fn write(level: &str, message: &str) {
    crate::bindings::log(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: &str, message: &str) {
    eprintln!("{level}: {message}");
}
