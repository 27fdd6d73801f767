//! Sockets that only tell: what is replayed, what happens, and how much a slow reader missed.

use super::frames::Closing;
use super::message::{self, error_frame};
use super::outbox::{Gone, Outbox};
use super::session::Conversation;
use crate::protocol::{ApiError, ErrorCode};
use futures_util::FutureExt;
use serde::Serialize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// A socket that tells events, and hears nothing.
pub(super) struct Teller {
    outbox: Outbox,
    _telling: AbortOnDropHandle<()>,
}

impl Teller {
    /// Tells, in this order: that `missed` events cannot be replayed, those of `replay`, and those that happen from
    /// now on and are `wanted`; of each what `shown` gives.
    pub fn new<T, D>(
        outbox: Outbox,
        missed: u64,
        replay: Vec<Arc<T>>,
        live: Receiver<Arc<T>>,
        wanted: impl Fn(&T) -> bool + Send + 'static,
        shown: fn(&T) -> &D,
    ) -> Self
    where
        T: Send + Sync + 'static,
        D: Serialize + Sync + 'static,
    {
        let to = outbox.clone();
        let telling = async move {
            let told = AssertUnwindSafe(tell(&to, missed, replay, live, wanted, shown))
                .catch_unwind()
                .await;
            // If it cannot be closed any more, it is.
            let _ = match told {
                Ok(Ok(())) => to.close(Closing::going_away("the server stops")).await,
                Ok(Err(Gone)) => Ok(()),
                Err(_) => {
                    tracing::error!("telling events panicked");
                    to.close_now(Closing::internal()).await
                }
            };
        };
        Self {
            outbox,
            _telling: AbortOnDropHandle::new(tokio::spawn(telling.in_current_span())),
        }
    }

    async fn refuse(&self, request_id: Option<&str>, message: &str) -> Result<(), Gone> {
        self.outbox
            .send(error_frame(request_id, ApiError::new(ErrorCode::InvalidMessage, message)))
            .await
    }
}

impl Conversation for Teller {
    async fn text(&self, text: String) -> Result<(), Gone> {
        let request_id = match message::read(&text) {
            Ok(message) => Some(message.request_id),
            Err(unreadable) => unreadable.request_id,
        };
        self.refuse(request_id.as_deref(), "This socket tells events and takes no messages.")
            .await
    }

    async fn binary(&self) -> Result<(), Gone> {
        self.refuse(None, "This socket tells events and takes no messages.").await
    }

    async fn finished(&self) {}
}

/// Ends well when nothing can happen any more.
async fn tell<T, D: Serialize + Sync>(
    to: &Outbox,
    missed: u64,
    replay: Vec<Arc<T>>,
    mut live: Receiver<Arc<T>>,
    wanted: impl Fn(&T) -> bool,
    shown: fn(&T) -> &D,
) -> Result<(), Gone> {
    if missed > 0 {
        to.send(gap(missed)).await?;
    }
    for event in replay {
        say(to, shown(&event)).await?;
    }
    loop {
        match live.recv().await {
            Ok(event) if wanted(&event) => say(to, shown(&event)).await?,
            Ok(_) => {}
            // The ring has gone round while this peer was slow: the oldest are lost, the rest follows.
            Err(RecvError::Lagged(missed)) => to.send(gap(missed)).await?,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

async fn say(to: &Outbox, event: &(impl Serialize + Sync)) -> Result<(), Gone> {
    match serde_json::to_vec(event) {
        Ok(text) => to.send(text).await,
        Err(error) => {
            tracing::error!(%error, "an event could not be written as JSON");
            Ok(())
        }
    }
}

fn gap(missed: u64) -> Vec<u8> {
    format!(r#"{{"type":"gap","data":{{"missed":{missed}}}}}"#).into_bytes()
}
