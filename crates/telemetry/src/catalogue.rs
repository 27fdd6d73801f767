//! The catalogue of all metrics. `docs/operations.md` lists them, and a test compares.
//!
//! No label has a value that a client chose: no identifiers, tokens, names of collections, or raw paths. So the number of series is
//! bounded, and a reader of the metrics learns nothing about others' collections.

#[cfg(test)]
use super::metric::MetricKind;
use super::metric::{Counter, Description, Gauge, Histogram};

/// Buckets for times that users wait, in seconds.
const WAITS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Buckets for calls of plugins, in seconds.
const CALLS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0,
];

/// Durations of the stages of both pipelines.
pub static STAGE_SECONDS: Histogram<2> = Histogram::new(
    "ibid_stage_duration_seconds",
    "Seconds that a stage took, in all of its query or document. In a query `generate` includes `cite` and waiting for a client that reads slowly; at ingest `embed` and `index` are counted for each window of up to 128 chunks.",
    ["pipeline", "stage"],
    WAITS,
);
/// Durations of queries.
pub static QUERY_SECONDS: Histogram<2> = Histogram::new(
    "ibid_query_duration_seconds",
    "Seconds from a query's start to its end, by mode and how it ended (completed, cancelled, failed).",
    ["mode", "status"],
    WAITS,
);
/// The time until the first piece of an answer.
pub static FIRST_TOKEN_SECONDS: Histogram<0> = Histogram::new(
    "ibid_query_first_token_seconds",
    "Seconds from a query's start to the first piece of its answer, of queries that completed.",
    [],
    WAITS,
);
/// Running queries.
pub static QUERIES_RUNNING: Gauge<0> = Gauge::new("ibid_queries_running", "Queries and searches that are being answered.", []);
/// Waiting queries.
pub static QUERIES_WAITING: Gauge<0> = Gauge::new(
    "ibid_queries_waiting",
    "Queries and searches that wait for one of the query.max_concurrent places.",
    [],
);
/// Pieces of answers.
pub static TOKENS: Counter<0> = Counter::new(
    "ibid_tokens_generated_total",
    "Pieces that answers were made of, of queries that completed.",
    [],
);
/// Citations in answers.
pub static CITATIONS: Counter<0> = Counter::new(
    "ibid_citations_total",
    "Distinct citations in answers, of queries that completed.",
    [],
);

/// Finished uploads.
pub static UPLOADS: Counter<1> = Counter::new(
    "ibid_uploads_total",
    "Uploads that ended, by how (success, duplicate, failed, cancelled).",
    ["status"],
);
/// Durations of uploads.
pub static UPLOAD_SECONDS: Histogram<0> = Histogram::new(
    "ibid_upload_duration_seconds",
    "Seconds from an upload's start until its document could be found, of uploads that succeeded.",
    [],
    WAITS,
);
/// Bytes of files.
pub static UPLOADED_BYTES: Counter<0> = Counter::new("ibid_uploaded_bytes_total", "Bytes of the files that were received whole.", []);
/// Unfinished uploads.
pub static OPEN_UPLOADS: Gauge<0> = Gauge::new(
    "ibid_open_uploads",
    "Uploads that are being received, or wait, or are being processed.",
    [],
);
/// Documents that are being processed.
pub static INGEST_RUNNING: Gauge<0> = Gauge::new("ibid_ingest_running", "Documents that are being processed.", []);
/// Waiting documents.
pub static INGEST_WAITING: Gauge<0> = Gauge::new(
    "ibid_ingest_waiting",
    "Documents that wait for one of the ingest.documents_in_flight places.",
    [],
);
/// The number of collections.
pub static COLLECTIONS: Gauge<0> = Gauge::new("ibid_collections", "Collections.", []);
/// The number of documents.
pub static DOCUMENTS: Gauge<0> = Gauge::new("ibid_documents", "Documents that can be found, in all collections.", []);
/// The number of chunks.
pub static CHUNKS: Gauge<0> = Gauge::new("ibid_chunks", "Chunks of the documents that can be found.", []);
/// Free space on the disk.
pub static DISK_FREE: Gauge<0> = Gauge::new(
    "ibid_disk_free_bytes",
    "Bytes that are free on the disk of the data directory; with less than ingest.disk_reserve_bytes nothing is accepted.",
    [],
);

/// Texts in the embedder's queue.
pub static EMBEDDER_QUEUE: Gauge<1> = Gauge::new(
    "ibid_embedder_queue_texts",
    "Texts that wait for the embedder or are being computed, by lane (queries, documents).",
    ["lane"],
);
/// Embedded texts.
pub static EMBEDDER_TEXTS: Counter<0> = Counter::new("ibid_embedder_texts_total", "Texts embedded.", []);
/// Embedded tokens.
pub static EMBEDDER_TOKENS: Counter<0> = Counter::new("ibid_embedder_tokens_total", "Tokens embedded, without padding.", []);
/// Computed padding.
pub static EMBEDDER_PADDING: Counter<0> =
    Counter::new("ibid_embedder_padding_tokens_total", "Padding that was computed beside tokens.", []);
/// Runs of the model.
pub static EMBEDDER_BATCHES: Counter<0> = Counter::new("ibid_embedder_batches_total", "Runs of the embedding model.", []);
/// Texts that failed.
pub static EMBEDDER_FAILED: Counter<0> = Counter::new("ibid_embedder_failed_texts_total", "Texts that could not be embedded.", []);
/// Time spent in the model.
pub static EMBEDDER_BUSY: Counter<0> = Counter::new(
    "ibid_embedder_busy_milliseconds_total",
    "Milliseconds in runs of the embedding model, summed over its threads.",
    [],
);

/// Scored pairs.
pub static RERANKER_PAIRS: Counter<0> = Counter::new(
    "ibid_reranker_pairs_total",
    "Passages that a reranker read, each with its question.",
    [],
);
/// Time spent in rerankers.
pub static RERANKER_BUSY: Counter<0> = Counter::new(
    "ibid_reranker_busy_milliseconds_total",
    "Milliseconds in runs of rerankers, summed over their threads.",
    [],
);
/// Queries whose reranker failed.
pub static RERANKER_FALLBACKS: Counter<0> = Counter::new(
    "ibid_reranker_fallbacks_total",
    "Queries and searches whose passages stayed as they were found because the reranker failed.",
    [],
);

/// Calls of plugins.
pub static PLUGIN_CALLS: Counter<2> = Counter::new("ibid_plugin_calls_total", "Calls of a plugin.", ["plugin", "kind"]);
/// Failed calls of plugins.
pub static PLUGIN_FAILURES: Counter<3> = Counter::new(
    "ibid_plugin_failures_total",
    "Calls of a plugin that failed, by reason (trap, deadline, memory, limit, invalid_result, failure, ...).",
    ["plugin", "kind", "reason"],
);
/// Durations of plugins' calls.
pub static PLUGIN_SECONDS: Histogram<2> = Histogram::new(
    "ibid_plugin_call_duration_seconds",
    "Seconds in a plugin's code.",
    ["plugin", "kind"],
    CALLS,
);
/// Plugins in quarantine.
pub static PLUGIN_QUARANTINED: Gauge<2> = Gauge::new(
    "ibid_plugin_quarantined",
    "1 while a plugin is quarantined, else 0.",
    ["plugin", "kind"],
);

/// Errors that clients received.
pub static ERRORS: Counter<2> = Counter::new(
    "ibid_errors_total",
    "Errors that clients received, by surface (http, socket, stream, upload) and code.",
    ["surface", "code"],
);
/// Requests.
pub static HTTP_REQUESTS: Counter<3> = Counter::new(
    "ibid_http_requests_total",
    "HTTP requests, by method, route and status. What is no route is `unmatched`.",
    ["method", "route", "status"],
);
/// Durations of HTTP requests.
pub static HTTP_SECONDS: Histogram<2> = Histogram::new(
    "ibid_http_request_duration_seconds",
    "Seconds from a request's head to its answer's; a stream goes on after that.",
    ["method", "route"],
    WAITS,
);
/// TCP connections.
pub static CONNECTIONS: Gauge<0> = Gauge::new("ibid_connections", "TCP connections.", []);
/// WebSockets.
pub static SOCKETS: Gauge<1> = Gauge::new("ibid_websocket_connections", "Open WebSockets, by socket.", ["socket"]);
/// WebSockets since the start.
pub static SOCKETS_OPENED: Counter<1> = Counter::new("ibid_websocket_connections_total", "WebSockets that were opened.", ["socket"]);
/// Messages over WebSockets.
pub static SOCKET_MESSAGES: Counter<2> = Counter::new(
    "ibid_websocket_messages_total",
    "Text and binary messages, by socket and direction (in, out).",
    ["socket", "direction"],
);

/// Requests that exceeded a limit.
pub static REFUSALS: Counter<1> = Counter::new(
    "ibid_limit_refusals_total",
    "What was refused because a limit was reached, by the setting that sets it.",
    ["limit"],
);
/// Clients whose rates are tracked.
pub static TRACKED_CLIENTS: Gauge<0> = Gauge::new(
    "ibid_limit_tracked_clients",
    "Subjects and addresses whose rates are kept, over all budgets; looked at every 30 s.",
    [],
);

/// The limits whose refusals are counted, by the names of their settings.
pub mod limit {
    /// Connections in total.
    pub const CONNECTIONS: &str = "server.max_connections";
    /// The size of a message or a JSON body.
    pub const MESSAGE_BYTES: &str = "server.max_message_bytes";
    /// The size of a file.
    pub const UPLOAD_BYTES: &str = "server.max_upload_bytes";
    /// Concurrent queries on one socket.
    pub const CONNECTION_QUERIES: &str = "query.max_per_connection";
    /// Running queries, for a query that waited too long.
    pub const QUERIES: &str = "query.max_concurrent";
    /// Waiting queries.
    pub const WAITING_QUERIES: &str = "query.max_waiting";
    /// Unfinished uploads.
    pub const OPEN_UPLOADS: &str = "ingest.max_open_uploads";
    /// A subject's requests.
    pub const SUBJECT_REQUESTS: &str = "limits.subject_requests_per_minute";
    /// Requests from an address.
    pub const ADDRESS_REQUESTS: &str = "limits.address_requests_per_minute";
    /// A subject's queries.
    pub const SUBJECT_QUERIES: &str = "limits.subject_queries_per_minute";
    /// Queries from an address.
    pub const ADDRESS_QUERIES: &str = "limits.address_queries_per_minute";
    /// A subject's uploads.
    pub const SUBJECT_UPLOADS: &str = "limits.subject_uploads_per_minute";
    /// Uploads from an address.
    pub const ADDRESS_UPLOADS: &str = "limits.address_uploads_per_minute";
    /// Failed authentications from an address.
    pub const FAILED_AUTHENTICATIONS: &str = "limits.address_failed_authentications_per_minute";
    /// Concurrent queries of a client.
    pub const QUERIES_AT_ONCE: &str = "limits.queries_at_once";
    /// Connections from an address.
    pub const ADDRESS_CONNECTIONS: &str = "limits.address_connections";

    /// All limits.
    pub const ALL: &[&str] = &[
        CONNECTIONS,
        MESSAGE_BYTES,
        UPLOAD_BYTES,
        CONNECTION_QUERIES,
        QUERIES,
        WAITING_QUERIES,
        OPEN_UPLOADS,
        SUBJECT_REQUESTS,
        ADDRESS_REQUESTS,
        SUBJECT_QUERIES,
        ADDRESS_QUERIES,
        SUBJECT_UPLOADS,
        ADDRESS_UPLOADS,
        FAILED_AUTHENTICATIONS,
        QUERIES_AT_ONCE,
        ADDRESS_CONNECTIONS,
    ];
}

/// Counts a refusal because of one of the limits of [`limit`].
pub fn refused(limit: &'static str) {
    REFUSALS.with([limit]).increment(1);
}

/// Seconds since the start.
pub static UPTIME: Gauge<0> = Gauge::new("ibid_uptime_seconds", "Seconds since the server started.", []);
/// The build.
pub static BUILD: Gauge<1> = Gauge::new("ibid_build_info", "Always 1; the version is the label.", ["version"]);
/// Memory of the process.
pub static PROCESS_MEMORY: Gauge<0> = Gauge::new("process_resident_memory_bytes", "Resident memory of the process, in bytes.", []);
/// Processor time of the process.
pub static PROCESS_CPU: Gauge<0> = Gauge::new(
    "process_cpu_seconds_total",
    "User and system time of the process, in seconds. It only grows.",
    [],
);
/// When the process started.
pub static PROCESS_START: Gauge<0> = Gauge::new("process_start_time_seconds", "When the process started, in seconds since 1970.", []);
/// Files of the process.
pub static PROCESS_FILES: Gauge<0> = Gauge::new("process_open_fds", "Open file descriptors of the process.", []);

/// All metrics, in the order of the reference.
pub static ALL: &[Description] = &[
    STAGE_SECONDS.describe(),
    QUERY_SECONDS.describe(),
    FIRST_TOKEN_SECONDS.describe(),
    QUERIES_RUNNING.describe(),
    QUERIES_WAITING.describe(),
    TOKENS.describe(),
    CITATIONS.describe(),
    UPLOADS.describe(),
    UPLOAD_SECONDS.describe(),
    UPLOADED_BYTES.describe(),
    OPEN_UPLOADS.describe(),
    INGEST_RUNNING.describe(),
    INGEST_WAITING.describe(),
    COLLECTIONS.describe(),
    DOCUMENTS.describe(),
    CHUNKS.describe(),
    DISK_FREE.describe(),
    EMBEDDER_QUEUE.describe(),
    EMBEDDER_TEXTS.describe(),
    EMBEDDER_TOKENS.describe(),
    EMBEDDER_PADDING.describe(),
    EMBEDDER_BATCHES.describe(),
    EMBEDDER_FAILED.describe(),
    EMBEDDER_BUSY.describe(),
    RERANKER_PAIRS.describe(),
    RERANKER_BUSY.describe(),
    RERANKER_FALLBACKS.describe(),
    PLUGIN_CALLS.describe(),
    PLUGIN_FAILURES.describe(),
    PLUGIN_SECONDS.describe(),
    PLUGIN_QUARANTINED.describe(),
    ERRORS.describe(),
    HTTP_REQUESTS.describe(),
    HTTP_SECONDS.describe(),
    CONNECTIONS.describe(),
    SOCKETS.describe(),
    SOCKETS_OPENED.describe(),
    SOCKET_MESSAGES.describe(),
    REFUSALS.describe(),
    TRACKED_CLIENTS.describe(),
    UPTIME.describe(),
    BUILD.describe(),
    PROCESS_MEMORY.describe(),
    PROCESS_CPU.describe(),
    PROCESS_START.describe(),
    PROCESS_FILES.describe(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const DOCS: &str = include_str!("../../../docs/operations.md");

    fn section(name: &str) -> BTreeSet<&'static str> {
        let begin = format!("<!-- {name}: checked by a test -->\n");
        let (_, rest) = DOCS.split_once(begin.as_str()).expect("the section is there");
        let (table, _) = rest.split_once("<!-- end of").expect("the section has an end");
        table.lines().skip(2).collect()
    }

    #[test]
    fn the_reference_lists_every_metric_as_it_is() {
        let listed: BTreeSet<String> = ALL
            .iter()
            .map(|metric| {
                let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
                format!(
                    "| `{}` | {} | {} | {} |",
                    metric.name,
                    metric.kind.name(),
                    labels.join(", "),
                    metric.help
                )
            })
            .collect();
        let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        assert_eq!(section("metrics"), listed);
        assert_eq!(listed.len(), ALL.len(), "two metrics have one name");
    }

    #[test]
    fn names_follow_the_conventions_and_buckets_rise() {
        for metric in ALL {
            let (name, total) = (metric.name, metric.name.ends_with("_total"));
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            // The processor time is a gauge, since counters are whole numbers here.
            assert!(
                total == (metric.kind == MetricKind::Counter) || name == "process_cpu_seconds_total",
                "{name}"
            );
            assert_eq!(metric.kind == MetricKind::Histogram, !metric.buckets.is_empty(), "{name}");
            assert!(metric.buckets.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
    }
}
