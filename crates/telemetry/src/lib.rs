//! Telemetry of a running server: its log, its metrics and its traces.
//!
//! Every crate records into it. [`catalogue`] lists the metrics and their meaning.

pub mod catalogue;
mod exposition;
mod log;
mod metric;
mod process;
mod recorder;
mod settings;
mod stage;
mod throttle;
pub mod trace;

pub use exposition::to_json;
pub use log::{LogLevel, TelemetryError, init};
pub use metric::{Counter, Description, Gauge, Held, Histogram, MetricKind};
pub use process::observe_process;
pub use recorder::{aggregate_histograms, install, render};
pub use settings::{LogFormat, LogSettings, TelemetrySettings};
pub use stage::{Pipeline, Stage, stage, traced};
pub use throttle::Throttle;
