//! Measures plugins side by side: what `ibid plugin bench` does.
//!
//! Each plugin in turn gets one call, so that whatever else the machine does falls on all of them alike. Times are those of the guest:
//! from the instantiation to the last byte of its result, without waiting for a place in the pool.

use super::trial::{self, Input};
use ibid_plugin_host::Kind;
use ibid_plugin_host::PluginError;
use ibid_plugin_host::{Host, Plugin, Source};
use ibid_types::document::Span;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls of each plugin at least, however long they take.
const FEWEST: usize = 5;
/// Calls of each plugin at most.
const MOST: usize = 20_000;

/// What was measured of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Calls with something to do.
    pub calls: usize,
    /// A call with next to nothing to do.
    pub empty: Times,
    /// A call with the input.
    pub call: Times,
    /// Of the input, in bytes.
    pub input_bytes: u64,
    /// The most memory that a call had, in bytes.
    pub peak_memory_bytes: u64,
}

impl Measured {
    /// Bytes of input in a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.input_bytes as f64 / self.call.p50.as_secs_f64().max(1e-9)
    }
}

/// How long calls took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// Calls each of `plugins` in turn over `input` for about as long as `time`, with the settings that each has by default.
///
/// # Errors
/// The first error of a call.
pub async fn bench(host: &Host, plugins: &[Arc<Plugin>], input: &Input, time: Duration) -> Result<Vec<Measured>, PluginError> {
    let mut full = vec![Vec::new(); plugins.len()];
    let mut empty = vec![Vec::new(); plugins.len()];
    // The first call of each pays for pages that no one has touched yet.
    for plugin in plugins {
        timed(host, plugin, input).await?;
    }
    for (input, times, share) in [(&nothing(input), &mut empty, time / 4), (input, &mut full, time - time / 4)] {
        let began = Instant::now();
        for round in 0..MOST {
            if round >= FEWEST && began.elapsed() >= share {
                break;
            }
            for (plugin, times) in plugins.iter().zip(times.iter_mut()) {
                times.push(timed(host, plugin, input).await?);
            }
        }
    }
    let measured = plugins.iter().zip(empty).zip(full).map(|((plugin, empty), full)| Measured {
        calls: full.len(),
        empty: Times::of(empty),
        call: Times::of(full),
        input_bytes: size(input),
        peak_memory_bytes: plugin.stats().peak_memory_bytes,
    });
    Ok(measured.collect())
}

/// The guest's time in one call. (A formatter's is that of all calls of an answer.)
async fn timed(host: &Host, plugin: &Plugin, input: &Input) -> Result<Duration, PluginError> {
    let before = plugin.stats().total;
    match trial::run(host, plugin, "{}", input).await {
        // What it cannot read it says at once, which is a call like another.
        Err(error) if error.failure_code().is_none() => Err(error),
        _ => Ok(plugin.stats().total.saturating_sub(before)),
    }
}

/// The sample for a kind, where an author gives none: a megabyte of prose, a question, an answer of twenty statements.
pub fn sample(kind: Kind) -> Input {
    match kind {
        Kind::Extractor => Input::Upload(Arc::new(trial::prose().into_bytes())),
        Kind::Chunker => trial::document(trial::prose()),
        Kind::Analyzer => Input::Question {
            query: "How did the net sales of Nestlé compare with those of “Novartis” in 2019?".to_owned(),
            attrs: vec![("mode".into(), "comprehensive".into())],
        },
        Kind::Formatter => {
            let source = |citation_id| Source {
                citation_id,
                document_id: format!("doc_{citation_id}"),
                name: format!("report-{citation_id}.pdf"),
                at: Span::new(0, 1),
                page: Some(citation_id),
                section: vec!["Results".into()],
                attrs: vec![("title".into(), "Annual Report".into())],
            };
            Input::Answer {
                sources: (1..=10).map(source).collect(),
                statements: (0..20).map(|statement| vec![statement % 10, (statement + 3) % 10]).collect(),
            }
        }
    }
}

/// The same with next to nothing in it.
fn nothing(input: &Input) -> Input {
    match input {
        Input::Upload(_) => Input::Upload(Arc::default()),
        Input::Document(_) => Input::Document(Arc::default()),
        Input::Question { .. } => Input::Question {
            query: "?".to_owned(),
            attrs: Vec::new(),
        },
        Input::Answer { .. } => Input::Answer {
            sources: Vec::new(),
            statements: Vec::new(),
        },
    }
}

fn size(input: &Input) -> u64 {
    let bytes = match input {
        Input::Upload(bytes) => bytes.len(),
        Input::Document(document) => document.text.len(),
        Input::Question { query, .. } => query.len(),
        Input::Answer { sources, statements } => sources.len() + statements.len(),
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let times = Times::of((1..=200).rev().map(Duration::from_micros).collect());
        assert_eq!((times.p50.as_micros(), times.p99.as_micros()), (100, 198));
        assert_eq!(Times::of(vec![Duration::from_secs(1)]).p99, Duration::from_secs(1));
        assert_eq!(Times::of(Vec::new()), Times::default());
    }
}
