//! What the layers need of the machine: room on a disk, notices of changed files, and the TLS provider of the process.

pub mod space;
pub mod tls;
pub mod watch;
