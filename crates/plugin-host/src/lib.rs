//! Plugins: WebAssembly components that extract, chunk, analyze and cite, each in a sandbox.
//!
//! The contract with authors is the WIT package in `wit/`. [`Host`] compiles components and runs their calls, [`Registry`] finds them by
//! name and version.
//!
//! A plugin has access to its own call only: no WASI, no clock, no files, no network. Each call gets a new instance, so that earlier calls
//! do not affect its result, and ends at its [`Budget`]. Guests, and the host functions that they call, run on blocking threads, never on
//! the async runtime's: counting tokens and reading an upload block, and the kernel preempts a thread that spins, where cooperative yields
//! would only slow the sockets beside it. Dropping the future of a call stops the guest within a few milliseconds.

mod error;
mod host;
mod inspect;
mod manifest;
mod registry;
mod store;

pub use error::{PluginError, PluginRef, Reason};
pub use host::{
    Blob, Budget, FileBlob, Formatter, GuestLine, Host, HostSettings, MAX_COMPONENT_BYTES, Piece, Plan, Plugin, Provided, Quarantine,
    QuarantineChange, Search, Source, StateChange, Stats, TextEmbedder, TokenCounter,
};
pub use inspect::{CONTRACT_VERSION, Contract, GRANTABLE, Interface, inspect};
pub use manifest::{Kind, Manifest, ManifestError, SECTION};
pub use registry::{LoadFailure, Registry};
pub use store::{PluginStore, StoreError, digest_of};
