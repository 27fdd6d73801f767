//! What the tests of the whole server share: a real server process, clients that know nothing of the
//! server's code, and files of known content.

pub mod api;
pub mod collector;
pub mod disk;
pub mod files;
pub mod guide;
pub mod models;
pub mod moto;
pub mod postgres;
pub mod process;
pub mod python;
pub mod qdrant;
pub mod qdrant_double;
pub mod query;
pub mod raw;
pub mod shape;
pub mod socket;
pub mod tokens;
pub mod upstream;

pub use api::{Api, Reply};
pub use process::Server;
pub use query::{Answered, answered};
pub use shape::{Is, has};
pub use socket::Socket;

use std::future::Future;
use std::time::Duration;

/// Nothing that a test waits for takes this long, however busy the machine is (documents give way to all else there): a wait that does
/// has failed.
pub const PATIENCE: Duration = Duration::from_secs(420);

/// Waits for `work`; fails the test, naming `what` it waited for, if that never comes.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("waited {} s in vain for {what}", PATIENCE.as_secs()),
    }
}
