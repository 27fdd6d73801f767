//! An extractor that misbehaves as its configuration says.

use exports::ibid::plugin::extraction::{Extractor, Guest, GuestExtractor};
use ibid::plugin::intake::{Blob, Draft};
use ibid::plugin::types::{Attr, Failure, Span, Unit};
use std::hint::black_box;

wit_bindgen::generate!({ path: "../../../wit/1", world: "extractor-plugin" });

struct Hostile;

struct Instance {
    config: String,
}

impl Guest for Hostile {
    type Extractor = Instance;
}

impl GuestExtractor for Instance {
    fn open(config: String) -> Result<Extractor, Failure> {
        Ok(Extractor::new(Instance { config }))
    }

    fn extract(&self, source: &Blob, target: &Draft) -> Result<(), Failure> {
        let what = self.config.split('"').nth(3).unwrap_or("");
        match what {
            "loop" => loop {
                black_box(());
            },
            "write-forever" => loop {
                target.write(&"x".repeat(1 << 20));
            },
            "write-at-once" => {
                target.write(&"x".repeat(8 << 20));
            }
            "units-forever" => loop {
                target.add_units(&vec![unit(0, 0); 1_000]);
            },
            "attrs-forever" => loop {
                target.add_attrs(&[Attr {
                    key: "key".into(),
                    value: "x".repeat(60_000),
                }]);
            },
            "pages-forever" => {
                for number in 1.. {
                    target.begin_page(number, None);
                }
            }
            "read-forever" => loop {
                black_box(source.read(0, u32::MAX));
            },
            "ahead" => target.add_units(&[unit(0, 10)]),
            "boundary" => {
                target.write("aé");
                target.add_units(&[unit(0, 2)]);
            }
            "encrypted" => {
                target.write("half of it");
                return Err(Failure {
                    code: "ENCRYPTED".into(),
                    message: "The file needs a password.".into(),
                    at: None,
                });
            }
            _ => {
                let length = source.len();
                let mut offset = 0;
                target.begin_page(1, Some("i".into()));
                while offset < length {
                    let bytes = source.read(offset, 7);
                    offset += bytes.len() as u64;
                    target.write(&String::from_utf8_lossy(&bytes));
                    target.progress(offset as f32 / length as f32);
                }
                let end = target.write("");
                target.add_units(&[unit(0, end)]);
                target.add_attrs(&[Attr {
                    key: "title".into(),
                    value: "Title".into(),
                }]);
            }
        }
        Ok(())
    }
}

fn unit(start: u32, end: u32) -> Unit {
    Unit {
        at: Span { start, end },
        kind: "paragraph".into(),
        level: 0,
        title: None,
    }
}

export!(Hostile);
