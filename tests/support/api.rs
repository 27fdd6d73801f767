//! The REST surface, as any HTTP client sees it.

use super::files::File;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// A client of one server. Made per test: connections belong to a test's runtime.
pub struct Api {
    client: Client,
    url: String,
    token: Option<String>,
}

/// An answer, read to its end.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{} is no JSON ({error}): {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// A header field's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header field of visible characters"))
            .unwrap_or_default()
    }

    /// The JSON of an answer that must have this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The `error` of an answer that must have this status and code, its shape checked.
    pub fn error(&self, status: u16, code: &str) -> Value {
        let error = self.expect(status)["error"].clone();
        super::has(&error, super::shape::REST_ERROR);
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["request_id"], self.header("x-request-id"));
        assert!(!error["message"].as_str().unwrap_or_default().is_empty());
        let all = error.to_string();
        assert!(!all.contains("ibid-test-") && !all.contains(".rs:"), "internals are told: {all}");
        error
    }
}

/// A client for this machine's loopback.
pub fn client() -> Client {
    // Whichever test comes first installs it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder().no_proxy().tls_certs_only([]).build().expect("a client")
}

impl Api {
    /// A client of the server at `url`.
    pub fn new(url: &str) -> Self {
        Self {
            client: client(),
            url: url.to_owned(),
            token: None,
        }
    }

    /// The same with a token or an API key.
    pub fn with_token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    /// A request, to be changed before it is sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        super::within("an answer", async {
            let reply = request.send().await.expect("an answer");
            let (status, headers) = (reply.status(), reply.headers().clone());
            Reply {
                status,
                headers,
                body: reply.bytes().await.expect("a whole answer").to_vec(),
            }
        })
        .await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// Uploads files in one form; `query` is of the URL.
    pub async fn upload(&self, query: &str, collection: &str, files: &[&File]) -> Reply {
        let form = files
            .iter()
            .fold(Form::new().text("collection_name", collection.to_owned()), |form, file| {
                form.part("files", part(file))
            });
        self.send(self.request(Method::POST, &format!("/documents/upload{query}")).multipart(form))
            .await
    }

    /// Uploads a file that must be taken; gives its entry of `uploaded_documents`.
    pub async fn ingest(&self, collection: &str, file: &File) -> Value {
        let body = self.upload("", collection, &[file]).await.expect(201);
        assert_eq!(body["uploaded_documents"].as_array().map(Vec::len), Some(1), "{body}");
        body["uploaded_documents"][0].clone()
    }

    /// The hits of a search that must work.
    pub async fn search(&self, request: Value) -> Vec<Value> {
        self.post("/search", request).await.expect(200)["results"]
            .as_array()
            .expect("results")
            .clone()
    }

    /// Every chunk of a document that a search can find; at most 100 are looked for.
    pub async fn found_chunks(&self, collection: &str, document_id: &str) -> usize {
        let filters = json!({ "document_ids": [document_id] });
        let request =
            json!({ "query": "anything", "collection_name": collection, "search_type": "semantic", "limit": 100, "filters": filters });
        let hits = self.search(request).await;
        assert!(hits.iter().all(|hit| hit["metadata"]["document_id"] == document_id));
        hits.len()
    }

    /// A document's text, or a part of it.
    pub async fn text(&self, document_id: &str, query: &str) -> String {
        let reply = self.get(&format!("/documents/{document_id}/text{query}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.text()
    }

    /// The documents of a collection, by name.
    pub async fn documents(&self, collection: &str) -> Vec<Value> {
        let list = self
            .get(&format!(
                "/documents?collection_name={collection}&sort_by=filename&sort_order=asc&limit=100"
            ))
            .await
            .expect(200);
        list["documents"].as_array().expect("documents").clone()
    }
}

fn part(file: &File) -> Part {
    // As browsers do not, but as clients may: it is how the server can tell the size in advance.
    let length = HeaderValue::from(file.bytes.len());
    let headers = HeaderMap::from_iter([(CONTENT_LENGTH, length)]);
    Part::bytes(file.bytes.clone()).file_name(file.name.clone()).headers(headers)
}
