//! Turns a core module into a component with a manifest.

use super::AuthorError;
use ibid_plugin_host::Manifest;
use ibid_plugin_host::inspect;
use wit_component::ComponentEncoder;

/// Makes a plugin of `wasm`: a core module whose custom section has its WIT (as `wit-bindgen` writes it), or a component that another
/// toolchain has made.
///
/// # Errors
/// If the module imports or exports what a plugin of this kind may not, or if the manifest is invalid.
pub fn package(wasm: &[u8], manifest: &Manifest) -> Result<Vec<u8>, AuthorError> {
    let not_a_plugin = |message: String| AuthorError::NotAPlugin {
        name: manifest.name.clone(),
        message,
    };
    let mut component = if wasmparser::Parser::is_component(wasm) {
        wasm.to_vec()
    } else {
        ComponentEncoder::default()
            .validate(true)
            .module(wasm)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| not_a_plugin(format!("{error:#}")))?
    };
    inspect(&component)
        .and_then(|contract| contract.check(manifest.kind))
        .map_err(not_a_plugin)?;
    manifest.embed(&mut component)?;
    Ok(component)
}
