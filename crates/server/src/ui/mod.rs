//! The page for people at `/`: plain HTML, CSS and ES modules, embedded in the program as they are, without a build step.
//!
//! It speaks the public protocol like every client.

use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Below `/ui/`; that of the page itself is `index.html`.
    pub name: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// What it holds.
    pub content: &'static str,
    /// A strong entity tag (RFC 9110), with its quotes.
    pub etag: String,
}

/// The asset with this name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

macro_rules! assets {
    ($($name:literal: $content_type:literal),+ $(,)?) => {
        vec![$(asset_of($name, $content_type, include_str!(concat!("assets/", $name)))),+]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    assets![
        "index.html": "text/html; charset=utf-8",
        "style.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "api.js": "text/javascript; charset=utf-8",
        "app.js": "text/javascript; charset=utf-8",
        "ask.js": "text/javascript; charset=utf-8",
        "collections.js": "text/javascript; charset=utf-8",
        "documents.js": "text/javascript; charset=utf-8",
        "dom.js": "text/javascript; charset=utf-8",
        "monitor.js": "text/javascript; charset=utf-8",
        "pipeline.js": "text/javascript; charset=utf-8",
        "playground.js": "text/javascript; charset=utf-8",
        "plugins.js": "text/javascript; charset=utf-8",
        "schema.js": "text/javascript; charset=utf-8",
        "socket.js": "text/javascript; charset=utf-8",
        "source.js": "text/javascript; charset=utf-8",
        "upload.js": "text/javascript; charset=utf-8",
    ]
});

fn asset_of(name: &'static str, content_type: &'static str, content: &'static str) -> Asset {
    let digest = Sha256::digest(content.as_bytes());
    let etag = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    Asset {
        name,
        content_type,
        content,
        etag: format!("\"{etag}\""),
    }
}
