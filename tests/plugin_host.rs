//! The plugin host against guests that break what they must keep (`tests/hostile`): each fails its
//! own call with the reason, and the next call works.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

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

/// Makes a test that a chunker's misdeed ends with a message.
macro_rules! chunker_fails {
    ($($test:ident: $name:literal => $reason:pat, $message:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let error = chunk_then_again($name, &tight(Kind::Chunker)).await;
            assert!(matches!(error.reason, $reason), "{error}");
            let expected = format!("plugin hostile-chunker@1.0.0 (chunker) {}", $message);
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    )*};
}

chunker_fails! {
    an_endless_loop_ends_at_its_deadline: "loop" => Reason::Deadline(_), "ran longer than its 300 ms";
    a_flood_of_host_calls_ends_at_its_deadline: "host-calls" => Reason::Deadline(_), "ran longer";
    a_flood_of_copies_ends_at_its_deadline: "copies" => Reason::Deadline(_), "ran longer";
    a_flood_of_counting_ends_at_its_deadline: "counts" => Reason::Deadline(_), "ran longer";
    a_panic_is_a_crash: "panic" => Reason::Trap(_), "crashed: it trapped (most likely a panic) without a message";
    its_last_words_are_told: "last-words" => Reason::Trap(_), "crashed: the table has no rows";
    endless_recursion_is_a_crash: "recurse" => Reason::Trap(_), "crashed: ";
    an_allocation_bomb_meets_its_cap: "allocate" => Reason::Memory(_), "needed more memory than its 16 MiB";
    a_span_that_cuts_a_character_is_refused: "boundary" => Reason::InvalidResult(_), "returned an invalid result: piece 0 is not in the text: 0..2 cuts the character at 2 in two";
    a_span_past_the_text_is_refused: "range" => Reason::InvalidResult(_), "returned an invalid result: piece 0 is not in the text: 0..15 reaches past the text's 14 bytes";
    a_reversed_span_is_refused: "reversed" => Reason::InvalidResult(_), "returned an invalid result: piece 0 is not in the text: 3..1 ends before it starts";
    pieces_out_of_order_are_refused: "order" => Reason::InvalidResult(_), "returned an invalid result: piece 1 starts at 0, before";
    an_empty_piece_is_refused: "empty" => Reason::InvalidResult(_), "returned an invalid result: piece 0 is empty";
    context_is_checked_too: "context" => Reason::InvalidResult(_), "returned an invalid result: piece 0 has context";
    keys_are_checked: "key" => Reason::InvalidResult(_), "returned an invalid result: piece 0 has attributes";
    too_many_pieces_are_refused: "pieces" => Reason::Limit(_), "exceeded a limit: 20000 pieces, with a limit of 10000";
    its_own_failure_keeps_its_words: "fail" => Reason::Failure { .. }, "failed: This text cannot be cut. (UNSUPPORTED)";
    a_configuration_that_it_refuses_is_its_own_failure: "refuse-config" => Reason::Failure { .. }, "failed: `do` must not be that. (INVALID_CONFIG)";
    a_guest_may_handle_want_of_memory_itself: "give-up" => Reason::Failure { .. }, "failed: The document is too large. (LIMIT_EXCEEDED)";
}

#[tokio::test]
async fn more_than_it_may_give_in_bytes_is_refused() {
    let budget = Budget {
        memory_bytes: 256 << 20,
        ..Budget::of(Kind::Chunker)
    };
    let error = chunk_then_again("attrs", &budget).await;
    assert!(matches!(error.reason, Reason::Limit(_)), "{error}");
}

#[tokio::test]
async fn a_piece_outside_the_part_that_was_to_be_cut_is_refused() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let within = Span::new(7, 10);
    let call = |config: String| {
        let (host, plugin) = (host.clone(), plugin.clone());
        async move {
            host.chunk(
                &plugin,
                &config,
                &document(),
                within,
                Provided::tokens(Arc::new(Words)),
                &tight(Kind::Chunker),
            )
            .await
        }
    };
    let error = call(what("outside")).await.unwrap_err();
    assert!(error.to_string().contains("piece 0 (0..14) is not in 7..10"), "{error}");
    assert_eq!(call(what("")).await.unwrap()[0].at, within);
}

#[tokio::test]
async fn a_failure_says_where() {
    let error = chunk_then_again("fail", &tight(Kind::Chunker)).await;
    assert_eq!(error.failure_code(), Some("UNSUPPORTED"));
    assert!(
        matches!(
            error.reason,
            Reason::Failure {
                at: Some(Span { start: 1, end: 3 }),
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_chunker_reads_the_document_through_the_host() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let within = Span::new(7, 10);
    let pieces = host
        .chunk(
            &plugin,
            &what("read"),
            &document(),
            within,
            Provided::tokens(Arc::new(Words)),
            &tight(Kind::Chunker),
        )
        .await
        .unwrap();
    let attrs: Vec<_> = pieces[0].attrs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [
        ("units", "list list-item"),
        ("pages", "2"),
        ("counts", "[1, 1] 1"),
        ("attrs", "title=T"),
        ("text", "one"),
    ];
    assert_eq!(attrs, expected);
}

#[tokio::test]
async fn a_result_is_independent_of_what_ran_before() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let first = chunk(&host, &plugin, "count-calls", &tight(Kind::Chunker)).await.unwrap();
    assert_eq!(first[0].attrs, [("calls".to_owned(), "1".to_owned())]);
    for between in ["count-calls", "panic", "use-memory", ""] {
        let _ = chunk(&host, &plugin, between, &tight(Kind::Chunker)).await;
        assert_eq!(chunk(&host, &plugin, "count-calls", &tight(Kind::Chunker)).await.unwrap(), first);
    }
}

/// A vector of a text's length and of what it lacks to ten bytes.
struct ByLength;

impl TextEmbedder for ByLength {
    fn embed(&self, texts: Vec<String>, _: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>, String> {
        let vector = |text: String| {
            let (x, y) = (text.len() as f32, 10.0 - text.len() as f32);
            vec![x / x.hypot(y), y / x.hypot(y)]
        };
        Ok(texts.into_iter().map(vector).collect())
    }
}

/// Never ready, and gives up when it is told that nobody waits.
struct Stuck(tokio::sync::mpsc::UnboundedSender<()>);

impl TextEmbedder for Stuck {
    fn embed(&self, _: Vec<String>, proceed: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>, String> {
        let _ = self.0.send(());
        while proceed() {
            std::thread::yield_now();
        }
        let _ = self.0.send(());
        Err("given up".into())
    }
}

async fn chunk_semantically(name: &str, embedder: Option<Arc<dyn TextEmbedder>>) -> Result<Vec<Piece>, PluginError> {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[4]).unwrap();
    let provided = Provided {
        tokens: Arc::new(Words),
        embedder,
    };
    host.chunk(&plugin, &what(name), &document(), whole(), provided, &tight(Kind::Chunker))
        .await
}

#[tokio::test]
async fn a_chunker_asks_how_alike_neighbours_are() {
    let similar = async |name: &str| {
        let pieces = chunk_semantically(name, Some(Arc::new(ByLength))).await.unwrap();
        pieces[0].attrs[0].1.clone()
    };
    // Of 1, 13, 14 and 14 bytes.
    assert_eq!(similar("").await, "-0.116 0.999 1.000");
    assert_eq!(similar("none").await, "");
    assert_eq!(similar("one").await, "");
}

#[tokio::test]
async fn the_embedder_must_be_granted_and_is_bounded() {
    let error = chunk_semantically("", None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin hostile-semantic@1.0.0 (chunker) cannot be used: it needs `embed`, which this pipeline does not grant"
    );
    for name in ["spans", "flood"] {
        let error = chunk_semantically(name, Some(Arc::new(ByLength))).await.unwrap_err();
        assert_eq!(error.failure_code(), Some("LIMIT_EXCEEDED"), "{name}: {error}");
    }
}

#[tokio::test]
async fn dropping_a_call_gives_up_what_it_has_embedded() {
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let call = tokio::spawn(async move { chunk_semantically("", Some(Arc::new(Stuck(told)))).await });
    asked.recv().await.expect("the embedder is asked");
    call.abort();
    asked.recv().await.expect("the embedder is told that nobody waits");
}

#[tokio::test]
async fn a_plugin_that_keeps_crashing_is_quarantined_and_others_are_not() {
    let _shared = PROCESS.read().await;
    let host = host();
    let (bad, good) = (host.load(&GUESTS[0]).unwrap(), host.load(&GUESTS[0]).unwrap());
    let mut changes = host.state_changes();
    let budget = tight(Kind::Chunker);
    for _ in 0..5 {
        let error = chunk(&host, &bad, "panic", &budget).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Trap(_)), "{error}");
    }
    let error = chunk(&host, &bad, "", &budget).await.unwrap_err();
    assert!(error.to_string().contains("is not called for"), "{error}");
    assert!(error.to_string().contains("the last one crashed"), "{error}");
    assert_eq!(bad.stats().calls, 5, "a quarantined plugin is not run");
    let change = changes.recv().await.unwrap();
    assert_eq!(
        (change.change, change.plugin.name.as_str()),
        (QuarantineChange::Quarantined, "hostile-chunker")
    );
    assert_eq!(bad.quarantine().map(|quarantine| quarantine.times), Some(1));
    // The other has a state of its own, and a failure in a plugin's own words is no fault.
    for _ in 0..10 {
        chunk(&host, &good, "fail", &budget).await.unwrap_err();
    }
    assert!(chunk(&host, &good, "", &budget).await.is_ok() && good.quarantine().is_none());
}

#[tokio::test]
async fn a_start_that_spins_ends_at_its_deadline() {
    let _shared = PROCESS.read().await;
    let host = host();
    // Loading compiles, and runs nothing.
    let plugin = host.load(&GUESTS[5]).unwrap();
    let error = chunk(&host, &plugin, "", &tight(Kind::Chunker)).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Deadline(_)), "{error}");
}

/// A component with so many bytes more, in a section that means nothing.
fn padded(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = component.to_vec();
    let mut size = bytes;
    // A custom section: its number, its size as LEB128, the length of its name, its name, anything.
    padded.push(0);
    while size >= 0x80 {
        padded.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    padded.push(size as u8);
    padded.extend_from_slice(&[1, b'x']);
    padded.resize(padded.len() + bytes - 2, 0);
    padded
}

#[tokio::test]
async fn a_huge_component_works_up_to_the_limit_and_is_refused_past_it() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&padded(&GUESTS[0], 50 << 20)).unwrap();
    assert_eq!(chunk(&host, &plugin, "", &tight(Kind::Chunker)).await.unwrap().len(), 1);
    let error = host.load(&padded(&GUESTS[0], 64 << 20)).unwrap_err();
    assert!(error.to_string().contains("larger than 64 MiB"), "{error}");
}

#[tokio::test]
async fn more_host_calls_than_its_budget_end_a_guest() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let few = Budget {
        host_calls: 1_000,
        deadline: Duration::from_secs(60),
        ..tight(Kind::Chunker)
    };
    let error = chunk(&host, &plugin, "host-calls", &few).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin hostile-chunker@1.0.0 (chunker) exceeded a limit: more than 1000 calls of the server's functions"
    );
}

#[tokio::test]
async fn a_table_larger_than_its_budget_is_refused() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let none = Budget {
        table_elements: 0,
        ..tight(Kind::Chunker)
    };
    let error = chunk(&host, &plugin, "", &none).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Trap(_) | Reason::Memory(_)), "{error}");
}

#[tokio::test]
async fn fuel_ends_a_guest_where_it_is_metered() {
    let _shared = PROCESS.read().await;
    let host = Host::new(HostSettings {
        meter_fuel: true,
        max_answers: 4,
        ..HostSettings::default()
    })
    .unwrap();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = Budget {
        fuel: Some(1_000_000),
        ..Budget::of(Kind::Chunker)
    };
    let error = chunk(&host, &plugin, "loop", &budget).await.unwrap_err();
    assert_eq!(error.reason, Reason::Fuel(1_000_000), "{error}");
    chunk(&host, &plugin, "", &budget).await.unwrap();
    chunk(&host, &plugin, "", &tight(Kind::Chunker)).await.unwrap();

    let unmetered = self::host();
    let error = chunk(&unmetered, &unmetered.load(&GUESTS[0]).unwrap(), "", &budget)
        .await
        .unwrap_err();
    assert!(matches!(error.reason, Reason::Config(_)), "{error}");
}

#[tokio::test]
async fn dropping_a_call_stops_its_guest() {
    let _shared = PROCESS.read().await;
    let host = Host::new(HostSettings {
        max_documents: 1,
        max_answers: 1,
        ..HostSettings::default()
    })
    .unwrap();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let hours = Budget {
        deadline: Duration::from_secs(86_400),
        ..Budget::of(Kind::Chunker)
    };
    let spinning = chunk(&host, &plugin, "loop", &hours);
    assert!(tokio::time::timeout(Duration::from_millis(50), spinning).await.is_err());
    // There is one place for all; it is free again only once the guest has ended.
    chunk(&host, &plugin, "", &hours).await.unwrap();
    assert_eq!(plugin.stats().calls, 1, "a cancelled call does not count");
}

#[tokio::test(flavor = "current_thread")]
async fn a_spinning_guest_leaves_the_reactor_alone() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = tight(Kind::Chunker);
    let mut call = std::pin::pin!(chunk(&host, &plugin, "loop", &budget));
    let mut turns = 0;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut call => break ended,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert!(matches!(ended.unwrap_err().reason, Reason::Deadline(_)));
    assert!(turns > 10, "the only thread of the reactor was held");
}

#[tokio::test]
async fn more_calls_than_instances_wait_their_turn() {
    let _shared = PROCESS.read().await;
    let host = Host::new(HostSettings {
        max_documents: 2,
        max_answers: 1,
        ..HostSettings::default()
    })
    .unwrap();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (host, plugin) = (host.clone(), plugin.clone());
            tokio::spawn(async move { chunk(&host, &plugin, "read", &Budget::of(Kind::Chunker)).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_goes_back_to_the_system() {
    let resident = || -> u64 {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let _alone = PROCESS.write().await;
    let budget = Budget::of(Kind::Chunker);
    chunk(&host, &plugin, "", &budget).await.unwrap();
    let before = resident();
    for _ in 0..8 {
        chunk(&host, &plugin, "use-memory", &budget).await.unwrap();
        chunk(&host, &plugin, "allocate", &budget).await.unwrap_err();
    }
    assert!(plugin.stats().peak_memory_bytes > 200 << 20, "the guest did use memory");
    let kept = resident().saturating_sub(before);
    assert!(kept < 32 << 20, "{kept} bytes are still held");
}

/// Counts the lines that guests logged and looks for control characters in them.
struct GuestLines;

static LINES: AtomicUsize = AtomicUsize::new(0);
static FORGED: AtomicUsize = AtomicUsize::new(0);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for GuestLines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Message;
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" && format!("{value:?}").contains(char::is_control) {
                    FORGED.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if event.metadata().target() == "ibid_plugin_host::guest" {
            LINES.fetch_add(1, Ordering::Relaxed);
            event.record(&mut Message);
        }
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_off() {
    use tracing_subscriber::layer::SubscriberExt;
    let _alone = PROCESS.write().await;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(GuestLines)).unwrap();
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = Budget {
        log_lines: 7,
        ..Budget::of(Kind::Chunker)
    };
    chunk(&host, &plugin, "log", &budget).await.unwrap();
    let lines = LINES.load(Ordering::Relaxed);
    assert_eq!(
        lines,
        7 + 1,
        "the lines that it may write, and one that tells how many were dropped"
    );
    assert_eq!(FORGED.load(Ordering::Relaxed), 0);
}

// Extractors

async fn extract(host: &Host, plugin: &Plugin, name: &str, bytes: &[u8], budget: &Budget) -> Result<Document, PluginError> {
    host.extract(plugin, &what(name), Arc::new(bytes.to_vec()), budget, |_| {}).await
}

#[track_caller]
fn expect_reason(error: &PluginError, kind: Kind, reason: &str, message: &str) {
    assert_eq!((error.reason.name(), error.stage()), (reason, Some(kind)), "{error}");
    assert!(error.to_string().contains(message), "{error}");
}

#[tokio::test]
async fn an_extractor_makes_a_document_and_tells_its_progress() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[1]).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let source: Arc<dyn Blob> = Arc::new(b"just some plain words".to_vec());
    let document = host
        .extract(&plugin, "{}", source, &Budget::of(Kind::Extractor), move |done| {
            seen.lock().unwrap().push(done)
        })
        .await
        .unwrap();
    assert_eq!(document.text, "just some plain words");
    assert_eq!(
        document.units,
        [Unit {
            at: Span::new(0, 21),
            kind: "paragraph".into(),
            level: 0,
            title: None
        }]
    );
    assert_eq!(
        document.pages,
        [Page {
            at: Span::new(0, 21),
            number: 1,
            label: Some("i".into())
        }]
    );
    assert_eq!(document.attr("title"), Some("Title"));
    let told = told.lock().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
}

#[tokio::test]
async fn an_extractor_meets_each_bound() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[1]).unwrap();
    let budget = Budget {
        output_bytes: 4 << 20,
        output_items: 10_000,
        memory_bytes: 64 << 20,
        deadline: Duration::from_secs(20),
        ..Budget::of(Kind::Extractor)
    };
    let brief = Budget {
        deadline: Duration::from_millis(200),
        ..budget.clone()
    };
    for (name, budget, reason, message) in [
        ("loop", &brief, "deadline", "ran longer than its 200 ms"),
        ("read-forever", &brief, "deadline", "ran longer than its 200 ms"),
        ("write-forever", &budget, "limit", "may have 4194304 bytes"),
        ("write-at-once", &budget, "limit", "exceeded a limit"),
        ("attrs-forever", &budget, "limit", "may have 4194304 bytes"),
        ("units-forever", &budget, "limit", "may have 10000 units"),
        ("pages-forever", &budget, "limit", "may have 10000 units"),
        (
            "ahead",
            &budget,
            "invalid_result",
            "unit 0 (paragraph) is not in the text: 0..10 reaches past the text's 0 bytes",
        ),
        ("boundary", &budget, "invalid_result", "cuts the character at 2"),
        ("encrypted", &budget, "failure", "failed: The file needs a password. (ENCRYPTED)"),
    ] {
        let error = extract(&host, &plugin, name, b"bytes", budget).await.expect_err(name);
        expect_reason(&error, Kind::Extractor, reason, message);
        assert_eq!(error.failure_code(), (name == "encrypted").then_some("ENCRYPTED"));
        assert_eq!(
            extract(&host, &plugin, "", b"bytes", budget).await.unwrap().text,
            "bytes",
            "after {name}"
        );
    }
}

#[tokio::test]
async fn an_upload_that_cannot_be_read_is_the_servers_fault() {
    struct Broken;
    impl Blob for Broken {
        fn len(&self) -> u64 {
            100
        }
        fn read(&self, _: u64, _: u32) -> io::Result<Vec<u8>> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    struct Panicking;
    impl Blob for Panicking {
        fn len(&self) -> u64 {
            panic!("a bug in the server")
        }
        fn read(&self, _: u64, _: u32) -> io::Result<Vec<u8>> {
            Ok(vec![])
        }
    }
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[1]).unwrap();
    let budget = Budget::of(Kind::Extractor);
    let error = host.extract(&plugin, "{}", Arc::new(Broken), &budget, |_| {}).await.unwrap_err();
    expect_reason(&error, Kind::Extractor, "host", "the upload cannot be read: the disk is gone");
    let error = host.extract(&plugin, "{}", Arc::new(Panicking), &budget, |_| {}).await.unwrap_err();
    expect_reason(&error, Kind::Extractor, "host", "the call panicked");
    assert_eq!(extract(&host, &plugin, "", b"bytes", &budget).await.unwrap().text, "bytes");
}

// Analyzers

#[tokio::test]
async fn plans_are_checked() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[2]).unwrap();
    let budget = tight(Kind::Analyzer);
    let attrs = vec![("mode".to_owned(), "speed".to_owned())];
    for (name, reason, message) in [
        ("loop", "deadline", "ran longer than its 300 ms"),
        ("none", "invalid_result", "the plan has no search"),
        ("nan", "invalid_result", "search 0 has the weight NaN"),
        ("infinite", "invalid_result", "search 0 has the weight inf"),
        ("negative", "invalid_result", "search 0 has the weight -1"),
        ("blank", "invalid_result", "search 0 has no text"),
        ("filter", "invalid_result", "search 0 has a filter that is no JSON object"),
        ("limit", "invalid_result", "search 0 takes no candidates"),
        ("many", "limit", "1000 searches, with a limit of 32"),
        ("long", "limit", "exceeded a limit"),
    ] {
        let error = host.analyze(&plugin, &what(name), "who?", &attrs, &budget).await.expect_err(name);
        expect_reason(&error, Kind::Analyzer, reason, message);
        let plan = host.analyze(&plugin, &what(""), "who?", &attrs, &budget).await.unwrap();
        assert_eq!((plan.searches[0].text.as_str(), plan.searches[0].weight), ("who?", 1.0));
        assert_eq!(plan.attrs, [attrs[0].clone(), ("intent".to_owned(), "factual".to_owned())]);
    }
    let plan = host.analyze(&plugin, &what("narrow"), "who?", &attrs, &budget).await.unwrap();
    assert_eq!(
        plan.searches[0].filter.as_ref().and_then(|filter| filter["document_id"].as_str()),
        Some("d1")
    );
}

// Formatters

fn source(number: u32) -> Source {
    Source {
        citation_id: number,
        document_id: "d1".into(),
        name: "report.pdf".into(),
        at: Span::new(3, 9),
        page: Some(4),
        section: vec!["Results".into(), "Gains".into()],
        attrs: vec![],
    }
}

#[tokio::test]
async fn a_formatter_remembers_one_answer_and_no_other() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[3]).unwrap();
    for _ in 0..2 {
        let mut formatter = host.formatter(&plugin, "{}", &Budget::of(Kind::Formatter)).await.unwrap();
        assert_eq!(formatter.entry(&source(1)).await.unwrap(), "report.pdf, p. 4, Results > Gains");
        assert_eq!(formatter.mark(&[source(1)]).await.unwrap(), " [1; mark 1]");
        assert_eq!(formatter.mark(&[source(1), source(2)]).await.unwrap(), " [1, 2; mark 2]");
        assert_eq!(formatter.finish(&[source(1), source(2)]).await.unwrap(), "\n2 sources, 2 marks");
    }
}

#[tokio::test]
async fn a_formatter_that_crashed_is_over_and_one_that_failed_is_not() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[3]).unwrap();
    for (name, reason, then) in [
        ("panic", "trap", Err("ended")),
        ("loop", "deadline", Err("ended")),
        ("long", "limit", Err("ended")),
        ("fail", "failure", Ok(" [1; mark 3]")),
    ] {
        let mut formatter = host.formatter(&plugin, &what(name), &tight(Kind::Formatter)).await.unwrap();
        assert_eq!(formatter.mark(&[source(1)]).await.unwrap(), " [1; mark 1]");
        let error = formatter.mark(&[source(1)]).await.expect_err(name);
        expect_reason(&error, Kind::Formatter, reason, "plugin hostile-formatter@1.0.0 (formatter)");
        let after = formatter.mark(&[source(1)]).await;
        assert_eq!(after.as_deref().map_err(|error| error.reason.name()), then, "after {name}");
    }
}

#[tokio::test]
async fn more_answers_than_formatters_are_told_so() {
    let _shared = PROCESS.read().await;
    let settings = HostSettings {
        max_answers: 1,
        max_wait: Duration::from_millis(20),
        ..HostSettings::default()
    };
    let host = Host::new(settings).unwrap();
    let plugin = host.load(&GUESTS[3]).unwrap();
    let budget = Budget::of(Kind::Formatter);
    let first = host.formatter(&plugin, "{}", &budget).await.unwrap();
    let error = host.formatter(&plugin, "{}", &budget).await.err().unwrap();
    expect_reason(&error, Kind::Formatter, "busy", "all instances were in use for 20 ms");
    drop(first);
    host.formatter(&plugin, "{}", &budget).await.unwrap();
}

// Loading

fn with_manifest(component: &[u8], edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let mut manifest = Manifest::of_component(component).unwrap();
    edit(&mut manifest);
    let mut component = component.to_vec();
    manifest.embed(&mut component).unwrap();
    component
}

#[test]
fn what_is_no_plugin_is_refused_in_words() {
    let host = host();
    let check = |bytes: &[u8], message: &str| {
        let error = host.load(bytes).unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    };
    let chunker = &GUESTS[0];
    check(b"", "not a WebAssembly component");
    check(b"%PDF-1.7 garbage", "not a WebAssembly component");
    check(b"\0asm\x01\0\0\0", "it is a core module");
    check(b"\0asm\x0d\0\x01\0", "has no manifest");
    check(&chunker[..chunker.len() / 2], "not a WebAssembly component");
    let swapped = with_manifest(&GUESTS[2], |manifest| manifest.kind = Kind::Chunker);
    check(
        &swapped,
        "plugin hostile-analyzer@1.0.0 (chunker) cannot be used: its manifest declares it as a chunker, but it exports the interface of an analyzer",
    );
    let manifest = Manifest::of_component(chunker).unwrap();
    let mut empty = b"\0asm\x0d\0\x01\0".to_vec();
    manifest.embed(&mut empty).unwrap();
    check(&empty, "it exports no interface that this server knows");
    // Damage that the sections' headers do not show. Whatever it hits, loading must not panic.
    let host = Host::new(HostSettings {
        max_answers: 1,
        ..HostSettings::default()
    })
    .unwrap();
    for at in (0..chunker.len()).step_by(4_001) {
        let mut damaged = chunker.clone();
        damaged[at] ^= 0x55;
        let _ = host.load(&damaged);
    }
}

#[test]
fn a_component_that_wants_more_than_it_may_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let error = build(&["outsider"], out.path()).unwrap_err();
    assert_eq!(error.code(), "NOT_A_PLUGIN");
    assert!(error.to_string().contains("needs wasi:cli/environment@0.2.0"), "{error}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "nothing is left behind");

    // Somebody else's tools make it a component all the same.
    let module = fs::read(wasm_target().join("wasm32-unknown-unknown/release/hostile_outsider.wasm")).unwrap();
    let mut component = wit_component::ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap();
    Manifest::of_component(&GUESTS[0]).unwrap().embed(&mut component).unwrap();
    let error = host().load(&component).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot be used: it needs wasi:cli/environment@0.2.0, but plugins get no files"),
        "{error}"
    );
}

#[test]
fn source_that_does_not_compile_or_is_not_there_is_said_so() {
    let out = tempfile::tempdir().unwrap();
    let error = build(&["nowhere"], out.path()).unwrap_err();
    assert_eq!(error.code(), "IO");
    assert!(error.to_string().contains("nowhere/plugin.toml"), "{error}");

    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("src")).unwrap();
    fs::write(
        source.path().join("plugin.toml"),
        "name = 'broken'\nversion = '1.0.0'\nkind = 'chunker'",
    )
    .unwrap();
    fs::write(
        source.path().join("Cargo.toml"),
        "[package]\nname = 'broken'\nedition = '2024'\n[lib]\ncrate-type = ['cdylib']",
    )
    .unwrap();
    fs::write(source.path().join("src/lib.rs"), "this is no Rust").unwrap();
    let build = || {
        let options = BuildOptions {
            out: out.path().to_owned(),
            target_dir: Some(source.path().join("target")),
            install: true,
            report: &|_| {},
        };
        author::build(&[source.path().to_owned()], &options).unwrap_err()
    };
    let error = build();
    assert_eq!(error.code(), "COMPILE_FAILED");
    assert!(error.to_string().contains("error: expected one of"), "{error}");
    fs::write(source.path().join("src/lib.rs"), "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}").unwrap();
    assert_eq!(build().code(), "NOT_A_PLUGIN");
    fs::write(source.path().join("Cargo.toml"), "[package]\nname = 'broken'\nedition = '2024'").unwrap();
    assert_eq!(build().code(), "NO_MODULE");
}

#[tokio::test]
async fn a_call_to_the_wrong_kind_or_with_a_wrong_configuration_is_refused() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = Budget::of(Kind::Analyzer);
    let error = host.analyze(&plugin, "{}", "who?", &vec![], &budget).await.unwrap_err();
    expect_reason(&error, Kind::Chunker, "refused", "it was asked to be an analyzer");
    for config in ["", "[]", "{", "null"] {
        let error = host
            .chunk(&plugin, config, &document(), whole(), Provided::tokens(Arc::new(Words)), &budget)
            .await
            .unwrap_err();
        expect_reason(&error, Kind::Chunker, "config", "cannot take its configuration");
    }
    let error = host
        .chunk(
            &plugin,
            "{}",
            &document(),
            Span::new(0, 2),
            Provided::tokens(Arc::new(Words)),
            &budget,
        )
        .await
        .unwrap_err();
    expect_reason(&error, Kind::Chunker, "host", "cuts the character");
}

#[tokio::test]
async fn compiled_code_is_kept_and_damage_to_it_is_noticed() {
    let _shared = PROCESS.read().await;
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("deep/cache");
    let start = || {
        Host::new(HostSettings {
            cache_dir: Some(cache_dir.clone()),
            max_answers: 1,
            ..HostSettings::default()
        })
        .unwrap()
    };
    let entries = || -> Vec<PathBuf> { fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect() };
    start().load(&GUESTS[0]).unwrap();
    let [entry] = &entries()[..] else { panic!("{:?}", entries()) };
    let whole = fs::read(entry).unwrap();
    for damage in [whole.clone(), vec![], whole[..whole.len() / 2].to_vec(), vec![0; whole.len()]] {
        fs::write(entry, &damage).unwrap();
        let host = start();
        let plugin = host.load(&GUESTS[0]).unwrap();
        chunk(&host, &plugin, "", &Budget::of(Kind::Chunker)).await.unwrap();
        assert_eq!(entries().len(), 1);
        assert_eq!(fs::read(entry).unwrap().len(), whole.len());
    }
    // Another engine's code is another entry.
    let metered = HostSettings {
        cache_dir: Some(cache_dir.clone()),
        meter_fuel: true,
        max_answers: 1,
        ..HostSettings::default()
    };
    Host::new(metered).unwrap().load(&GUESTS[0]).unwrap();
    assert_eq!(entries().len(), 2);
}

#[test]
fn plugins_are_found_by_version_digest_and_media_type() {
    let host = host();
    let registry = Registry::new();
    let version = |text: &str| with_manifest(&GUESTS[0], |manifest| manifest.version = text.parse().unwrap());
    let mut digests = Vec::new();
    for text in ["1.0.0", "1.10.0", "1.9.0", "2.0.0"] {
        let plugin = host.load(&version(text)).unwrap();
        digests.push(plugin.digest().to_owned());
        registry.insert(plugin);
    }
    let find = |wanted: &str| {
        registry
            .resolve(Kind::Chunker, wanted)
            .map(|plugin| plugin.manifest().version.to_string())
    };
    assert_eq!(find("hostile-chunker").unwrap(), "2.0.0");
    assert_eq!(find("hostile-chunker@^1").unwrap(), "1.10.0");
    assert_eq!(find("hostile-chunker@=1.9.0").unwrap(), "1.9.0");
    assert_eq!(find(&format!("hostile-chunker@{}", digests[0])).unwrap(), "1.0.0");
    let fails = |kind: Kind, wanted: &str, message: &str| {
        let error = registry.resolve(kind, wanted).unwrap_err();
        assert_eq!(error.reason.name(), "not_found");
        assert!(error.to_string().contains(message), "{error}");
    };
    fails(
        Kind::Chunker,
        "other",
        "there is no chunker `other` here; installed: hostile-chunker",
    );
    fails(Kind::Analyzer, "other", "installed: none");
    fails(Kind::Analyzer, "hostile-chunker", "there is 2.0.0 (chunker");
    fails(Kind::Chunker, "hostile-chunker@^3", "of `hostile-chunker` there is 2.0.0");
    fails(Kind::Chunker, "hostile-chunker@newest", "neither versions nor a sha256 digest");
    assert_eq!(registry.list().len(), 4);

    for (name, media_types) in [("any", vec!["text/*"]), ("md", vec!["text/markdown", "text/x-markdown"])] {
        let bytes = with_manifest(&GUESTS[1], |manifest| {
            manifest.name = name.into();
            manifest.media_types = media_types.into_iter().map(str::to_owned).collect();
        });
        registry.insert(host.load(&bytes).unwrap());
    }
    let extractor = |media_type: &str| registry.extractor_for(media_type).map(|plugin| plugin.manifest().name.clone());
    assert_eq!(extractor("text/markdown").as_deref(), Some("md"));
    assert_eq!(extractor("Text/Markdown; charset=utf-8").as_deref(), Some("md"));
    assert_eq!(extractor("text/html").as_deref(), Some("any"));
    assert_eq!(extractor("application/pdf"), None);
    assert_eq!(extractor(""), None);
}

#[test]
fn one_bad_file_in_a_directory_does_not_keep_the_others_out() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("a.wasm", &GUESTS[0][..]),
        ("b.wasm", b"garbage"),
        ("c.wasm", &GUESTS[1]),
        (".d.wasm", b"garbage"),
        ("e.txt", b"text"),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let (host, registry) = (host(), Registry::new());
    let failures = registry.load_dir(&host, dir.path()).unwrap();
    let failed: Vec<_> = failures.iter().map(|failure| failure.path.file_name().unwrap()).collect();
    assert_eq!(failed, ["b.wasm"]);
    assert_eq!(registry.list().len(), 2);
    assert!(registry.load_dir(&host, &dir.path().join("nowhere")).is_err());
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_and_nothing_where_all_is_well() {
    let _shared = PROCESS.read().await;
    let host = host();
    let good = author::check(&host, &GUESTS[2]).await.unwrap();
    assert!(good.is_good() && good.findings.len() > 5 && good.peak_memory_bytes > 0, "{good:?}");
    let choosy = with_manifest(&GUESTS[0], |manifest| {
        manifest.config_schema = serde_json::json!({ "type": "object", "required": ["do"] });
    });
    let report = author::check(&host, &choosy).await.unwrap();
    let failed: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| !finding.good)
        .map(|finding| finding.name.as_str())
        .collect();
    assert_eq!(failed, ["empty configuration", "empty"], "a chunk of nothing is none: {report:?}");
    let rubbish = author::check(&host, b"rubbish").await.unwrap();
    assert!(!rubbish.is_good() && rubbish.findings.len() == 1, "{rubbish:?}");
}
