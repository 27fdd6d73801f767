//! Bounds what the form's reader holds while it looks for the next part, which it does in memory: without this, a part
//! whose head never ends would be held up to the limit of the whole request.

use bytes::Bytes;
use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt};
use multer::{Field, Multipart};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};

/// Why a body cannot be read on.
pub(super) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that may come before a part has begun: what is before the first delimiter, or the head of a part.
const MOST_HEAD: usize = 256 << 10;

/// Bytes after which the reader must look at what it has before it gets more.
const AT_ONCE: usize = 64 << 10;

/// The error of a form in which no part begins.
#[derive(Debug, thiserror::Error)]
#[error("the head of a part has more than {MOST_HEAD} bytes")]
pub(super) struct HeadTooLong;

/// Counts the bytes of a form that come while a part is looked for.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<AtomicUsize>);

/// The count while the content of a part is read.
const UNCOUNTED: usize = usize::MAX;

impl Gate {
    /// A gate that counts nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(UNCOUNTED)))
    }

    /// Returns the next part of the form, whose body must be [guarded](Self::guard) by this gate.
    pub async fn next_part<'f>(&self, form: &mut Multipart<'f>) -> multer::Result<Option<Field<'f>>> {
        self.0.store(0, Ordering::Relaxed);
        let part = form.next_field().await;
        self.0.store(UNCOUNTED, Ordering::Relaxed);
        part
    }

    /// Returns the body, which fails when too many bytes came without a part among them.
    pub fn guard<E, S>(&self, mut body: S) -> impl Stream<Item = Result<Bytes, Broken>> + use<E, S>
    where
        E: Into<Broken>,
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let Gate(count) = self.clone();
        let mut at_once = 0;
        poll_fn(move |context| {
            if at_once >= AT_ONCE {
                at_once = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = ready!(body.poll_next_unpin(context));
            Poll::Ready(next.map(|piece| {
                let piece = piece.map_err(Into::into)?;
                at_once += piece.len();
                let before = count.load(Ordering::Relaxed);
                if before == UNCOUNTED {
                    return Ok(piece);
                }
                // The head may be within a piece that is larger than it may be itself: what counts is what came before.
                if before >= MOST_HEAD {
                    return Err(HeadTooLong.into());
                }
                count.store(before.saturating_add(piece.len()), Ordering::Relaxed);
                Ok(piece)
            }))
        })
    }
}
