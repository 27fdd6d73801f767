//! What the engine tells the metrics: what happens as it happens, and what stands still when somebody looks.

use super::health::Monitor;
use crate::ingest::reports::Ending;
use ibid_catalog::CollectionStats;
use ibid_plugin_host::PluginRef;
use ibid_telemetry::{self as telemetry, catalogue};
use std::collections::BTreeMap;

/// Counts the end of an upload that took so many seconds.
pub(crate) fn upload_ended(ending: &Ending, seconds: f64) {
    let status = match ending {
        Ending::Live(_) => {
            catalogue::UPLOAD_SECONDS.only().record(seconds);
            "success"
        }
        Ending::Duplicate(_) => "duplicate",
        Ending::Cancelled => "cancelled",
        Ending::Failed(error) => {
            catalogue::ERRORS.with(["upload", error.code.name()]).increment(1);
            "failed"
        }
    };
    catalogue::UPLOADS.with([status]).increment(1);
}

/// A plugin is not there any more: its last state must not stay.
pub(crate) fn plugin_removed(plugin: &PluginRef) {
    let labels = [plugin.name.clone(), plugin.kind.name().to_owned()];
    catalogue::PLUGIN_QUARANTINED.with(labels).set(0.0);
}

impl Monitor {
    /// Brings the metrics of what there is and what waits up to now. What cannot be had keeps its last value.
    pub async fn observe(&self) {
        let places = self.max_open_uploads;
        let open = places.saturating_sub(self.uploads.permits.available_permits());
        catalogue::OPEN_UPLOADS.only().set(open as f64);

        if let Some(free) = self.store.disk.free().await {
            catalogue::DISK_FREE.only().set(free as f64);
        }

        let embedder = self.pipelines.models.stats();
        catalogue::EMBEDDER_QUEUE.with(["queries"]).set(embedder.queued_queries as f64);
        catalogue::EMBEDDER_QUEUE.with(["documents"]).set(embedder.queued_documents as f64);
        for (counter, value) in [
            (&catalogue::EMBEDDER_TEXTS, embedder.texts),
            (&catalogue::EMBEDDER_TOKENS, embedder.tokens),
            (&catalogue::EMBEDDER_PADDING, embedder.padding),
            (&catalogue::EMBEDDER_BATCHES, embedder.batches),
            (&catalogue::EMBEDDER_FAILED, embedder.failed),
            (&catalogue::EMBEDDER_BUSY, embedder.busy_ms),
        ] {
            counter.only().absolute(value);
        }
        let rerankers = self.pipelines.models.reranker_stats();
        catalogue::RERANKER_PAIRS.only().absolute(rerankers.texts);
        catalogue::RERANKER_BUSY.only().absolute(rerankers.busy_ms);
        catalogue::RERANKER_FALLBACKS.only().increment(0);

        // Several versions may be there: one that is well must not hide one that is not.
        let mut quarantined: BTreeMap<(String, &'static str), bool> = BTreeMap::new();
        for plugin in self.pipelines.registry.list() {
            let state = quarantined.entry((plugin.manifest().name.clone(), plugin.kind().name()));
            *state.or_default() |= plugin.quarantine().is_some();
        }
        for ((name, kind), quarantined) in quarantined {
            let labels = [name, kind.to_owned()];
            catalogue::PLUGIN_QUARANTINED
                .with(labels.clone())
                .set(if quarantined { 1.0 } else { 0.0 });
            // So that the first call of a plugin, and the first failure, are seen as increases.
            catalogue::PLUGIN_CALLS.with(labels.clone()).increment(0);
            let [name, kind] = labels;
            catalogue::PLUGIN_FAILURES.with([name, kind, "trap".to_owned()]).increment(0);
        }

        match self.store.catalog.all_stats().await {
            Ok(stats) => {
                let sum = |part: fn(&CollectionStats) -> u64| stats.iter().map(|(_, counts)| part(counts)).sum::<u64>() as f64;
                catalogue::DOCUMENTS.only().set(sum(|counts| counts.documents));
                catalogue::CHUNKS.only().set(sum(|counts| counts.chunks));
            }
            Err(error) => tracing::warn!(%error, "the metrics of documents are not up to date"),
        }
        match self.store.catalog.collections().await {
            Ok(collections) => catalogue::COLLECTIONS.only().set(collections.len() as f64),
            Err(error) => tracing::warn!(%error, "the metrics of collections are not up to date"),
        }
        if let Err(error) = tokio::task::spawn_blocking(telemetry::observe_process).await {
            tracing::warn!(%error, "the metrics of the process are not up to date");
        }
    }
}
