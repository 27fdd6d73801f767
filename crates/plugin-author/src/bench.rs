//! Measures plugins side by side: the implementation of `ibid plugin bench`.
//!
//! The plugins are called in turn, so that other load on the machine affects all of them alike. Times are those of the guest: from the
//! instantiation to the last byte of its result, without the wait for an instance.

use super::try_plugin::{self, Input};
use ibid_plugin_host::Kind;
use ibid_plugin_host::PluginError;
use ibid_plugin_host::{Host, Plugin, Source};
use ibid_types::document::Span;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The fewest calls of each plugin, however long they take.
const FEWEST: usize = 5;
/// The most calls of each plugin.
const MOST: usize = 20_000;

/// The measurements of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The number of calls with the input.
    pub calls: usize,
    /// The time of a call with next to no input.
    pub empty: Times,
    /// The time of a call with the input.
    pub call: Times,
    /// The size of the input in bytes.
    pub input_bytes: u64,
    /// The most memory that a call had, in bytes.
    pub peak_memory_bytes: u64,
}

impl Measured {
    /// Returns the bytes of input per second.
    pub fn bytes_per_second(&self) -> f64 {
        self.input_bytes as f64 / self.call.p50.as_secs_f64().max(1e-9)
    }
}

/// The distribution of calls' times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
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

/// Calls each of `plugins` in turn over `input` for about as long as `time`, with each plugin's default settings.
///
/// # Errors
/// The first error of a call.
pub async fn bench(host: &Host, plugins: &[Arc<Plugin>], input: &Input, time: Duration) -> Result<Vec<Measured>, PluginError> {
    let mut full = vec![Vec::new(); plugins.len()];
    let mut empty = vec![Vec::new(); plugins.len()];
    // The first call of each touches new pages of memory.
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

/// Returns the guest's time in one call. (For a formatter, the time of all calls of an answer.)
async fn timed(host: &Host, plugin: &Plugin, input: &Input) -> Result<Duration, PluginError> {
    let before = plugin.stats().total;
    match try_plugin::run(host, plugin, "{}", input).await {
        // A plugin that cannot read the input reports that at once, which counts as a call.
        Err(error) if error.failure_code().is_none() => Err(error),
        _ => Ok(plugin.stats().total.saturating_sub(before)),
    }
}

/// Returns a sample for a kind, if the author has none: a megabyte of prose, a question, an answer of twenty statements.
pub fn sample(kind: Kind) -> Input {
    match kind {
        Kind::Extractor => Input::Upload(Arc::new(try_plugin::prose().into_bytes())),
        Kind::Chunker => try_plugin::document(try_plugin::prose()),
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

/// Returns the same kind of input with next to nothing in it.
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
