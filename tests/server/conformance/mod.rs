//! What `docs/websocket-guide.md` and `docs/protocol.md` say, case by case. `rules.rs` holds that there is a case for every rule.

mod collections;
mod connections;
mod guide;
mod monitor;
mod rules;
mod upload;
