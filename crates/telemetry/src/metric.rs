//! Metrics as constants: a name, a help text, and labels, so that none can be recorded under a misspelt name or without a label.

use metrics::{Key, Label, Level, Metadata, SharedString, with_recorder};

const METADATA: Metadata<'static> = Metadata::new("ibid", Level::INFO, None);

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by buckets.
    Histogram,
}

impl MetricKind {
    /// Returns the type's name in Prometheus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as the reference lists it.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// One sentence, with the unit.
    pub help: &'static str,
    /// The labels that every sample has.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets; else empty.
    pub buckets: &'static [f64],
}

fn key<const N: usize, V: Into<SharedString>>(name: &'static str, labels: &[&'static str; N], values: [V; N]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .copied()
        .zip(values)
        .map(|(name, value)| Label::new(name, value))
        .collect();
    Key::from_parts(name, labels)
}

/// A counter of events, with `N` labels. Label values come from a closed set, or from what an operator installs, never from a client.
#[derive(Debug)]
pub struct Counter<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Counter<N> {
    /// Makes a counter. Its name must end in `_total`.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels }
    }

    /// Returns the counter of these label values, in the order of its labels. Keep it if it is used often: the lookup costs more than the
    /// counting.
    pub fn with<V: Into<SharedString>>(&self, values: [V; N]) -> metrics::Counter {
        let key = key(self.name, &self.labels, values);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
    }

    /// Returns the description for the reference.
    pub const fn describe(&'static self) -> Description {
        Description {
            name: self.name,
            kind: MetricKind::Counter,
            help: self.help,
            labels: &self.labels,
            buckets: &[],
        }
    }
}

impl Counter<0> {
    /// Returns the counter, which has no labels.
    pub fn only(&self) -> metrics::Counter {
        self.with::<&'static str>([])
    }
}

/// A number that goes up and down, with `N` labels.
#[derive(Debug)]
pub struct Gauge<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Gauge<N> {
    /// Makes a gauge.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels }
    }

    /// Returns the gauge of these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; N]) -> metrics::Gauge {
        let key = key(self.name, &self.labels, values);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    /// Adds one until the returned guard is dropped.
    pub fn hold<V: Into<SharedString>>(&self, values: [V; N]) -> Held {
        let gauge = self.with(values);
        gauge.increment(1.0);
        Held(gauge)
    }

    /// Returns the description for the reference.
    pub const fn describe(&'static self) -> Description {
        Description {
            name: self.name,
            kind: MetricKind::Gauge,
            help: self.help,
            labels: &self.labels,
            buckets: &[],
        }
    }
}

impl Gauge<0> {
    /// Returns the gauge, which has no labels.
    pub fn only(&self) -> metrics::Gauge {
        self.with::<&'static str>([])
    }
}

/// Adds one to a gauge for as long as it exists.
#[must_use = "it counts until it is dropped"]
pub struct Held(metrics::Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A distribution of values, with `N` labels.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    buckets: &'static [f64],
}

impl<const N: usize> Histogram<N> {
    /// Makes a histogram with these rising upper bounds.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N], buckets: &'static [f64]) -> Self {
        Self {
            name,
            help,
            labels,
            buckets,
        }
    }

    /// Returns the histogram of these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; N]) -> metrics::Histogram {
        let key = key(self.name, &self.labels, values);
        with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }

    /// Returns the description for the reference.
    pub const fn describe(&'static self) -> Description {
        Description {
            name: self.name,
            kind: MetricKind::Histogram,
            help: self.help,
            labels: &self.labels,
            buckets: self.buckets,
        }
    }
}

impl Histogram<0> {
    /// Returns the histogram, which has no labels.
    pub fn only(&self) -> metrics::Histogram {
        self.with::<&'static str>([])
    }
}
