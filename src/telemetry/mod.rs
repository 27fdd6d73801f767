//! What an operator sees of a running server: its log and its metrics.
//!
//! Every layer may call it; it depends on `config` alone. Which metrics there are, and what they mean, stands in one
//! place: [`catalogue`].

pub mod catalogue;
mod exposition;
mod log;
mod metric;
mod process;
mod recorder;
mod stage;
mod throttle;

pub use exposition::to_json;
pub use log::{TelemetryError, init};
pub use metric::{Counter, Description, Gauge, Held, Histogram, MetricKind};
pub use process::observe_process;
pub use recorder::{install, keep_up, render};
pub use stage::{Pipeline, Stage, stage};
pub use throttle::Throttle;
