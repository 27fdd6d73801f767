//! Published models from a hub that serves files as Hugging Face's does: `NAME/resolve/REVISION/FILE`.
//!
//! Only the files that the converter reads are fetched, each into a file of its own beside what is whole: what breaks off is gone on
//! with. Where the hub tells a file's SHA-256 (`X-Linked-Etag`, `ETag`), what came is compared with it.

use super::{CliError, console, tools};
use futures_util::StreamExt;
use ibid_types::secret::Secret;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs;
use tokio::io::AsyncWriteExt;

/// Hops from a file's address to where its bytes are.
const REDIRECTS: usize = 5;
/// For a connection, and between two pieces of a file.
const PATIENCE: Duration = Duration::from_secs(30);
/// Safetensors first: they become a graph that has all precisions.
const SAFETENSORS: &str = "model.safetensors";
/// Where ONNX models lie in published directories, in the converter's order.
const READY: [&str; 3] = ["onnx/model.onnx", "model.onnx", "model_optimized.onnx"];
/// Read by the converter if they are there.
const BESIDE: [&str; 5] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
];
/// No configuration file is larger.
const MAX_MODULES_BYTES: u64 = 1 << 20;

/// A hub, and a model in it.
pub struct Hub {
    client: Client,
    base: Url,
    token: Option<HeaderValue>,
    name: String,
    revision: String,
}

/// What a hub says of a file.
struct Known {
    /// Changes with the file's bytes; empty where the hub says nothing.
    tag: String,
    /// In lower-case hexadecimal digits.
    sha256: Option<String>,
}

impl Hub {
    /// A client of the hub at `base`, for a model's files at a revision. Connects to nothing yet.
    ///
    /// # Errors
    /// [`CliError::Usage`] for an address, a name, a revision or a token that cannot be one.
    pub fn new(base: &str, token: Option<&Secret>, name: &str, revision: &str) -> Result<Self, CliError> {
        let usage = |why: String| CliError::Usage(why);
        let base = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| usage(format!("embedder.hub_url: {base} must be like https://huggingface.co")))?;
        if local_name(name).is_none() {
            return Err(usage(format!(
                "{name} must be a directory, or a model's name in the hub, such as sentence-transformers/all-MiniLM-L6-v2"
            )));
        }
        if revision.is_empty() || !revision.split('/').all(is_segment) {
            return Err(usage(format!(
                "--revision {revision}: must be a branch, a tag or a commit, such as main"
            )));
        }
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {}", token.expose())));
        let mut token = token
            .transpose()
            .map_err(|_| usage("HF_TOKEN: a token has no line breaks or control characters".to_owned()))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        ibid_system::tls::install_provider();
        // Redirections are followed here: the first answer tells the checksum, and the token is for the hub alone.
        let mut client = Client::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("ibid/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            client = client.tls_certs_only([]).no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| CliError::Failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self {
            client,
            base,
            token,
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Fetches what the converter reads of the model into `directory`, or of `onnx` in it. Files that are there already are
    /// compared with the hub's, where it tells their checksums, and kept if they are the same.
    ///
    /// # Errors
    /// What is missing, refused, or not what the hub says; files that cannot be written.
    pub async fn fetch(&self, directory: &Path, onnx: Option<&str>) -> Result<(), CliError> {
        self.file(directory, "tokenizer.json", true).await?;
        for file in BESIDE {
            self.file(directory, file, false).await?;
        }
        for pooling in poolings(directory).await {
            self.file(directory, &format!("{pooling}/config.json"), false).await?;
        }
        if let Some(onnx) = onnx {
            if !onnx.split('/').all(is_segment) {
                return Err(CliError::Usage(format!(
                    "--onnx {onnx}: must be a file of the model, such as onnx/model.onnx"
                )));
            }
            self.file(directory, onnx, true).await?;
            self.file(directory, &format!("{onnx}_data"), false).await?;
            return Ok(());
        }
        if self.file(directory, SAFETENSORS, false).await? {
            return Ok(());
        }
        for onnx in READY {
            if self.file(directory, onnx, false).await? {
                // Weights of large models lie beside them.
                self.file(directory, &format!("{onnx}_data"), false).await?;
                return Ok(());
            }
        }
        Err(CliError::Failed(format!(
            "{} has neither {SAFETENSORS} nor an ONNX model at one of {}: --onnx FILE names another one",
            self.name,
            READY.join(", ")
        )))
    }

    /// Fetches a file; `false` if there is none and it is not required.
    async fn file(&self, directory: &Path, file: &str, required: bool) -> Result<bool, CliError> {
        let (response, known) = self.ask(Method::HEAD, file, None).await?;
        let target = directory.join(file);
        let written = |source: io::Error| CliError::File {
            path: target.clone(),
            source,
        };
        if response.status() == StatusCode::NOT_FOUND && !required {
            // It may have been there when the command was last run.
            return match fs::remove_file(&target).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(written(error)),
                _ => Ok(false),
            };
        }
        self.check(file, &response)?;
        if let Some(sha256) = &known.sha256
            && digest(&target).await.is_ok_and(|found| found == *sha256)
        {
            return Ok(true);
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).await.map_err(written)?;
        }
        // Named by what it is a part of: a part of something else is never gone on with.
        let tag: String = known.tag.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let part = PathBuf::from(format!("{}.{tag}.part", target.display()));
        if tag.is_empty() {
            let _ = fs::remove_file(&part).await;
        }
        self.receive(file, &part).await?;
        if let Some(sha256) = &known.sha256 {
            let found = digest(&part).await.map_err(written)?;
            if found != *sha256 {
                let _ = fs::remove_file(&part).await;
                return Err(CliError::Failed(format!(
                    "{file} of {} came with the SHA-256 {found}, but the hub says {sha256}: it was removed; run the command again",
                    self.name
                )));
            }
        }
        fs::rename(&part, &target).await.map_err(written)?;
        Ok(true)
    }

    /// Receives a file, or what is missing of it.
    async fn receive(&self, file: &str, part: &Path) -> Result<(), CliError> {
        let written = |source: io::Error| CliError::File {
            path: part.to_owned(),
            source,
        };
        let broken = |reason: String| CliError::Broken {
            server: self.base.to_string(),
            reason: format!("{file}: {reason}. What came is kept: run the command again to go on"),
        };
        let had = fs::metadata(part).await.map_or(0, |metadata| metadata.len());
        let (response, _) = self.ask(Method::GET, file, (had > 0).then_some(had)).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // All of it came before; the checksum tells.
            return Ok(());
        }
        self.check(file, &response)?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
        let mut out = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(part)
            .await
            .map_err(written)?;
        let mut done = if goes_on { had } else { 0 };
        let total = response.content_length().map(|length| length.saturating_add(done));
        let mut shown = None;
        let mut stream = response.bytes_stream();
        while let Some(bytes) = stream.next().await {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => {
                    out.flush().await.map_err(written)?;
                    return Err(broken(error.without_url().to_string()));
                }
            };
            out.write_all(&bytes).await.map_err(written)?;
            done = done.saturating_add(bytes.len() as u64);
            let percent = total.map(|total| done.saturating_mul(100) / total.max(1));
            if console::shows_progress() && percent != shown {
                shown = percent;
                let of = percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
                console::note_part(&format!("\r{file}: {}{of}  ", console::size(done)));
            }
        }
        out.flush().await.map_err(written)?;
        out.sync_all().await.map_err(written)?;
        if total.is_some_and(|total| done < total) {
            return Err(broken("it ended early".to_owned()));
        }
        let end = if console::shows_progress() { "\r" } else { "" };
        let resumed = if goes_on {
            format!(", gone on with at {}", console::size(had))
        } else {
            String::new()
        };
        console::note(&format!("{end}{file}: {}{resumed}", console::size(done)));
        Ok(())
    }

    /// Asks for a file, from a byte on; follows redirections.
    async fn ask(&self, method: Method, file: &str, from: Option<u64>) -> Result<(Response, Known), CliError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            segments.extend(self.name.split('/')).push("resolve").push(&self.revision);
            segments.extend(file.split('/'));
        }
        let mut known: Option<Known> = None;
        for _ in 0..=REDIRECTS {
            let mut request = self.client.request(method.clone(), url.clone());
            if let (Some(token), true) = (&self.token, url.origin() == self.base.origin()) {
                request = request.header(AUTHORIZATION, token.clone());
            }
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = request.send().await.map_err(|error| {
                let reason = error.without_url().to_string();
                CliError::Failed(format!("{file} of {} cannot be had from {}: {reason}", self.name, self.base))
            })?;
            // Where the bytes lie, they have tags of their own kind: what the hub itself says comes first.
            let said = known.get_or_insert_with(|| Known::of(response.headers()));
            if said.tag.is_empty() || (said.sha256.is_none() && response.headers().contains_key("x-linked-etag")) {
                *said = Known::of(response.headers());
            }
            let next = response.headers().get(LOCATION).and_then(|next| next.to_str().ok());
            match next.filter(|_| response.status().is_redirection()) {
                None => return Ok((response, known.unwrap_or_else(Known::nothing))),
                Some(next) => {
                    let next = url
                        .join(next)
                        .ok()
                        .filter(|next| next.scheme() == "https" || next.scheme() == url.scheme());
                    url = next.ok_or_else(|| CliError::Failed(format!("{} sends to an address that is none, for {file}", self.base)))?;
                }
            }
        }
        Err(CliError::Failed(format!(
            "{} sends from one address to the next, for {file}",
            self.base
        )))
    }

    fn check(&self, file: &str, response: &Response) -> Result<(), CliError> {
        let (name, base) = (&self.name, &self.base);
        let message = match response.status() {
            status if status.is_success() => return Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!(
                    "{base} does not give out {name}: it is private, needs its terms accepted on its page, or is not there. Set HF_TOKEN"
                )
            }
            StatusCode::NOT_FOUND => format!("{base} has no {file} of {name} at the revision {}", self.revision),
            status => format!("{base} answers {status} for {file} of {name}"),
        };
        Err(CliError::Failed(message))
    }
}

impl Known {
    fn nothing() -> Self {
        Self {
            tag: String::new(),
            sha256: None,
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        let tag = headers.get("x-linked-etag").or_else(|| headers.get(ETAG));
        let tag = tag.and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let tag = tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let is_sha256 = tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self {
            sha256: is_sha256.then(|| tag.clone()),
            tag,
        }
    }
}

/// The name that a hub's model gets here: the last part of its own. `None` if it is no name.
pub fn local_name(name: &str) -> Option<&str> {
    let parts: Vec<&str> = name.split('/').collect();
    ((1..=2).contains(&parts.len()) && parts.iter().all(|part| is_segment(part)))
        .then(|| parts.last().copied())
        .flatten()
}

fn is_segment(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !part.is_empty() && !part.starts_with('.') && part.len() <= 128 && part.bytes().all(plain)
}

/// The folders of pooling that `modules.json` names.
async fn poolings(directory: &Path) -> Vec<String> {
    let path = directory.join("modules.json");
    if fs::metadata(&path).await.is_ok_and(|metadata| metadata.len() > MAX_MODULES_BYTES) {
        return Vec::new();
    }
    let modules: Vec<Value> = fs::read(&path)
        .await
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let text = |module: &Value, key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let poolings = modules.iter().filter(|module| text(module, "type").ends_with("Pooling"));
    poolings
        .map(|module| text(module, "path"))
        .filter(|path| is_segment(path))
        .collect()
}

async fn digest(path: &Path) -> io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || tools::sha256(&path))
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (name, local) in [
            ("sentence-transformers/all-MiniLM-L6-v2", Some("all-MiniLM-L6-v2")),
            ("bert-base-uncased", Some("bert-base-uncased")),
            ("", None),
            ("a/b/c", None),
            ("../secrets", None),
            ("a/..", None),
            ("a b", None),
            ("a?b", None),
            ("/a", None),
        ] {
            assert_eq!(local_name(name), local, "{name}");
        }
        let hub = |base: &str, revision: &str| Hub::new(base, None, "a/b", revision).map(drop);
        hub("https://hub.example", "refs/pr/1").expect("a revision");
        for (base, revision) in [
            ("ftp://hub", "main"),
            ("hub", "main"),
            ("https://hub.example", "../main"),
            ("https://hub.example", ""),
        ] {
            assert!(matches!(hub(base, revision), Err(CliError::Usage(_))), "{base} {revision}");
        }
    }
}
