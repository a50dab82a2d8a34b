//! The `EventPublisher` service.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use access::{Access, ByteBudget, Denied, HeldBytes};
use atlas_events::{
    Draft, Event, MESSAGE_BYTES_MAX, PublishResponse, PublishStreamResponse, Violation,
};
use bytes::Bytes;
use event_log::{EventLog, LogError, PendingAppend, Receipt, Sequence};
use futures::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
    stream,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService},
};
use tower::Service;
use trace_context::TraceContext;
use tracing::{Instrument, Span};

use crate::{
    guard::{self, Bounds, StreamPermit},
    publishing::{
        acknowledgements::{Acknowledgements, response},
        batch::{BatchCodec, IncomingBatch},
    },
    received::ConnectionBytes,
    serve::stalled::{Cut, Lifetime, PUBLISHING_GRACE},
    status::{Refusal, refusal_of_unreadable, unreadable},
    telemetry::StreamMetrics,
    trace::{self, Tracing},
};

#[derive(Debug, Clone)]
pub(crate) struct PublisherService {
    pub(crate) log: EventLog,
    pub(crate) unacknowledged_max: usize,
    /// How long a call waits for room in the queue, and how long a request of a stream does.
    pub(crate) wait_max: Duration,
    pub(crate) stream_wait_max: Duration,
    pub(crate) metrics: Arc<StreamMetrics>,
    pub(crate) stop: CancellationToken,
    pub(crate) tracing: Arc<Tracing>,
}

/// A batch that was queued.
pub(crate) struct Queued {
    pub(crate) pending: PendingAppend,
    pub(crate) span: Span,
    pub(crate) taken_in: Instant,
}

/// Who publishes.
pub(crate) struct Client {
    pub(crate) access: Access,
    /// The trace that the call belongs to.
    pub(crate) cause: Option<TraceContext>,
    /// What may be held for the connection; absent where it has no bound.
    bytes: Option<ByteBudget>,
}

impl Client {
    fn of<T>(request: &Request<T>) -> Self {
        Self {
            access: guard::access(request.extensions()),
            cause: trace::cause_of(request.metadata()),
            bytes: ConnectionBytes::of_known(request.extensions()),
        }
    }

    /// Holds what drafts take in memory.
    fn hold(&self, drafts: &[Draft]) -> Result<Option<HeldBytes>, Refusal> {
        let bytes = drafts.iter().map(Draft::held_bytes).sum::<usize>() as u64;
        let held = self.bytes.as_ref().map(|budget| budget.hold(bytes));
        held.transpose().map_err(Refusal::bytes_spent)
    }
}

/// The answers of a publish stream.
type PublishStreamAnswers =
    Pin<Box<dyn Stream<Item = Result<PublishStreamResponse, Status>> + Send>>;

/// A batch that is queued once there is room for it.
pub(crate) type Entering = BoxFuture<'static, Result<Queued, Refusal>>;

impl PublisherService {
    /// Checks a batch; the future queues it behind all that came before. Until the queue has it, and
    /// counts it, what was built from it counts for the publisher. A batch of a stream belongs to its
    /// sequence.
    pub(crate) fn check_in(
        &self,
        received: IncomingBatch,
        publisher: &Client,
        span: Span,
        sequence: Option<Sequence>,
    ) -> Result<Entering, Refusal> {
        let taken_in = Instant::now();
        let context = trace::stored_context(publisher.cause.as_ref(), &span);
        let checked = received.events.and_then(|mut events| {
            trace::complete(&mut events, context.as_deref());
            let drafts = self.check(events)?;
            let held = publisher.hold(&drafts)?;
            Ok((drafts, held))
        });
        let (drafts, held) = checked.map_err(|refusal| self.refused(refusal, &span))?;
        let (service, access) = (self.clone(), publisher.access.clone());
        // A unary call is refused with the time at which to retry; a stream is slowed down.
        let (grant_wait_max, wait_max) = match sequence {
            Some(_) => (self.stream_wait_max, self.stream_wait_max),
            None => (Duration::ZERO, self.wait_max),
        };
        Ok(Box::pin(async move {
            let _held = held;
            grant(&access, &drafts, grant_wait_max)
                .await
                .map_err(|denied| service.refused(Refusal::denied(denied), &span))?;
            let queued = service.log.enqueue_within(drafts, wait_max, sequence);
            match queued.instrument(span.clone()).await {
                Ok(pending) => Ok(Queued {
                    pending,
                    span,
                    taken_in,
                }),
                Err(failure) => Err(service.not_stored(failure, &span)),
            }
        }))
    }

    /// What to answer once a queued batch is durable, or could not be stored.
    pub(crate) fn response(
        &self,
        stored: Result<Vec<Receipt>, LogError>,
        span: &Span,
        taken_in: Instant,
    ) -> Result<PublishResponse, Refusal> {
        let receipts = stored.map_err(|failure| self.not_stored(failure, span))?;
        self.metrics.publish_seconds.record(taken_in.elapsed());
        Ok(response(receipts, self.log.log_id()))
    }

    fn not_stored(&self, failure: LogError, span: &Span) -> Refusal {
        let refusal = span.in_scope(|| Refusal::from_log(failure, "storing a batch"));
        self.refused(refusal, span)
    }

    fn refused(&self, refusal: Refusal, span: &Span) -> Refusal {
        trace_context::failed(span, &refusal.reason());
        self.metrics.refused("Publish", refusal.reason());
        refusal
    }

    fn check(&self, events: Vec<Event>) -> Result<Vec<Draft>, Refusal> {
        if events.is_empty() {
            return Err(Refusal::invalid(Violation::new("events", "is empty")));
        }
        let acceptance = self.log.acceptance();
        let drafts = events.into_iter().enumerate().map(|(index, event)| {
            Draft::new(event, &acceptance)
                .map_err(|violation| Refusal::invalid(violation.within(format!("events[{index}]"))))
        });
        drafts.collect()
    }
}

/// Whether a client may publish a batch. If it only comes too soon, it is waited with.
async fn grant(access: &Access, drafts: &[Draft], wait_max: Duration) -> Result<(), Denied> {
    let until = Instant::now() + wait_max;
    loop {
        let Err(denied) = access.publish(drafts, |index| format!("events[{index}]")) else {
            return Ok(());
        };
        match denied.retry_after() {
            Some(pause) if Instant::now() + pause <= until => tokio::time::sleep(pause).await,
            _ => return Err(denied),
        }
    }
}

impl PublisherService {
    async fn publish(&self, request: Request<Bytes>) -> Result<Response<PublishResponse>, Status> {
        let client = Client::of(&request);
        let received = IncomingBatch::read(&request.into_inner(), &client.access)?;
        let span = self
            .tracing
            .publish(client.cause.as_ref(), received.count());
        let entering = self.check_in(received, &client, span, None);
        let entering = entering.map_err(Refusal::into_status)?;
        let queued = entering.await.map_err(Refusal::into_status)?;
        let stored = queued.pending.await;
        let response = self
            .response(stored, &queued.span, queued.taken_in)
            .map_err(Refusal::into_status)?;
        Ok(Response::new(response))
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<PublishStreamAnswers>, Status> {
        let stop = self.stop.clone();
        let client = Client::of(&request);
        let access = client.access.clone();
        let bounds = Bounds {
            cut: Cut::of(request.extensions()),
            stop: stop.clone(),
            lifetime: Lifetime::Unbounded,
            grace: PUBLISHING_GRACE,
        };
        let permit = StreamPermit::of(access.clone(), bounds).map_err(Refusal::into_status)?;
        let StreamPermit { place, ended } = permit;
        let has_ended = CancellationToken::new();
        let ended = {
            let has_ended = has_ended.clone();
            ended.map(move |()| has_ended.cancel())
        };
        // A publisher that has nothing to send would keep its connection open for ever.
        let until = future::select(stop.clone().cancelled_owned().boxed(), ended);
        let requests = request.into_inner().map(move |encoded| {
            let batch = encoded.and_then(|encoded| IncomingBatch::read(&encoded, &access));
            batch.map_err(|status| unreadable(status, MESSAGE_BYTES_MAX))
        });
        let requests = requests.take_until(until);
        let ending = stream::once(async move {
            let _held_until_here = place;
            match (has_ended.is_cancelled(), stop.is_cancelled()) {
                (true, _) => Some(Err(Refusal::denied(Denied::Ended).into_status())),
                (false, true) => Some(Err(stopping())),
                (false, false) => None,
            }
        });
        let acknowledgements = Acknowledgements::new(requests, client, self.clone());
        Ok(Response::new(Box::pin(
            acknowledgements.chain(ending.filter_map(future::ready)),
        )))
    }
}

/// How a publish stream ends that the server ends, once all it has read is answered.
fn stopping() -> Status {
    let message = "the server is stopping; publish what was not acknowledged elsewhere, with the \
                   same event ids";
    Refusal::new(Code::Unavailable, "SHUTTING_DOWN", message).into_status()
}

/// The service `atlas.events.EventPublisher`, by hand where the generated one would build a message
/// before it is known what that takes. The statuses that the transport makes itself are put into the
/// contract's words, and counted.
#[derive(Debug, Clone)]
pub(crate) struct Publisher(Arc<PublisherService>);

impl Publisher {
    pub(crate) fn new(service: PublisherService) -> Self {
        Self(Arc::new(service))
    }
}

impl NamedService for Publisher {
    const NAME: &'static str = "atlas.events.EventPublisher";
}

impl Service<http::Request<Body>> for Publisher {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move {
            let metrics = Arc::clone(&service.metrics);
            let response = route(service, request).await;
            let status = Status::from_header_map(response.headers());
            let refusal =
                status.and_then(|status| refusal_of_unreadable(&status, MESSAGE_BYTES_MAX));
            Ok(match refusal {
                Some(refusal) => {
                    metrics.refused("Publish", refusal.reason());
                    refusal.into_status().into_http()
                }
                None => response,
            })
        })
    }
}

async fn route(
    service: Arc<PublisherService>,
    request: http::Request<Body>,
) -> http::Response<Body> {
    match request.uri().path() {
        "/atlas.events.EventPublisher/Publish" => {
            let publish = tower::service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { service.publish(request).await }
            });
            let codec = BatchCodec::<PublishResponse>::default();
            let mut server = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            server.unary(publish, request).await
        }
        "/atlas.events.EventPublisher/PublishStream" => {
            let publish = tower::service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { service.publish_stream(request).await }
            });
            let codec = BatchCodec::<PublishStreamResponse>::default();
            let mut server = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            server.streaming(publish, request).await
        }
        path => Status::unimplemented(format!("there is no method {path}")).into_http(),
    }
}
