//! What the layers need of the machine: room on a disk, notices of changed files, and the TLS provider of the process.

pub mod disk;
pub mod tls;
pub mod watch;
