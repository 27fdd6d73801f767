//! A scripted server of language models: it speaks the API of OpenAI, well or badly. It knows nothing of Ibid.
//!
//! All tests share one listener; each has a path of its own (`/NAME/v1`), since the settings of a server under test list
//! the addresses that it may ask.

use super::within;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use tokio_rustls::TlsAcceptor;

/// How one request is answered.
pub enum Act {
    /// A whole answer: status, further header lines, body.
    Answer(u16, &'static str, String),
    /// A stream of events.
    Stream(Vec<Step>),
    /// The connection is closed without a word.
    Drop,
}

/// A step of a stream.
pub enum Step {
    /// An event with this text.
    Delta(String),
    /// An event with this `delta`.
    Other(Value),
    /// These bytes.
    Raw(Vec<u8>),
    /// An event that says why the model stopped.
    Finish(&'static str),
    /// `[DONE]`.
    Done,
    /// Waits for the test.
    Gate(Arc<Notify>),
    /// Waits until the peer closes.
    Hold,
    /// Events with this text until the peer closes, or so many of them. Each has so many bytes that mean nothing.
    Flood(&'static str, usize, usize),
}

impl Step {
    /// Texts as events.
    pub fn texts(texts: &[&str]) -> Vec<Step> {
        texts.iter().map(|text| Step::Delta((*text).to_owned())).collect()
    }
}

/// What happened at the upstream server.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A stream began.
    Began,
    /// The peer closed before the stream was over.
    Closed,
    /// The peer took no more: a write has been waiting for a second.
    Held,
    /// The stream was sent to its end.
    Sent,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its header, names in lower case.
    pub header: HashMap<String, String>,
    /// Its body.
    pub body: Value,
}

#[derive(Default)]
struct Script {
    acts: Mutex<VecDeque<Act>>,
    received: Mutex<Vec<Received>>,
    events: OnceLock<mpsc::UnboundedSender<Event>>,
    /// Answer of `GET /models`.
    models: Mutex<(u16, Value)>,
}

/// One test's part of the server.
pub struct Upstream {
    script: Arc<Script>,
    events: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
}

impl Upstream {
    /// The part called `name`: one of those that [`Hub`] was made for.
    pub fn of(hub: &Hub, name: &str) -> Self {
        let script = hub
            .scripts
            .get(name)
            .unwrap_or_else(|| panic!("no upstream is called {name}"))
            .clone();
        let (sender, events) = mpsc::unbounded_channel();
        script
            .events
            .set(sender)
            .unwrap_or_else(|_| panic!("two tests use the upstream {name}"));
        Self {
            script,
            events: AsyncMutex::new(events),
        }
    }

    /// How the next requests are answered; further ones fail with 500.
    pub fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.acts.lock().unwrap().extend(acts);
    }

    /// What `GET /models` is answered with.
    pub fn lists(&self, status: u16, models: &[&str]) {
        let data: Vec<Value> = models.iter().map(|model| json!({ "id": model, "object": "model" })).collect();
        *self.script.models.lock().unwrap() = (status, json!({ "object": "list", "data": data }));
    }

    /// The chat requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.script.received.lock().unwrap().clone()
    }

    /// What happens next.
    pub async fn event(&self) -> Event {
        within("an event at the upstream server", async { self.events.lock().await.recv().await })
            .await
            .expect("an event")
    }
}

/// The listener.
pub struct Hub {
    scripts: HashMap<&'static str, Arc<Script>>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// `https://127.0.0.1:PORT`, if there is a certificate.
    pub tls_url: String,
    thread: Option<(Arc<Notify>, std::thread::JoinHandle<()>)>,
}

impl Hub {
    /// Listens for these parts, on a thread of its own: tests come and go with their runtimes. `tls` answers over TLS too.
    pub fn start(names: &[&'static str], tls: Option<TlsAcceptor>) -> Self {
        let scripts = names.iter().map(|name| (*name, Arc::default())).collect();
        Self::listen(scripts, "127.0.0.1:0".to_owned(), tls)
    }

    /// Ends it, and every connection with it, as the end of a process would.
    pub fn kill(&mut self) {
        let (end, thread) = self.thread.take().expect("it runs");
        end.notify_one();
        thread.join().expect("the listener");
    }

    /// Listens again where it did, with the same scripts.
    pub fn come_back(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        *self = Self::listen(std::mem::take(&mut self.scripts), address, None);
    }

    fn listen(scripts: HashMap<&'static str, Arc<Script>>, address: String, tls: Option<TlsAcceptor>) -> Self {
        let end = Arc::new(Notify::new());
        let ended = end.clone();
        let (found, listening) = std::sync::mpsc::channel();
        let shared = scripts.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let plain = TcpListener::bind(address).await.expect("a port");
                let secure = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let ports = [&plain, &secure].map(|listener| listener.local_addr().expect("an address"));
                found.send(ports).expect("the test waits");
                loop {
                    let shared = shared.clone();
                    tokio::select! {
                        () = ended.notified() => return,
                        Ok((stream, _)) = plain.accept() => {
                            tokio::spawn(serve(stream, shared));
                        }
                        Ok((stream, _)) = secure.accept() => {
                            let tls = tls.clone();
                            tokio::spawn(async move {
                                if let Some(tls) = tls && let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, shared).await;
                                }
                            });
                        }
                    }
                }
            });
        });
        let [plain, secure] = listening.recv().expect("the listener");
        Self {
            scripts,
            url: format!("http://{plain}"),
            tls_url: format!("https://{secure}"),
            thread: Some((end, thread)),
        }
    }
}

/// One connection, request after request.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, scripts: HashMap<&'static str, Arc<Script>>) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    while let Some((line, header, body)) = request(&mut reader).await {
        let path = line.split(' ').nth(1).unwrap_or_default();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (name, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let Some(script) = scripts.get(name) else { return };
        let act = match rest {
            "v1/chat/completions" => {
                let received = Received {
                    header,
                    body: serde_json::from_slice(&body).expect("a JSON body"),
                };
                script.received.lock().unwrap().push(received);
                let act = script.acts.lock().unwrap().pop_front();
                act.unwrap_or_else(|| Act::Answer(500, "", "nothing more was asked for".into()))
            }
            "v1/models" => {
                let (status, models) = script.models.lock().unwrap().clone();
                Act::Answer(status.max(200), "content-type: application/json\r\n", models.to_string())
            }
            _ => Act::Answer(404, "", String::new()),
        };
        match act {
            Act::Drop => return,
            Act::Answer(status, header, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{header}content-length: {}\r\n\r\n{body}", body.len());
                if writer.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
            }
            Act::Stream(sends) => {
                let tell = |event| {
                    if let Some(events) = script.events.get() {
                        let _ = events.send(event);
                    }
                };
                tell(Event::Began);
                let sent = tokio::select! {
                    sent = stream_out(&mut writer, sends, &tell) => sent,
                    // A client sends nothing while it is answered: what comes is the end.
                    _ = reader.fill_buf() => false,
                };
                tell(if sent { Event::Sent } else { Event::Closed });
                // The end of the body is the end of the connection.
                let _ = writer.shutdown().await;
                return;
            }
        }
    }
}

/// Reads one request: its first line, its header and its body.
async fn request(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Option<(String, HashMap<String, String>, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header: HashMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = header.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    Some((lines.first()?.clone(), header, body))
}

/// `true` once all was sent.
async fn stream_out(writer: &mut (impl AsyncWrite + Unpin), sends: Vec<Step>, tell: &impl Fn(Event)) -> bool {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: this is a comment\n\n";
    if writer.write_all(head).await.is_err() {
        return false;
    }
    for send in sends {
        let bytes = match send {
            Step::Delta(text) => event(json!({ "content": text }), None, ""),
            Step::Other(delta) => event(delta, None, ""),
            Step::Raw(bytes) => bytes,
            Step::Finish(reason) => event(json!({}), Some(reason), ""),
            Step::Done => b"data: [DONE]\n\n".to_vec(),
            Step::Gate(gate) => {
                gate.notified().await;
                continue;
            }
            Step::Hold => std::future::pending().await,
            Step::Flood(text, count, padding) => {
                let event = event(json!({ "content": text }), None, &"x".repeat(padding));
                let mut told = false;
                for _ in 0..count {
                    let write = writer.write_all(&event);
                    tokio::pin!(write);
                    let done = match tokio::time::timeout(std::time::Duration::from_secs(1), &mut write).await {
                        Ok(done) => done,
                        Err(_) => {
                            if !told {
                                tell(Event::Held);
                                told = true;
                            }
                            write.await
                        }
                    };
                    if done.is_err() {
                        return false;
                    }
                }
                continue;
            }
        };
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return false;
        }
    }
    true
}

fn event(delta: Value, finish_reason: Option<&str>, padding: &str) -> Vec<u8> {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
    let chunk =
        json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted", "choices": [choice], "obfuscation": padding });
    let mut text = String::new();
    let _ = write!(text, "data: {chunk}\n\n");
    text.into_bytes()
}
