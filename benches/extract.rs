//! The PDF extractor as the server runs it, over the files that are named: for each a line of JSON with the text of its pages and the CPU
//! time that it took. `benches/pdf.py` sets it beside its peers and prints what that says.
//!
//! `cargo bench --bench extract -- FILE.pdf...`; without a name it reads them from standard input, one on each line.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use ibid_plugin_host::{Budget, FileBlob, Host, HostSettings, Kind, Plugin, Reason};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let mut files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if files.is_empty() {
        files = io::stdin().lock().lines().map_while(Result::ok).collect();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let host = Host::new(HostSettings::default()).expect("a host");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/share/ibid/plugins/pdf.wasm");
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", path.display()));
        let mut plugin = host.load(&bytes).expect("the extractor");
        for file in files {
            let told = extract(&host, &plugin, &file).await;
            // Files that break it must not cost the others.
            if plugin.quarantine().is_some() {
                plugin = host.load(&bytes).expect("the extractor");
            }
            writeln!(io::stdout().lock(), "{told}").expect("somebody who reads");
        }
    });
}

async fn extract(host: &Host, plugin: &Plugin, file: &str) -> serde_json::Value {
    let source = match File::open(file).and_then(FileBlob::new) {
        Ok(source) => Arc::new(source),
        Err(error) => return json!({"file": file, "error": "IO", "message": error.to_string()}),
    };
    let (began, before) = (Instant::now(), cpu());
    let extracted = host.extract(plugin, "{}", source, &Budget::of(Kind::Extractor), |_| {}).await;
    let took = match (before, cpu()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => began.elapsed(),
    };
    let ms = took.as_secs_f64() * 1e3;
    match extracted {
        Ok(document) => {
            let pages: Vec<&str> = document.pages.iter().filter_map(|page| page.at.of(&document.text)).collect();
            let units = |kind: &str| document.units.iter().filter(|unit| unit.kind == kind).count();
            let units = json!({"heading": units("heading"), "table": units("table"), "table-row": units("table-row")});
            json!({"file": file, "ms": ms, "pages": pages, "units": units, "attrs": document.metadata()})
        }
        Err(error) => {
            let code = match &error.reason {
                Reason::Failure { code, .. } => code.clone(),
                other => other.name().to_owned(),
            };
            json!({"file": file, "ms": ms, "error": code, "message": error.to_string()})
        }
    }
}

/// CPU time of all threads so far, where the system tells it (Linux).
fn cpu() -> Option<Duration> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let spent = |thread: io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    Some(Duration::from_nanos(threads.filter_map(spent).sum()))
}
