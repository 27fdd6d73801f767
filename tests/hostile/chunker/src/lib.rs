//! A chunker that misbehaves as its configuration says.

use exports::ibid::plugin::chunking::{Chunker, Guest, GuestChunker, Piece};
use ibid::plugin::document::Doc;
use ibid::plugin::types::{Attr, Failure, Span};
use ibid::plugin::{log, tokens};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

wit_bindgen::generate!({ path: "../../../wit/1", world: "chunker-plugin" });

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Hostile;

struct Instance {
    config: String,
}

impl Guest for Hostile {
    type Chunker = Instance;
}

impl GuestChunker for Instance {
    fn open(config: String) -> Result<Chunker, Failure> {
        if config.contains("refuse-config") {
            return Err(failure("INVALID_CONFIG", "`do` must not be that."));
        }
        Ok(Chunker::new(Instance { config }))
    }

    fn chunk(&self, document: &Doc, within: Span) -> Result<Vec<Piece>, Failure> {
        let what = self.config.split('"').nth(3).unwrap_or("");
        match what {
            "loop" => loop {
                black_box(());
            },
            "panic" => panic!("on purpose"),
            "last-words" => {
                log::write("error", "the table has no rows");
                panic!("silently");
            }
            "recurse" => {
                black_box(recurse(1));
                Ok(vec![])
            }
            "allocate" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1_u8; 1 << 20]);
                    black_box(&kept);
                }
            }
            "use-memory" => {
                black_box(vec![1_u8; 64 << 20]);
                Ok(vec![piece(within.start, within.end)])
            }
            "give-up" => {
                let mut memory: Vec<u8> = Vec::new();
                match memory.try_reserve_exact(1 << 30) {
                    Ok(()) => Ok(vec![]),
                    Err(_) => Err(failure("LIMIT_EXCEEDED", "The document is too large.")),
                }
            }
            "host-calls" => loop {
                black_box(document.len());
            },
            "copies" => loop {
                black_box(document.text(Span { start: 0, end: u32::MAX }));
            },
            "counts" => loop {
                let spans = vec![within; 1_000];
                black_box(tokens::count_spans(document, &spans));
            },
            "boundary" => Ok(vec![piece(0, 2)]),
            "range" => Ok(vec![piece(0, document.len() + 1)]),
            "reversed" => Ok(vec![piece(3, 1)]),
            "order" => Ok(vec![piece(3, 6), piece(0, 1)]),
            "empty" => Ok(vec![piece(1, 1)]),
            "outside" => Ok(vec![piece(0, document.len())]),
            "context" => Ok(vec![Piece {
                context: vec![Span { start: 2, end: 3 }],
                ..piece(0, 1)
            }]),
            "key" => Ok(vec![Piece {
                attrs: vec![attr("Not A Key", "")],
                ..piece(0, 1)
            }]),
            "twice" => Ok(vec![piece(within.start, within.end); 2]),
            "pieces" => Ok(vec![piece(0, 1); 20_000]),
            "attrs" => Ok((0..2_000)
                .map(|_| Piece {
                    attrs: vec![attr("key", &"x".repeat(60_000))],
                    ..piece(0, 1)
                })
                .collect()),
            "log" => {
                for line in 0..100_000 {
                    log::write("warn", &format!("line {line}\n\x1b[2Jforged"));
                }
                Ok(vec![piece(within.start, within.end)])
            }
            "fail" => Err(Failure {
                at: Some(Span { start: 1, end: 3 }),
                ..failure("UNSUPPORTED", "This text cannot be cut.")
            }),
            "count-calls" => {
                let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
                Ok(vec![Piece {
                    attrs: vec![attr("calls", &calls.to_string())],
                    ..piece(within.start, within.end)
                }])
            }
            "read" => {
                let text = document.text(within);
                let units: Vec<String> = document.units(within).into_iter().map(|unit| unit.kind).collect();
                let pages: Vec<String> = document.pages(within).into_iter().map(|page| page.number.to_string()).collect();
                let counts = tokens::count_spans(document, &[within, Span { start: 0, end: 1 }]);
                let title: Vec<String> = document
                    .attrs()
                    .into_iter()
                    .map(|attr| format!("{}={}", attr.key, attr.value))
                    .collect();
                let attrs = vec![
                    attr("units", &units.join(" ")),
                    attr("pages", &pages.join(" ")),
                    attr("counts", &format!("{counts:?} {}", tokens::count(&text))),
                    attr("attrs", &title.join(" ")),
                    attr("text", &text),
                ];
                Ok(vec![Piece {
                    attrs,
                    ..piece(within.start, within.end)
                }])
            }
            _ => Ok(vec![piece(within.start, within.end)]),
        }
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[depth as usize % 64]
}

fn piece(start: u32, end: u32) -> Piece {
    Piece {
        at: Span { start, end },
        context: vec![],
        attrs: vec![],
    }
}

fn attr(key: &str, value: &str) -> Attr {
    Attr {
        key: key.into(),
        value: value.into(),
    }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        at: None,
    }
}

export!(Hostile);
