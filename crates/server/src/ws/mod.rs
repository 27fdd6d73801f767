//! WebSocket sessions: the upgrade, frames, and what each socket says.

mod collections;
mod events;
mod frames;
mod message;
mod monitor;
mod outbox;
mod query;
mod running;
mod session;
mod upgrade;
mod upload;

pub(super) use upgrade::ENDPOINTS;
