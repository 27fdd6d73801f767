//! The server as a client meets it: JSON over HTTP, and WebSockets.

use super::CliError;
use super::socket::{Socket, accept_key};
use eventsource_stream::{Event, EventStreamError, Eventsource};
use fastwebsockets::handshake::generate_key;
use futures_util::Stream;
use ibid_types::secret::Secret;
use reqwest::header::{
    AUTHORIZATION, CONNECTION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::multipart::Form;
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may take to answer anything but an upload.
const ANSWER: Duration = Duration::from_secs(120);
/// How long an installation may take: the server compiles the component.
const INSTALLED: Duration = Duration::from_secs(300);

/// A server, and the credentials for it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client of the server at `address`, such as `http://127.0.0.1:8000`, with a token or API key, and the authorities (a PEM file)
    /// that may have signed its certificate in place of the system's. Connects to nothing yet.
    ///
    /// # Errors
    /// [`CliError::Usage`] where the address, the token or the file cannot be used.
    pub fn new(address: &str, token: Option<Secret>, ca: Option<&Path>) -> Result<Self, CliError> {
        let unusable = |why: &str| {
            CliError::Usage(format!(
                "--server {address}: {why}; it must be like http://127.0.0.1:8000 or https://ibid.example.org"
            ))
        };
        let base = match Url::parse(address) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            // `127.0.0.1:8000` and `localhost:8000` are understood as well.
            _ if !address.contains("://") => Url::parse(&format!("http://{address}")).map_err(|error| unusable(&error.to_string()))?,
            Ok(_) => return Err(unusable("this is not an http or https address")),
            Err(error) => return Err(unusable(&error.to_string())),
        };
        let authorization = token
            .filter(|token| !token.is_empty())
            .map(|token| HeaderValue::from_str(&format!("Bearer {}", token.expose())))
            .transpose()
            .map_err(|_| CliError::Usage("--token: a token has no line breaks or control characters".to_owned()))?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        ibid_system::tls::install_provider();
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("ibid/", env!("CARGO_PKG_VERSION")));
        match ca {
            Some(path) => http = http.tls_certs_only(authorities(path)?),
            // Without TLS no certificates of the system are needed, and there may be none.
            None if base.scheme() == "http" => http = http.tls_certs_only([]),
            None => {}
        }
        if base.host_str().is_some_and(is_loopback) {
            // A proxy in the environment cannot reach this machine's own loopback.
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| CliError::Failed(format!("cannot make an HTTP client: {}", causes(&error))))?;
        Ok(Self { base, http, authorization })
    }

    /// The server's address, for messages.
    pub fn server(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// `GET`; `path` is given by its segments, which are escaped.
    ///
    /// # Errors
    /// If the server cannot be reached, or answers with an error.
    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, CliError> {
        self.json(self.request(Method::GET, path, query).timeout(ANSWER)).await
    }

    /// `GET` of text. Errors as [`Client::get`].
    pub async fn text(&self, path: &[&str]) -> Result<String, CliError> {
        let response = self.send(self.request(Method::GET, path, &[]).timeout(ANSWER)).await?;
        if response.status().is_success() {
            return response.text().await.map_err(|error| self.broken(causes(&error)));
        }
        let (status, retry_after, body) = self.body(response).await?;
        Err(self.refusal(status, retry_after, &body))
    }

    /// `GET` of something large, to be read piece by piece for as long as it takes. Errors as [`Client::get`].
    pub async fn download(&self, path: &[&str]) -> Result<Response, CliError> {
        let response = self.send(self.request(Method::GET, path, &[])).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, retry_after, body) = self.body(response).await?;
        Err(self.refusal(status, retry_after, &body))
    }

    /// `POST` with a JSON body. Errors as [`Client::get`].
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.json(self.request(Method::POST, path, &[]).timeout(ANSWER).json(body)).await
    }

    /// `POST` without a body. Errors as [`Client::get`].
    pub async fn post_with(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, CliError> {
        self.json(self.request(Method::POST, path, query).timeout(ANSWER)).await
    }

    /// `PUT` with a JSON body. Errors as [`Client::get`].
    pub async fn put(&self, path: &[&str], query: &[(&str, String)], body: &Value) -> Result<Value, CliError> {
        self.json(self.request(Method::PUT, path, query).timeout(ANSWER).json(body)).await
    }

    /// `POST /plugins`. Errors as [`Client::get`].
    pub async fn install(&self, component: Vec<u8>, replace: bool) -> Result<Value, CliError> {
        let query = [("replace", replace.to_string())];
        self.json(self.request(Method::POST, &["plugins"], &query).timeout(INSTALLED).body(component))
            .await
    }

    /// `GET` of server-sent events, for as long as the server sends them. Errors as [`Client::get`].
    pub async fn events(
        &self,
        path: &[&str],
    ) -> Result<impl Stream<Item = Result<Event, EventStreamError<reqwest::Error>>> + Unpin + use<>, CliError> {
        let response = self.send(self.request(Method::GET, path, &[])).await?;
        if response.status().is_success() {
            return Ok(Box::pin(response.bytes_stream().eventsource()));
        }
        let (status, retry_after, body) = self.body(response).await?;
        Err(self.refusal(status, retry_after, &body))
    }

    /// `DELETE`. Errors as [`Client::get`].
    pub async fn delete(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, CliError> {
        self.json(self.request(Method::DELETE, path, query).timeout(ANSWER)).await
    }

    /// `POST /documents/upload`. However long it takes: the server answers when the documents can be
    /// found. An answer that lists failed documents is one, whatever its status.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn upload(&self, form: Form) -> Result<Value, CliError> {
        let response = self
            .send(self.request(Method::POST, &["documents", "upload"], &[]).multipart(form))
            .await?;
        let (status, retry_after, body) = self.body(response).await?;
        if status.is_success() || body.get("failed_documents").is_some_and(Value::is_array) {
            return Ok(body);
        }
        Err(self.refusal(status, retry_after, &body))
    }

    /// The answer with its status, also where that is not a success: for `/health`.
    ///
    /// # Errors
    /// If the server cannot be reached, or answers something else than JSON.
    pub async fn probe(&self, path: &[&str]) -> Result<(u16, Value), CliError> {
        let response = self.send(self.request(Method::GET, path, &[]).timeout(CONNECT)).await?;
        let (status, _, body) = self.body(response).await?;
        Ok((status.as_u16(), body))
    }

    /// Opens the socket at `path`, such as `["ws", "query"]`.
    ///
    /// # Errors
    /// If the server cannot be reached or does not open the socket.
    pub async fn socket(&self, path: &[&str], query: &[(&str, String)]) -> Result<Socket, CliError> {
        let key = generate_key();
        // The HTTP client opens it, so that certificates, proxies and the way back are the same as for everything else.
        let request = self
            .request(Method::GET, path, query)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = tokio::time::timeout(CONNECT * 3, self.send(request))
            .await
            .map_err(|_| self.foreign("it does not open a WebSocket".to_owned()))??;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (status, retry_after, body) = self.body(response).await?;
            return Err(self.refusal(status, retry_after, &body));
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| accepted.as_bytes() != accept_key(&key).as_bytes()) {
            return Err(self.foreign("it does not open a WebSocket".to_owned()));
        }
        let upgraded = response.upgrade().await.map_err(|error| self.broken(causes(&error)))?;
        Ok(Socket::new(upgraded, self.server()))
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let request = self.http.request(method, self.url(path, query));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        request.send().await.map_err(|error| {
            if error.is_connect() {
                self.unreachable(&causes(&error))
            } else if error.is_timeout() {
                self.broken("it took too long to answer".to_owned())
            } else {
                self.broken(causes(&error))
            }
        })
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, CliError> {
        let response = self.send(request).await?;
        let (status, retry_after, body) = self.body(response).await?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(self.refusal(status, retry_after, &body))
        }
    }

    async fn body(&self, response: Response) -> Result<(StatusCode, Option<u64>, Value), CliError> {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let bytes = response.bytes().await.map_err(|error| self.broken(causes(&error)))?;
        if bytes.is_empty() {
            return Ok((status, retry_after, Value::Null));
        }
        let body = serde_json::from_slice(&bytes).map_err(|_| self.foreign(format!("it answered {status}, not in JSON")))?;
        Ok((status, retry_after, body))
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<u64>, body: &Value) -> CliError {
        let error = body.get("error").unwrap_or(&Value::Null);
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        match (text("code"), text("message")) {
            (Some(code), Some(message)) => CliError::Server {
                code: code.to_owned(),
                message: super::console::clean(message),
                retry_after: retry_after.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(2)),
            },
            _ => self.foreign(format!("it answered {status}")),
        }
    }

    fn unreachable(&self, reason: &str) -> CliError {
        CliError::Unreachable {
            server: self.server(),
            reason: reason.to_owned(),
        }
    }

    fn broken(&self, reason: String) -> CliError {
        CliError::Broken {
            server: self.server(),
            reason,
        }
    }

    fn foreign(&self, reason: String) -> CliError {
        CliError::Foreign {
            server: self.server(),
            reason,
        }
    }
}

/// The certificates of a PEM file.
fn authorities(path: &Path) -> Result<Vec<Certificate>, CliError> {
    let pem = std::fs::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(CliError::Usage(format!("--ca {}: it holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

fn seconds(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

/// Whether a host name means this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The innermost cause says what happened; the outer ones repeat the address.
fn causes(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_explained() {
        for (address, shown) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
            ("localhost:9", "http://localhost:9"),
            ("http://[::1]:8000/api/v1/", "http://[::1]:8000/api/v1"),
        ] {
            assert_eq!(
                Client::new(address, None, None).map(|client| client.server()).ok().as_deref(),
                Some(shown)
            );
        }
        for address in ["ftp://example.org", "http://", "https://", "::"] {
            assert!(matches!(Client::new(address, None, None), Err(CliError::Usage(_))), "{address}");
        }
    }

    #[test]
    fn paths_are_escaped_and_kept_below_a_prefix() {
        let client = Client::new("http://127.0.0.1:8000/api/v1", None, None).expect("valid");
        let url = client.url(&["collections", "a/b c?", "info"], &[("q", "ä&b".to_owned())]);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:8000/api/v1/collections/a%2Fb%20c%3F/info?q=%C3%A4%26b"
        );
    }
}
