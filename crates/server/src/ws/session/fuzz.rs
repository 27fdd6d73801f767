//! Any bytes from a peer, and any messages that a peer sends by the rules.

use super::*;
use crate::ws::outbox::Outbox;
use fastwebsockets::CloseCode;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Mutex;

/// More than a control frame may have, as every setting is.
const LIMITS: Limits = Limits { text: 128, binary: 160 };

/// What a peer writes.
#[derive(Debug, Clone)]
enum Sent {
    Message { text: bool, bytes: Vec<u8>, cuts: Vec<usize> },
    Ping(Vec<u8>),
}

/// A conversation that keeps the messages it receives, in order.
#[derive(Default)]
struct Received(Mutex<Vec<Message>>);

impl Received {
    fn push(&self, message: Message) {
        self.0.lock().expect("no panic").push(message);
    }
}

impl Conversation for &Received {
    async fn text(&self, text: String) -> Result<(), Gone> {
        self.push(Message::Text(text));
        Ok(())
    }

    async fn binary(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.push(Message::Binary(bytes));
        Ok(())
    }

    async fn finished(&self) {}
}

/// Reads `bytes` to their end. Returns the messages, how the session ended, and the bytes that were sent back.
fn receive_all(bytes: &[u8]) -> (Vec<Message>, End, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut reader, _writer) = tokio::io::split(tokio::io::join(bytes, tokio::io::sink()));
        let (outbox, queues) = Outbox::new(1);
        let mut answered = Vec::new();
        let pulse = Pulse::default();
        let received = Received::default();
        let hour = Duration::from_secs(3600);
        let listening = async {
            let end = listen(&mut reader, &&received, &outbox, &pulse, LIMITS, &metrics::Counter::noop()).await;
            drop(outbox);
            end
        };
        let writing = outbox::write(&mut answered, queues, pulse.clone(), hour, metrics::Counter::noop());
        let (end, ()) = tokio::join!(listening, writing);
        (received.0.into_inner().expect("no panic"), end, answered)
    })
}

/// A frame as a client writes it, by RFC 6455, 5.2. `length` is what its head says.
fn frame(first: u8, key: Option<[u8; 4]>, length: u64, payload: &[u8]) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(mask | length as u8),
        126..0x1_0000 => {
            frame.push(mask | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

impl Sent {
    fn write(&self, key: [u8; 4], out: &mut Vec<u8>) {
        let whole = |first: u8, payload: &[u8]| frame(first, Some(key), payload.len() as u64, payload);
        match self {
            Sent::Ping(payload) => out.extend(whole(0x89, payload)),
            Sent::Message { text, bytes, cuts } => {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
                cuts.sort_unstable();
                cuts.push(bytes.len());
                let (mut from, mut opcode) = (0, if *text { 1 } else { 2 });
                for (i, cut) in cuts.iter().enumerate() {
                    let fin = if i + 1 == cuts.len() { 0x80 } else { 0 };
                    out.extend(whole(fin | opcode, &bytes[from..*cut]));
                    // A ping may come between the parts of a message.
                    out.extend(whole(0x8a, b""));
                    (from, opcode) = (*cut, 0);
                }
            }
        }
    }
}

/// Frames that are nearly right: any head, most masked, most with the payload that the head tells of.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let key = prop::option::weighted(0.9, any::<[u8; 4]>());
    let lie = prop_oneof![6 => Just(None), 1 => any::<u64>().prop_map(Some), 1 => (0u64..300).prop_map(Some)];
    let payload = prop_oneof![vec(any::<u8>(), 0..200), "[a-z]{120,170}".prop_map(String::into_bytes)];
    let one = (first, key, lie, payload);
    vec(one, 0..6).prop_map(|frames| {
        let write = |(first, key, lie, payload): (u8, Option<[u8; 4]>, Option<u64>, Vec<u8>)| {
            frame(first, key, lie.unwrap_or(payload.len() as u64), &payload)
        };
        frames.into_iter().flat_map(write).collect()
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let cuts = || vec(any::<usize>(), 0..4);
    prop_oneof![
        (".{0,32}", cuts()).prop_map(|(text, cuts)| Sent::Message {
            text: true,
            bytes: text.into_bytes(),
            cuts
        }),
        (vec(any::<u8>(), 0..=LIMITS.binary), cuts()).prop_map(|(bytes, cuts)| Sent::Message { text: false, bytes, cuts }),
        vec(any::<u8>(), 0..=125).prop_map(Sent::Ping),
    ]
}

/// Checks that the messages are within the limits, and that the close frame is one that may be sent.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (received, end, _) = receive_all(bytes);
    for message in received {
        match message {
            Message::Text(text) => prop_assert!(text.len() <= LIMITS.text),
            Message::Binary(bytes) => prop_assert!(bytes.len() <= LIMITS.binary),
        }
    }
    match end {
        End::Gone => {}
        End::Now(closing) => {
            let allowed = closing.code.is_none_or(|code| CloseCode::from(code).is_allowed());
            prop_assert!(allowed && closing.code != Some(1011), "{closing:?}");
            prop_assert!(closing.payload().len() <= 125 && std::str::from_utf8(closing.reason.as_bytes()).is_ok());
        }
        End::Afterwards(_) | End::Denied(_) => prop_assert!(false, "a peer cannot ask for that"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_end_properly(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
    }

    #[test]
    fn frames_that_are_nearly_right_end_properly(bytes in nearly_frames()) {
        check(&bytes)?;
    }

    #[test]
    fn messages_arrive_as_they_were_sent(sent in vec(sent(), 0..6), key in any::<[u8; 4]>(), cut in any::<usize>()) {
        let mut bytes = Vec::new();
        let (mut expected, mut pongs) = (Vec::new(), Vec::new());
        for each in &sent {
            each.write(key, &mut bytes);
            match each {
                Sent::Ping(payload) => pongs.extend(frame(0x8a, None, payload.len() as u64, payload)),
                Sent::Message { text: true, bytes, .. } => {
                    expected.push(Message::Text(String::from_utf8(bytes.clone()).expect("text")));
                }
                Sent::Message { bytes, .. } => expected.push(Message::Binary(bytes.clone())),
            }
        }
        let (received, end, answered) = receive_all(&bytes);
        prop_assert_eq!(&received, &expected);
        prop_assert!(matches!(end, End::Gone));
        prop_assert_eq!(answered, pongs);
        // Of a stream that breaks off, what was whole is received.
        let (received, end, _) = receive_all(&bytes[..cut % (bytes.len() + 1)]);
        prop_assert!(expected.starts_with(&received) && matches!(end, End::Gone));
    }
}
