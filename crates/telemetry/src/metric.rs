//! Metrics as constants: a name, what it means, and the labels that it has, so that none can be recorded under a
//! misspelt name or without a label.

use metrics::{Key, Label, Level, Metadata, SharedString, with_recorder};

const METADATA: Metadata<'static> = Metadata::new("ibid", Level::INFO, None);

/// What a metric counts like.
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
    /// The type as Prometheus names it.
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
    /// As Prometheus sees it.
    pub name: &'static str,
    /// How it counts.
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

/// A number of events, with `N` labels. Label values come from a closed set, or from what an operator installs: never
/// from what a client sends.
#[derive(Debug)]
pub struct Counter<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Counter<N> {
    /// A counter. Its name ends in `_total`.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels }
    }

    /// The counter of these label values, in the order of its labels. Keep it where it is counted often: looking it up
    /// costs more than counting.
    pub fn with<V: Into<SharedString>>(&self, values: [V; N]) -> metrics::Counter {
        let key = key(self.name, &self.labels, values);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
    }

    /// As the reference lists it.
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
    /// The one counter that has no labels.
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
    /// A gauge.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels }
    }

    /// The gauge of these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; N]) -> metrics::Gauge {
        let key = key(self.name, &self.labels, values);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    /// Counts one more until what is returned is dropped.
    pub fn hold<V: Into<SharedString>>(&self, values: [V; N]) -> Held {
        let gauge = self.with(values);
        gauge.increment(1.0);
        Held(gauge)
    }

    /// As the reference lists it.
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
    /// The one gauge that has no labels.
    pub fn only(&self) -> metrics::Gauge {
        self.with::<&'static str>([])
    }
}

/// One more in a gauge, for as long as it lives.
#[must_use = "it counts until it is dropped"]
pub struct Held(metrics::Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Values by size, with `N` labels.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    buckets: &'static [f64],
}

impl<const N: usize> Histogram<N> {
    /// A histogram with these upper bounds, rising.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N], buckets: &'static [f64]) -> Self {
        Self {
            name,
            help,
            labels,
            buckets,
        }
    }

    /// The histogram of these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; N]) -> metrics::Histogram {
        let key = key(self.name, &self.labels, values);
        with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }

    /// As the reference lists it.
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
    /// The one histogram that has no labels.
    pub fn only(&self) -> metrics::Histogram {
        self.with::<&'static str>([])
    }
}
