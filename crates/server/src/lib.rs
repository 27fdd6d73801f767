//! The network face: the accept loop, HTTP routes and WebSocket sessions.
//!
//! It knows HTTP and frames and nothing of retrieval: everything else is [`ibid_engine::Engine`], spoken to in the plain data of
//! [`ibid_protocol`].

mod access;
mod configuration;
mod connection;
mod context;
mod http;
mod limits;
mod listen;
mod monitor;
mod settings;
mod stall;
mod tls;
mod tuning;
mod ui;
mod ws;

pub use configuration::Configuration;
pub use limits::{Forwarding, LimitSettings, Proxies};
pub use listen::{ServeError, Server, check};
pub use monitor::AlertLevels;
pub use settings::ServerSettings;
pub use tls::{TlsError, TlsFiles, check as check_tls};
pub use tuning::ServerTuning;
