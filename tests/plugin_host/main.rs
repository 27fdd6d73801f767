//! The plugin host with guests that violate their limits and the contract (`tests/hostile`): each call fails with the reason, and the next
//! one works.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod chunkers;
mod extractors;
mod limits;
mod loading;
mod queries;

use ibid_plugin_author::{self as author, AuthorError, BuildOptions};
use ibid_plugin_host::{
    Blob, Budget, Host, HostSettings, Kind, Manifest, Piece, Plugin, PluginError, Provided, QuarantineChange, Reason, Registry, Source,
    TextEmbedder, TokenCounter,
};
use ibid_types::ErrorCode;
use ibid_types::document::{Document, Page, Span, Unit};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::sync::RwLock;

/// Where cargo builds guests; the same place as `make run` uses, so that dependencies are shared.
fn wasm_target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wasm")
}

fn build(names: &[&str], out: &Path) -> Result<Vec<author::Built>, AuthorError> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let dirs: Vec<PathBuf> = names.iter().map(|name| sources.join(name)).collect();
    let options = BuildOptions {
        out: out.to_owned(),
        target_dir: Some(wasm_target()),
        install: true,
        report: &|line| eprintln!("{line}"),
    };
    author::build(&dirs, &options)
}

/// The guests, built once for all tests: chunker, extractor, analyzer, formatter, semantic chunker, starter.
static GUESTS: LazyLock<[Vec<u8>; 6]> = LazyLock::new(|| {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
    let built =
        build(&["chunker", "extractor", "analyzer", "formatter", "semantic", "starter"], &out).unwrap_or_else(|error| panic!("{error}"));
    let bytes: Vec<Vec<u8>> = built.iter().map(|built| fs::read(&built.path).unwrap()).collect();
    bytes.try_into().unwrap()
});

/// Tests hold it shared; those that measure the whole process alone.
static PROCESS: RwLock<()> = RwLock::const_new(());

const TEXT: &str = "aé日 one two";

struct Words;

impl TokenCounter for Words {
    fn count(&self, text: &str) -> u32 {
        text.split_whitespace().count() as u32
    }
}

fn host() -> Host {
    // The cache spares each test the compiler.
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache"));
    Host::new(HostSettings {
        max_answers: 4,
        cache_dir,
        ..HostSettings::default()
    })
    .unwrap()
}

fn whole() -> Span {
    Span::new(0, TEXT.len() as u32)
}

fn document() -> Arc<Document> {
    let unit = |start, end, kind: &str| Unit {
        at: Span::new(start, end),
        kind: kind.into(),
        level: 0,
        title: None,
    };
    Arc::new(Document {
        text: TEXT.into(),
        units: vec![unit(0, 6, "paragraph"), unit(7, 14, "list"), unit(7, 10, "list-item")],
        pages: vec![
            Page {
                at: Span::new(0, 6),
                number: 1,
                label: None,
            },
            Page {
                at: Span::new(6, 14),
                number: 2,
                label: None,
            },
        ],
        attrs: vec![("title".into(), "T".into())],
    })
}

fn what(name: &str) -> String {
    format!(r#"{{"do":"{name}"}}"#)
}

/// A budget that ends a guest quickly.
fn tight(kind: Kind) -> Budget {
    let usual = Budget::of(kind);
    let output_items = usual.output_items.min(10_000);
    Budget {
        memory_bytes: 16 << 20,
        deadline: Duration::from_millis(300),
        output_items,
        ..usual
    }
}

async fn chunk(host: &Host, plugin: &Plugin, name: &str, budget: &Budget) -> Result<Vec<Piece>, PluginError> {
    host.chunk(plugin, &what(name), &document(), whole(), Provided::tokens(Arc::new(Words)), budget)
        .await
}

/// Does what is asked, then what is right, which must work.
async fn chunk_then_again(name: &str, budget: &Budget) -> PluginError {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let error = chunk(&host, &plugin, name, budget).await.expect_err(name);
    let pieces = chunk(&host, &plugin, "", budget).await.unwrap();
    assert_eq!(
        pieces,
        [Piece {
            at: whole(),
            context: vec![],
            attrs: vec![]
        }]
    );
    let stats = plugin.stats();
    assert_eq!(
        (stats.calls, stats.errors, stats.faults),
        (2, 1, u64::from(error.reason.is_plugins_fault()))
    );
    assert_eq!((error.code(), error.stage()), (ErrorCode::PluginError, Some(Kind::Chunker)));
    error
}

#[track_caller]
fn expect_reason(error: &PluginError, kind: Kind, reason: &str, message: &str) {
    assert_eq!((error.reason.name(), error.stage()), (reason, Some(kind)), "{error}");
    assert!(error.to_string().contains(message), "{error}");
}
