//! Requests and their budgets: what a request takes of them, what its answer says of that, and what it holds until its
//! last byte is sent.

use super::call::Call;
use super::respond::{Body, Failure, Reply};
use crate::limits::{Budget, Counted, Refused, Standing};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Header fields as in draft-ietf-httpapi-ratelimit-headers-06, which most clients know.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A request that its client's limits allow.
pub(super) struct Admitted {
    standing: Option<Standing>,
    place: Option<Counted>,
}

impl Admitted {
    /// Takes from the client's budget, and for a query a place.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED`, with `Retry-After` and `RateLimit-*`.
    pub fn new(call: &Call, budget: Budget) -> Result<Self, Failure> {
        let limits = &call.shared.limits;
        let standing = limits.take(budget, &call.subject, call.address).map_err(refusal)?;
        let place = match budget {
            Budget::Query => limits.query(&call.subject, call.address).map_err(refusal)?,
            Budget::Request | Budget::Upload => None,
        };
        Ok(Self { standing, place })
    }

    /// The answer, which says where the client stands, and keeps its place until the body has ended.
    pub fn pass(self, reply: Result<Reply, Failure>) -> Result<Reply, Failure> {
        let Self { standing, place } = self;
        match reply {
            Ok(mut reply) => {
                if let Some(standing) = standing {
                    reply.headers_mut().extend(fields(standing));
                }
                Ok(match place {
                    Some(place) => reply.map(|body| Holding { body, _place: place }.boxed_unsync()),
                    None => reply,
                })
            }
            Err(failure) => Err(with_standing(failure, standing)),
        }
    }
}

fn refusal(refused: Refused) -> Failure {
    with_standing((*refused.error).into(), refused.standing)
}

/// Adds the `RateLimit-*` fields to a failure.
fn with_standing(failure: Failure, standing: Option<Standing>) -> Failure {
    standing
        .into_iter()
        .flat_map(fields)
        .filter_map(|(name, value)| Some((name?, value)))
        .fold(failure, |failure, (name, value)| failure.header(name, value))
}

fn fields(standing: Standing) -> HeaderMap {
    let policy = HeaderValue::from_str(&format!("{};w=60", standing.limit)).unwrap_or(HeaderValue::from_static("60"));
    HeaderMap::from_iter([
        (LIMIT, HeaderValue::from(standing.limit)),
        (REMAINING, HeaderValue::from(standing.remaining)),
        (RESET, HeaderValue::from(standing.reset)),
        (POLICY, policy),
    ])
}

/// A body that holds its query's place: a stream goes on long after its head was sent.
struct Holding {
    body: Body,
    _place: Counted,
}

impl hyper::body::Body for Holding {
    type Data = Bytes;
    type Error = super::respond::BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
