//! Records metrics, and renders them.

use super::catalogue::{self, ALL, BUILD, ERRORS, STAGE_SECONDS, UPLOADS};
use super::metric::MetricKind;
use super::stage::{Pipeline, Stage};
use ibid_types::ErrorCode;
use metrics::with_recorder;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often histograms' samples are aggregated; until then each one is kept.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder of metrics for the whole process. What is recorded before is lost; a second call does nothing.
///
/// # Errors
/// If a histogram of the catalogue has no buckets, which a test rules out.
pub fn install() -> Result<(), BuildError> {
    if HANDLE.get().is_some() {
        return Ok(());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in ALL.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() || HANDLE.set(handle).is_err() {
        // Another thread was faster, and its recorder stays.
        return Ok(());
    }
    with_recorder(|recorder| {
        for metric in ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, None, help),
                MetricKind::Gauge => recorder.describe_gauge(name, None, help),
                MetricKind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
    });
    begin_at_zero();
    Ok(())
}

/// Registers metrics with known labels at 0: a counter that first appears with its first increase would not show it as an increase.
fn begin_at_zero() {
    for counter in [
        &catalogue::TOKENS,
        &catalogue::CITATIONS,
        &catalogue::UPLOADED_BYTES,
        &catalogue::EMBEDDER_TEXTS,
        &catalogue::EMBEDDER_TOKENS,
        &catalogue::EMBEDDER_PADDING,
        &catalogue::EMBEDDER_BATCHES,
        &catalogue::EMBEDDER_FAILED,
        &catalogue::EMBEDDER_BUSY,
    ] {
        counter.only().increment(0);
    }
    for gauge in [
        &catalogue::QUERIES_RUNNING,
        &catalogue::QUERIES_WAITING,
        &catalogue::OPEN_UPLOADS,
        &catalogue::INGEST_RUNNING,
        &catalogue::INGEST_WAITING,
        &catalogue::CONNECTIONS,
        &catalogue::TRACKED_CLIENTS,
    ] {
        gauge.only().increment(0.0);
    }
    for pipeline in [Pipeline::Query, Pipeline::Ingest] {
        for stage in Stage::all(pipeline) {
            let _ = STAGE_SECONDS.with([pipeline.name(), stage.name()]);
        }
    }
    for status in ["success", "duplicate", "failed", "cancelled"] {
        UPLOADS.with([status]).increment(0);
    }
    let _ = catalogue::FIRST_TOKEN_SECONDS.only();
    let _ = catalogue::UPLOAD_SECONDS.only();
    for surface in ["http", "socket", "stream", "upload"] {
        ERRORS.with([surface, ErrorCode::InternalError.name()]).increment(0);
    }
    for limit in catalogue::limit::ALL {
        catalogue::REFUSALS.with([*limit]).increment(0);
    }
    BUILD.with([env!("CARGO_PKG_VERSION")]).set(1.0);
}

/// Aggregates histograms' samples periodically, to free their memory, until `stop`.
pub async fn aggregate_histograms(stop: CancellationToken) {
    let mut ticks = tokio::time::interval(ADD_UP_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Some(handle) = HANDLE.get() {
            handle.run_upkeep();
        }
    }
}

/// Returns the metrics in Prometheus' text format 0.0.4, or nothing if they are not recorded.
pub fn render() -> String {
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}
