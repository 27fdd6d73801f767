//! Chunkers that violate the contract.

use super::*;

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
    the_last_error_in_its_log_is_shown: "last-words" => Reason::Trap(_), "crashed: the table has no rows";
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

/// Never ready, and stops when `proceed` returns false.
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
