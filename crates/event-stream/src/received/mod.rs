//! What clients send is bounded: each message in size and time, and the bytes of all that are being
//! received, of a connection and of the server.
//!
//! This stands behind the guard, so that nothing is held for those who are refused.

mod body;
mod prefixes;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use access::{ByteBudget, HeldBytes};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    guard::{Rule, rule},
    status::Refusal,
    telemetry::StreamMetrics,
};

use body::Received;

/// What a call costs by itself, as long as its client is still to send something.
const CALL_BYTES: u64 = 4 * 1024;
/// Calls that nobody needs a token for may hold this part of all bytes, so that they leave the rest
/// to others.
const OPEN_PART: u64 = 16;
/// At most this many bytes of a message of a call without a rule. There is no such call, or whoever
/// serves it asks nobody who they are.
const OTHER_BYTES_MAX: usize = 64 * 1024;

/// The bytes that one connection may hold.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionBytes {
    of_known: ByteBudget,
    of_anybody: ByteBudget,
}

/// The bytes that the connections of a server may hold.
#[derive(Debug, Clone)]
pub(crate) struct ServerBytes {
    of_known: ByteBudget,
    of_anybody: ByteBudget,
    connection_bytes_max: u64,
}

impl ServerBytes {
    pub(crate) fn new(server: ByteBudget, connection_bytes_max: u64) -> Self {
        let of_anybody = server.part("server", server.bytes_max() / OPEN_PART);
        Self {
            of_known: server,
            of_anybody,
            connection_bytes_max,
        }
    }

    pub(crate) fn of_connection(&self) -> ConnectionBytes {
        let bytes_max = self.connection_bytes_max;
        ConnectionBytes {
            of_known: self.of_known.part("connection", bytes_max),
            of_anybody: self.of_anybody.part("connection", bytes_max / OPEN_PART),
        }
    }
}

/// The layer.
#[derive(Debug, Clone)]
pub(crate) struct Bounded {
    /// How long a client may take over a message.
    pub(crate) message_timeout: Duration,
    pub(crate) metrics: Arc<StreamMetrics>,
}

/// What holds for the messages of a call.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// Name of the call among the refusals that are counted.
    method: &'static str,
    bytes_max: usize,
    is_stream: bool,
    is_open: bool,
}

impl Terms {
    fn of(path: &str) -> Self {
        let Some(rule) = rule(path) else {
            return Self {
                method: "other",
                bytes_max: OTHER_BYTES_MAX,
                is_stream: false,
                is_open: false,
            };
        };
        Self {
            method: method(&rule),
            bytes_max: rule.message_bytes_max,
            is_stream: rule.is_client_stream,
            is_open: rule.scope.is_none(),
        }
    }
}

/// Requests to publish are counted alike, however they come.
fn method(rule: &Rule) -> &'static str {
    match rule.path.rsplit('/').next() {
        Some("PublishStream") => "Publish",
        method => method.unwrap_or(rule.path),
    }
}

impl<S> Layer<S> for Bounded {
    type Service = BoundedService<S>;

    fn layer(&self, inner: S) -> BoundedService<S> {
        let bounds = self.clone();
        BoundedService { inner, bounds }
    }
}

/// A service whose requests are bounded.
#[derive(Debug, Clone)]
pub(crate) struct BoundedService<S> {
    inner: S,
    bounds: Bounded,
}

impl BoundedService<()> {
    fn refuse(metrics: &StreamMetrics, terms: &Terms, refusal: Refusal) -> Status {
        metrics.refused(terms.method, refusal.reason());
        refusal.into_status()
    }
}

impl<S> Service<Request<Body>> for BoundedService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.body().is_end_stream() {
            return Box::pin(self.inner.call(request));
        }
        let terms = Terms::of(request.uri().path());
        let connection = request.extensions().get::<ConnectionBytes>();
        let budget = connection.map(|bytes| match terms.is_open {
            true => &bytes.of_anybody,
            false => &bytes.of_known,
        });
        let held = match budget.map(|budget| budget.hold(CALL_BYTES)).transpose() {
            Ok(held) => held.map(Arc::new),
            Err(spent) => {
                let refusal = Refusal::bytes_spent(spent);
                let status = BoundedService::refuse(&self.bounds.metrics, &terms, refusal);
                return Box::pin(std::future::ready(Ok(status.into_http())));
            }
        };
        let bounds = self.bounds.clone();
        let bounded = held.clone();
        let answering = self
            .inner
            .call(request.map(move |body| Body::new(Received::new(body, terms, bounds, bounded))));
        Box::pin(async move {
            let response = answering.await?;
            Ok(match held {
                // What anybody may ask for costs something for as long as it is answered.
                Some(held) if terms.is_open => {
                    response.map(|inner| Body::new(Holding { inner, _held: held }))
                }
                _ => response,
            })
        })
    }
}

/// An answer, and what is held until it has ended.
struct Holding {
    inner: Body,
    _held: Arc<HeldBytes>,
}

impl http_body::Body for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
