//! What an operator sees of a running server: its log, its metrics and its traces.
//!
//! Every layer may call it; it depends on `config`, `secret` and `tls` alone. Which metrics there are, and what they mean, stands in one
//! place: [`catalogue`].

pub mod catalogue;
mod exposition;
mod log;
mod metric;
mod process;
mod recorder;
mod stage;
mod throttle;
pub mod trace;

pub use exposition::to_json;
pub use log::{LogLevel, TelemetryError, init};
pub use metric::{Counter, Description, Gauge, Held, Histogram, MetricKind};
pub use process::observe_process;
pub use recorder::{install, keep_up, render};
pub use stage::{Pipeline, Stage, stage, traced};
pub use throttle::Throttle;
