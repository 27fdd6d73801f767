//! Traces: exports requests, queries and their stages to an OpenTelemetry collector.
//!
//! The spans of traces are separate from those of the log, under a target of their own: the log's level does not change the traces, and
//! without an exporter the spans cost nothing. Spans have names, counts and identifiers, never the text of a question or a document, nor a
//! credential.

use super::TelemetrySettings;
use super::Throttle;
use async_trait::async_trait;
use hyper::HeaderMap;
use ibid_types::secret::Secret;
use opentelemetry::Context;
use opentelemetry::context::FutureExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::{Span, Subscriber, field};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans that are exported; the log filters it out.
pub(super) const TARGET: &str = "ibid_trace";

/// The longest time of one export. Spans that come meanwhile wait in a bounded queue, and are dropped when it is full.
const EXPORT: Duration = Duration::from_secs(5);
/// The longest time of the last export when the process ends.
const FLUSH: Duration = Duration::from_secs(5);
/// The most warnings per hour about a collector that cannot be reached.
const WARNINGS_PER_HOUR: u32 = 12;

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The address is malformed.
    #[error("`telemetry.otlp_endpoint` must be a URL such as http://127.0.0.1:4318: {0}")]
    Endpoint(String),
    /// The header fields are malformed.
    #[error("`telemetry.otlp_headers` must be `name=value` pairs, separated by commas")]
    Headers,
    /// The exporter cannot be created.
    #[error("traces cannot be exported: {0}")]
    Exporter(String),
}

/// Exports traces. Call [`Exporter::finish`] before the process ends.
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Makes an exporter to the settings' collector; `None` if they name none. Exports run on `runtime`.
    ///
    /// # Errors
    /// If the settings are invalid. A collector that cannot be reached is no error, since it may start later.
    pub fn new(settings: &TelemetrySettings, runtime: &Handle) -> Result<Option<Self>, TraceError> {
        let endpoint = settings.otlp_endpoint.trim();
        if endpoint.is_empty() {
            return Ok(None);
        }
        let endpoint = traces_at(endpoint)?;
        ibid_system::tls::install_provider();
        let client = reqwest::Client::builder()
            .timeout(EXPORT)
            .build()
            .map_err(|error| TraceError::Exporter(error.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime {
                client,
                runtime: runtime.clone(),
                warnings: Arc::new(Throttle::per_hour(WARNINGS_PER_HOUR)),
            })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT)
            .with_headers(headers(&settings.otlp_headers)?)
            // The next batch is sent anyway, and this one's spans are not worth a delay.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| TraceError::Exporter(error.to_string()))?;
        let ratio = f64::from(settings.sampling_percent.min(100)) / 100.0;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(
                Resource::builder()
                    .with_service_name(settings.service_name.clone())
                    .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                    .build(),
            )
            .build();
        Ok(Some(Self { provider }))
    }

    /// Returns the layer that passes spans to the exporter.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("ibid"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
    }

    /// Exports the remaining spans, for a few seconds at most. Blocks.
    pub fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

/// Appends OTLP's path to a collector's address, unless the address has a path.
fn traces_at(endpoint: &str) -> Result<String, TraceError> {
    let mut url = reqwest::Url::parse(endpoint).map_err(|error| TraceError::Endpoint(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(TraceError::Endpoint("it must begin with http:// or https://".to_owned()));
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url.to_string())
}

fn headers(secret: &Secret) -> Result<HashMap<String, String>, TraceError> {
    secret
        .expose()
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(TraceError::Headers)?;
            let (name, value) = (name.trim(), value.trim());
            let usable = hyper::header::HeaderName::try_from(name).is_ok() && hyper::header::HeaderValue::try_from(value).is_ok();
            usable.then(|| (name.to_owned(), value.to_owned())).ok_or(TraceError::Headers)
        })
        .collect()
}

/// Sends on the server's runtime, since batches come from a thread without one.
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
    warnings: Arc<Throttle>,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRuntime")
    }
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        let answer = sent.await.map_err(HttpError::from).and_then(|answer| answer);
        let failure = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure
            && let Some(unlogged) = self.warnings.pass()
        {
            tracing::warn!(failure, unlogged, "the collector at telemetry.otlp_endpoint does not accept traces");
        }
        answer
    }
}

/// The trace that a request belongs to, by its `traceparent` (W3C Trace Context); without one, a new trace.
#[derive(Clone, Default)]
pub struct TraceParent(Option<Context>);

impl TraceParent {
    /// Reads the header fields.
    pub fn of(headers: &HeaderMap) -> Self {
        // Skip the parsing for most requests, which have none.
        if !headers.contains_key("traceparent") {
            return Self(None);
        }
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        Self(context.span().span_context().is_valid().then_some(context))
    }

    /// Runs a closure whose spans belong to that trace.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _attached = self.0.clone().map(Context::attach);
        work()
    }
}

/// Makes `work` a part of the trace that is current here, wherever it runs: for a spawned task.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    work.with_context(Context::current())
}

/// Returns the span of an HTTP request.
pub fn request(method: &'static str, route: &'static str, parent: &TraceParent) -> Span {
    parent.within(|| {
        tracing::info_span!(
            target: TARGET,
            "request",
            otel.name = format_args!("{method} {route}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = field::Empty,
            otel.status_code = field::Empty,
        )
    })
}

/// Records the status of the answer in a request's span.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns the span of a query, a child of the current one.
pub fn query(query_id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "query",
        ibid.query_id = query_id,
        ibid.mode = field::Empty,
        ibid.status = field::Empty,
        otel.status_code = field::Empty,
    )
}

/// Records the result in a query's span.
pub fn ended(span: &Span, mode: &'static str, status: &'static str) {
    span.record("ibid.mode", mode).record("ibid.status", status);
    if status == "failed" {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns the span of an ingest, a child of the current one.
pub fn ingest(upload_id: &str, document: &str) -> Span {
    tracing::info_span!(target: TARGET, "ingest", ibid.upload_id = upload_id, ibid.document = document)
}

/// Returns the span of a stage, a child of the current one.
pub(super) fn stage(name: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "stage", otel.name = name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_path_of_otlp_unless_it_has_one() {
        for (given, wanted) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/", "https://collector.example/v1/traces"),
            (
                "https://collector.example/otlp/v1/traces",
                "https://collector.example/otlp/v1/traces",
            ),
        ] {
            assert_eq!(traces_at(given).ok().as_deref(), Some(wanted));
        }
        for wrong in ["collector:4318", "127.0.0.1", "grpc://collector", ""] {
            assert!(traces_at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn header_fields_are_pairs_and_malformed_ones_are_not_shown() {
        let fields = headers(&Secret::new("authorization=Bearer a=b, x-team = search")).expect("pairs");
        assert_eq!(fields["authorization"], "Bearer a=b");
        assert_eq!(fields["x-team"], "search");
        for wrong in ["secret-token", "a b=secret-token", "a=secret\ntoken"] {
            let error = headers(&Secret::new(wrong)).expect_err(wrong).to_string();
            assert!(!error.contains("secret-token"), "{error}");
        }
    }

    #[test]
    fn only_a_valid_traceparent_is_one() {
        let parent = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", hyper::header::HeaderValue::from_static(value));
            TraceParent::of(&headers).0.is_some()
        };
        assert!(parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "x",
        ] {
            assert!(!parent(wrong), "{wrong}");
        }
    }
}
