//! What the sandbox costs: plugins as components beside the same code compiled natively, in one run, and what one plugin's misbehaviour
//! costs the others. `cargo bench --bench plugins [-- FILE.pdf...]` prints a table; the ratios are in docs/plugins.md. With
//! `--ratios` it stops after the comparisons with native code.
//!
//! Both sides of a comparison take turns, so that what else the machine does falls on both.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use ibid_plugin_author::{self as author, BuildOptions};
use ibid_plugin_host::{Blob, Budget, Host, HostSettings, Kind, Plugin, Provided, TokenCounter};
use ibid_plugin_pdf::Collected;
use ibid_plugin_recursive::chunking::chunks;
use ibid_plugin_recursive::config::Config;
use ibid_types::document::{Document, Span, Unit};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| argument.ends_with(".pdf")).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(files));
}

async fn run(files: Vec<String>) {
    chunker().await;
    extractor(&files).await;
    if std::env::args().any(|argument| argument == "--ratios") {
        return;
    }
    small_calls().await;
    cold_start();
    beside_hostile_ones().await;
}

fn shipped(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/share/ibid/plugins/{name}.wasm"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", path.display()))
}

fn host(cache_dir: Option<PathBuf>) -> Host {
    let settings = HostSettings {
        cache_dir,
        ..HostSettings::default()
    };
    Host::new(settings).expect("a host")
}

/// Processor time of this process: what a neighbour on the same machine takes away is no part of it.
// The clock of a process has no safe interface in the standard library.
#[allow(unsafe_code)]
fn processor() -> Duration {
    // SAFETY: plain numbers, which the call fills in.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the clock is there wherever this runs, and the pointer is to a value.
    let got = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(got, 0, "a clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn at_99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Prints the processor time that both sides took at best, since whatever else the machine does can only add to that, and between which
/// ratios the middle half of the turns lies.
fn compare(what: &str, native: &[Duration], component: &[Duration]) {
    let best = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
    let mut ratios: Vec<f64> = native
        .iter()
        .zip(component)
        .map(|(n, c)| c.as_secs_f64() / n.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let quarter = |n: usize| ratios[(ratios.len() * n / 4).min(ratios.len() - 1)];
    let (native, component) = (best(native), best(component));
    println!(
        "{what}: native {native:.2?}, component {component:.2?}, {:.2} times ({:.2} to {:.2})",
        component.as_secs_f64() / native.as_secs_f64(),
        quarter(1),
        quarter(3)
    );
}

/// A counter that is nearly free, so that the chunker itself is measured.
struct Words;

impl TokenCounter for Words {
    fn count(&self, text: &str) -> u32 {
        text.bytes().filter(|byte| *byte == b' ').count() as u32 + 1
    }
}

/// The same document, for the chunker as a library.
struct Native<'a>(&'a Document, Cell<u64>);

impl prose::document::Document for Native<'_> {
    fn len(&self) -> u32 {
        self.0.text.len() as u32
    }

    fn text(&self, at: prose::document::Span) -> String {
        let end = self.0.text.floor_char_boundary(at.end as usize);
        self.0.text[at.start as usize..end].to_owned()
    }

    fn units(&self, within: prose::document::Span) -> Vec<prose::document::Unit> {
        let units = self
            .0
            .units
            .iter()
            .filter(|unit| unit.at.start < within.end && within.start < unit.at.end);
        units
            .map(|unit| prose::document::Unit {
                at: prose::document::Span {
                    start: unit.at.start,
                    end: unit.at.end,
                },
                kind: prose::document::Kind::of(&unit.kind, unit.level),
                title: None,
            })
            .collect()
    }

    fn pages(&self, _: prose::document::Span) -> Vec<prose::document::Span> {
        Vec::new()
    }

    fn count(&self, spans: &[prose::document::Span]) -> Vec<u32> {
        self.1.set(self.1.get() + 1);
        let text = |at: &prose::document::Span| &self.0.text[at.start as usize..at.end as usize];
        spans.iter().map(|at| Words.count(text(at))).collect()
    }
}

/// A megabyte of English prose in paragraphs, no two sentences alike.
fn prose_document() -> Document {
    let subjects = [
        "The board",
        "Our auditor",
        "A customer",
        "The regulator",
        "Each subsidiary",
        "Management",
    ];
    let verbs = ["approved", "reviewed", "questioned", "published", "reported on", "postponed"];
    let objects = [
        "net sales of",
        "a provision of",
        "the impairment of",
        "new leases worth",
        "dividends of",
        "costs of",
    ];
    let mut text = String::with_capacity(1 << 20);
    let mut units = Vec::new();
    let mut number = 0_usize;
    while text.len() < 1_000_000 {
        let start = text.len() as u32;
        for _ in 0..5 {
            number += 1;
            let (a, b, c) = (subjects[number % 6], verbs[number / 6 % 6], objects[number / 36 % 6]);
            text.push_str(&format!(
                "{a} {b} {c} ${number} million, which is {} % more than in the year before. ",
                number % 97
            ));
        }
        units.push(Unit {
            at: Span::new(start, text.len() as u32 - 1),
            kind: "paragraph".into(),
            level: 0,
            title: None,
        });
        text.push_str("\n\n");
    }
    Document {
        text,
        units,
        ..Document::default()
    }
}

async fn chunker() {
    let host = host(None);
    let plugin = host.load(&shipped("recursive")).expect("the chunker");
    let document = Arc::new(prose_document());
    let end = document.text.len() as u32;
    let (mut native, mut component) = (Vec::new(), Vec::new());
    for _ in 0..401 {
        let started = processor();
        let whole = prose::document::Span { start: 0, end };
        let made = chunks(&Native(&document, Cell::new(0)), whole, &Config::default());
        native.push(processor() - started);
        let started = processor();
        let provided = Provided::tokens(Arc::new(Words));
        let pieces = host
            .chunk(&plugin, "{}", &document, Span::new(0, end), provided, &Budget::of(Kind::Chunker))
            .await
            .expect("chunks");
        component.push(processor() - started);
        assert_eq!(made.len(), pieces.len());
    }
    compare("chunker `recursive`, 1 MB of prose", &native, &component);
}

async fn extractor(files: &[String]) {
    let host = host(None);
    let made = [("200 pages of text".to_owned(), made_pdf(200))];
    let named = files.iter().map(|path| {
        (
            path.rsplit('/').next().unwrap_or(path).to_owned(),
            fs::read(path).expect("the file"),
        )
    });
    for (what, bytes) in made.into_iter().chain(named) {
        extraction(&host, &what, bytes).await;
    }
}

async fn extraction(host: &Host, what: &str, bytes: Vec<u8>) {
    let plugin = host.load(&shipped("pdf")).expect("the extractor");
    let (mut native, mut component) = (Vec::new(), Vec::new());
    // The same bytes for both: the host reads an upload from a file, which the native side has in memory.
    let source = Arc::new(bytes.clone());
    for _ in 0..61 {
        let started = processor();
        let mut collected = Collected::default();
        ibid_plugin_pdf::extract(&bytes, &ibid_plugin_pdf::Config::default(), &mut collected).expect("text");
        native.push(processor() - started);
        let started = processor();
        let source: Arc<dyn Blob> = source.clone();
        let document = host
            .extract(&plugin, "{}", source, &Budget::of(Kind::Extractor), |_| {})
            .await
            .expect("text");
        component.push(processor() - started);
        assert_eq!(document.text.len(), collected.text.len());
    }
    compare(&format!("extractor `pdf`, {what}"), &native, &component);
}

fn made_pdf(pages: usize) -> Vec<u8> {
    use lopdf::content::{Content, Operation};
    use lopdf::{Document, Object, Stream, dictionary};
    let mut pdf = Document::with_version("1.5");
    let parent = pdf.new_object_id();
    let font = pdf.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica" });
    let resources = pdf.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
    let kids: Vec<Object> = (0..pages)
        .map(|page| {
            let mut operations = vec![Operation::new("BT", vec![]), Operation::new("Tf", vec!["F1".into(), 10.into()])];
            for line in 0..50 {
                let text = format!(
                    "Line {line} of page {page} tells of net sales of {} million and of what came of them.",
                    line * page
                );
                operations.push(Operation::new(
                    "Tm",
                    [1, 0, 0, 1, 60, 790 - 14 * line as i32].map(Object::from).to_vec(),
                ));
                operations.push(Operation::new("Tj", vec![Object::string_literal(text)]));
            }
            operations.push(Operation::new("ET", vec![]));
            let content = Content { operations }.encode().expect("content");
            let content = pdf.add_object(Stream::new(dictionary! {}, content));
            pdf.add_object(dictionary! { "Type" => "Page", "Parent" => parent, "Contents" => content })
                .into()
        })
        .collect();
    let tree = dictionary! {
        "Type" => "Pages", "Count" => pages as i64, "Kids" => kids, "Resources" => resources,
        "MediaBox" => [0, 0, 595, 842].map(Object::from).to_vec(),
    };
    pdf.objects.insert(parent, Object::Dictionary(tree));
    let catalog = pdf.add_object(dictionary! { "Type" => "Catalog", "Pages" => parent });
    pdf.trailer.set("Root", catalog);
    pdf.compress();
    let mut bytes = Vec::new();
    pdf.save_to(&mut bytes).expect("a file");
    bytes
}

/// Instantiation from the pool, and a call of an instance that is there.
async fn small_calls() {
    let host = host(None);
    let plugin = host.load(&shipped("numeric")).expect("the formatter");
    let budget = Budget::of(Kind::Formatter);
    let (mut opened, mut called) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let started = Instant::now();
        let mut formatter = host.formatter(&plugin, "{}", &budget).await.expect("a formatter");
        opened.push(started.elapsed());
        let started = Instant::now();
        formatter.finish(&[]).await.expect("an end");
        called.push(started.elapsed());
    }
    // A hop to a blocking thread and back is in both; without it the two would be what wasmtime takes.
    let mut hops = Vec::new();
    for _ in 0..2_000 {
        let started = Instant::now();
        tokio::task::spawn_blocking(|| ()).await.expect("a thread");
        hops.push(started.elapsed());
    }
    let (opened, called, hop) = (median(opened), median(called), median(hops));
    let guest = plugin.stats();
    println!(
        "instantiation from the pool and `open`: {opened:.1?}; an empty call: {called:.1?} (of both, the change of threads: {hop:.1?})"
    );
    println!("   calls of the guest alone: half of them under {:.1?}", guest.p50);
}

fn cold_start() {
    let cache = tempfile::tempdir().expect("a directory");
    for name in ["recursive", "structure", "rules", "numeric", "html", "pdf"] {
        let bytes = shipped(name);
        let started = Instant::now();
        host(Some(cache.path().to_owned())).load(&bytes).expect("a plugin");
        let cold = started.elapsed();
        let times = (0..11).map(|_| {
            let host = host(Some(cache.path().to_owned()));
            let started = Instant::now();
            host.load(&bytes).expect("a plugin");
            started.elapsed()
        });
        let warm = median(times.collect());
        println!("loading `{name}`: {cold:.1?} compiled, {warm:.1?} from the code cache");
    }
}

/// Questions are analyzed one after the other, first in quiet, then while other plugins do their worst.
async fn beside_hostile_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a directory");
    let options = BuildOptions {
        out: out.path().to_owned(),
        target_dir: Some(root.join("target/wasm")),
        install: true,
        report: &|_| {},
    };
    let built = author::build(&[root.join("tests/hostile/chunker")], &options).expect("the hostile guest");
    let host = host(None);
    let rules = host.load(&shipped("rules")).expect("the analyzer");
    let guest = fs::read(&built[0].path).expect("the guest");
    let quiet = questions(&host, &rules).await;
    println!(
        "analyzing a question, in quiet: half under {:.1?}, 99 % under {:.1?}",
        median(quiet.clone()),
        at_99(quiet)
    );
    for what in ["loop", "allocate", "recurse", "log", "attrs", "panic"] {
        // Its own plugin, so that a quarantine ends none of them.
        let ended = Arc::new(AtomicBool::new(false));
        let (flag, mut calls) = (ended.clone(), 0_u32);
        let (hostile, bytes) = (host.clone(), guest.clone());
        let work = tokio::spawn(async move {
            let mut plugin = hostile.load(&bytes).expect("the guest");
            let document = Arc::new(Document {
                text: "some text".into(),
                ..Document::default()
            });
            let budget = Budget {
                deadline: Duration::from_millis(200),
                ..Budget::of(Kind::Chunker)
            };
            while !flag.load(Ordering::Relaxed) {
                let config = format!(r#"{{"do":"{what}"}}"#);
                let provided = Provided::tokens(Arc::new(Words));
                let _ = hostile.chunk(&plugin, &config, &document, Span::new(0, 9), provided, &budget).await;
                calls += 1;
                if plugin.quarantine().is_some() {
                    plugin = hostile.load(&bytes).expect("the guest");
                }
            }
            calls
        });
        let times = questions(&host, &rules).await;
        ended.store(true, Ordering::Relaxed);
        let calls = work.await.expect("the hostile calls");
        println!(
            "   beside a plugin that does `{what}` ({calls} calls): half under {:.1?}, 99 % under {:.1?}",
            median(times.clone()),
            at_99(times)
        );
    }
}

async fn questions(host: &Host, plugin: &Plugin) -> Vec<Duration> {
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let started = Instant::now();
        host.analyze(
            plugin,
            "{}",
            "What was the revenue of Nestlé in 2023?",
            &Vec::new(),
            &Budget::of(Kind::Analyzer),
        )
        .await
        .expect("a plan");
        times.push(started.elapsed());
    }
    times
}
