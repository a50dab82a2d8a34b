//! What clients send is bounded: each message in size and time, and the bytes of all that are being
//! received, of a connection, of a caller and of the server.
//!
//! This stands behind the guard, so that nothing is held for those who are refused.

mod body;
mod open;
mod prefixes;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use access::{ByteBudget, Shares};
use futures::future::BoxFuture;
use http::{Extensions, Request, Response};
use http_body::Body as _;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    guard::{self, Rule, rule},
    status::Refusal,
    telemetry::StreamMetrics,
};

pub(crate) use open::OpenStreams;

use body::Received;
use open::OpenAnswer;

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
    of_callers: Shares,
    of_anybody: ByteBudget,
}

impl ConnectionBytes {
    /// What whoever is known to have made a request may hold, on the connection that it came by.
    pub(crate) fn of_known(extensions: &Extensions) -> Option<ByteBudget> {
        let bytes = extensions.get::<Self>()?;
        let of_caller = bytes.of_callers.of(guard::share(extensions));
        Some(bytes.of_known.and(&of_caller))
    }

    /// What those who need no token may.
    fn of_anybody(extensions: &Extensions) -> Option<ByteBudget> {
        let bytes = extensions.get::<Self>();
        bytes.map(|bytes| bytes.of_anybody.clone())
    }
}

/// The bytes that the connections of a server may hold.
#[derive(Debug, Clone)]
pub(crate) struct ServerBytes {
    of_callers: Shares,
    of_anybody: ByteBudget,
    connection_bytes_max: u64,
}

impl ServerBytes {
    pub(crate) fn new(of_callers: Shares, connection_bytes_max: u64) -> Self {
        let server = of_callers.whole();
        let of_anybody = server.part("server", server.bytes_max() / OPEN_PART);
        Self {
            of_callers,
            of_anybody,
            connection_bytes_max,
        }
    }

    pub(crate) fn of_connection(&self) -> ConnectionBytes {
        let bytes_max = self.connection_bytes_max;
        ConnectionBytes {
            of_known: ByteBudget::new("connection", bytes_max),
            of_callers: self.of_callers.clone(),
            of_anybody: self.of_anybody.part("connection", bytes_max / OPEN_PART),
        }
    }
}

/// The layer.
#[derive(Debug, Clone)]
pub(crate) struct Bounded {
    /// How long a client may take over a message.
    pub(crate) message_timeout: Duration,
    /// Streams for which no token is needed.
    pub(crate) open_streams: OpenStreams,
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
    /// Whether it is open and answered for as long as its client likes.
    is_open_stream: bool,
}

impl Terms {
    fn of(path: &str) -> Self {
        let Some(rule) = rule(path) else {
            return Self {
                method: "other",
                bytes_max: OTHER_BYTES_MAX,
                is_stream: false,
                is_open: false,
                is_open_stream: false,
            };
        };
        Self {
            method: method(&rule),
            bytes_max: rule.message_bytes_max,
            is_stream: rule.is_client_stream,
            is_open: rule.scope.is_none(),
            is_open_stream: rule.is_open_stream,
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
        let budget = match terms.is_open {
            true => ConnectionBytes::of_anybody(request.extensions()),
            false => ConnectionBytes::of_known(request.extensions()),
        };
        let held = budget.map(|budget| budget.hold(CALL_BYTES)).transpose();
        let held = held.map_err(Refusal::bytes_spent);
        let admitted = held.and_then(|held| {
            let begin = || self.bounds.open_streams.begin(request.extensions());
            let stream = terms.is_open_stream.then(begin).transpose()?;
            Ok((held.map(Arc::new), stream))
        });
        let (held, stream) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
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
            Ok(match terms.is_open {
                // What anybody may ask for costs something for as long as it is answered.
                true => response.map(|inner| Body::new(OpenAnswer::new(inner, stream, held))),
                false => response,
            })
        })
    }
}
