//! How long the stages of a query took: for its answer, for metrics and for traces.

use ibid_telemetry as telemetry;
use std::collections::BTreeMap;

/// Seconds by stage.
#[derive(Debug, Default, Clone)]
pub struct Timings(pub BTreeMap<String, f64>);

impl Timings {
    /// Runs `work` and adds its time to `stage`, as clients read it; the trace has it too.
    pub async fn time<T>(&mut self, stage: &str, work: impl Future<Output = T>) -> T {
        let start = std::time::Instant::now();
        let result = match measured(stage) {
            Some(stage) => telemetry::traced(stage, work).await,
            None => work.await,
        };
        *self.0.entry(stage.to_owned()).or_default() += start.elapsed().as_secs_f64();
        result
    }

    /// Tells the metrics of each stage, once for a query: a stage may be several pieces of work.
    pub fn measure(&self) {
        for (timing, seconds) in &self.0 {
            if let Some(stage) = measured(timing) {
                stage.record(telemetry::Pipeline::Query, std::time::Duration::from_secs_f64(*seconds));
            }
        }
    }
}

/// The stage of metrics and traces that one of an answer's `timings` is.
fn measured(timing: &str) -> Option<telemetry::Stage> {
    use telemetry::Stage;
    Some(match timing {
        "analysis" => Stage::Analyze,
        "embedding" => Stage::Embed,
        "retrieval" => Stage::Retrieve,
        "reading" => Stage::Read,
        "reranking" => Stage::Rerank,
        "generation" => Stage::Generate,
        _ => return None,
    })
}
