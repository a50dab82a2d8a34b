//! The `EventStream` service, by hand where the generated one would encode each event anew.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use access::{Access, Denied, Shares};
use atlas_events::{
    Clock, EventFilter, SubscriptionRequest, TimeRangeRequest, Timestamp, Violation, WantedEvents,
};
use event_log::{Delivery, EventLog, Follower, RangeRead};
use futures::{Stream, StreamExt, future::BoxFuture, stream};
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body, server::NamedService};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::{
    frames::{self, Frame},
    guard::{self, Bounds, StreamPermit},
    reading::{
        consumers::{Admission, Consumers},
        request::{Range, Start, Subscribe},
        subscription::{Subscription, lifetime_on},
        untaken::Untaken,
    },
    serve::stalled::{Cut, Lifetime, READING_GRACE},
    status::Refusal,
    telemetry::StreamMetrics,
    trace::{Delivering, Tracing},
};

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) log: EventLog,
    pub(crate) consumers: Arc<Consumers>,
    pub(crate) metrics: Arc<StreamMetrics>,
    pub(crate) clock: Clock,
    pub(crate) stream_age_max: Option<Duration>,
    pub(crate) answers: Shares,
    pub(crate) stop: CancellationToken,
    pub(crate) tracing: Arc<Tracing>,
}

/// The service `atlas.events.EventStream`.
#[derive(Debug, Clone)]
pub(crate) struct EventStreamService(pub(crate) Arc<Server>);

impl NamedService for EventStreamService {
    const NAME: &'static str = "atlas.events.EventStream";
}

impl Service<Request<Body>> for EventStreamService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(route(server, request)
                .await
                .unwrap_or_else(Status::into_http))
        })
    }
}

async fn route(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let access = guard::access(request.extensions());
    let cut = Cut::of(request.extensions());
    let untaken = Untaken::of(&server.answers, request.extensions());
    match request.uri().path() {
        "/atlas.events.EventStream/SubscribeToEvents" => {
            let request: SubscriptionRequest = frames::read_message(request).await?;
            let metrics = Arc::clone(&server.metrics);
            let subscription = subscribe(server, (access, cut, untaken), request)
                .await
                .map_err(|refusal| {
                    metrics.refused("SubscribeToEvents", refusal.reason());
                    refusal.into_status()
                })?;
            Ok(frames::response(subscription.into_frames()))
        }
        "/atlas.events.EventStream/GetEventsSince" => {
            let request: TimeRangeRequest = frames::read_message(request).await?;
            range(
                server,
                (access, cut, untaken),
                "GetEventsSince",
                Range::since(request),
            )
            .await
        }
        "/atlas.events.EventStream/GetEventsBetween" => {
            let request: TimeRangeRequest = frames::read_message(request).await?;
            range(
                server,
                (access, cut, untaken),
                "GetEventsBetween",
                Range::between(request),
            )
            .await
        }
        "/atlas.events.EventStream/GetLatestEventTime" => {
            let answer = tower::service_fn(move |_: tonic::Request<()>| {
                let (server, access) = (Arc::clone(&server), access.clone());
                async move {
                    latest_event_time(&server, &access)
                        .await
                        .map(tonic::Response::new)
                }
            });
            let codec = ProstCodec::<Timestamp, ()>::default();
            Ok(tonic::server::Grpc::new(codec).unary(answer, request).await)
        }
        path => Err(Status::unimplemented(format!("there is no method {path}"))),
    }
}

async fn subscribe(
    server: Arc<Server>,
    (access, cut, untaken): (Access, Cut, Untaken),
    request: SubscriptionRequest,
) -> Result<Subscription, Refusal> {
    let request = Subscribe::try_from(request).map_err(Refusal::invalid)?;
    let log_id = server.log.log_id().to_string();
    if !request.log_id.is_empty() && request.log_id != log_id {
        let message = format!("this log is {log_id}, not the one that the cursor belongs to");
        let refusal = Refusal::new(Code::FailedPrecondition, "OTHER_LOG", message);
        return Err(refusal.at("log_id").with("log_id", log_id));
    }
    let filter = access.narrow(request.filter).map_err(Refusal::denied)?;
    let lifetime = lifetime_on(&server);
    let bounds = Bounds {
        cut,
        stop: server.stop.clone(),
        lifetime: lifetime.map_or(Lifetime::Unbounded, Lifetime::InAll),
        grace: READING_GRACE,
    };
    let permit = StreamPermit::of(access, bounds)?;
    let follower = follow(&server.log, request.start, filter).await?;
    let admission = admit(&server, &request.consumer, follower.cursor())?;
    Ok(Subscription::new(
        server,
        follower,
        request.heartbeat_interval,
        (admission, permit, lifetime),
        untaken,
        Delivering::to(request.consumer),
    ))
}

async fn follow(log: &EventLog, start: Start, filter: EventFilter) -> Result<Follower, Refusal> {
    match start {
        Start::After(position) => log.follow_after(position, filter).await,
        Start::Since(time) => log.follow_since(time, filter).await,
        Start::Live => log.follow_live(filter).await,
    }
    .map_err(|failure| Refusal::from_read(failure, "starting a subscription"))
}

fn admit(server: &Server, consumer: &str, cursor: Arc<AtomicU64>) -> Result<Admission, Refusal> {
    let admitted = server.consumers.admit(consumer, cursor);
    admitted.ok_or_else(|| {
        let message = "too many streams are open; try again later";
        Refusal::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", message)
    })
}

async fn range(
    server: Arc<Server>,
    (access, cut, untaken): (Access, Cut, Untaken),
    method: &'static str,
    range: Result<Range, Violation>,
) -> Result<Response<Body>, Status> {
    let steps = Arc::<AtomicU64>::default();
    let begun = begin_range(&server, (access, cut), Arc::clone(&steps), range)
        .await
        .map_err(|refusal| {
            server.metrics.refused(method, refusal.reason());
            refusal.into_status()
        });
    let (read, held) = begun?;
    let frames = range_frames(server, (read, untaken), held).inspect(move |_| {
        steps.fetch_add(1, Ordering::Relaxed);
    });
    Ok(frames::response(frames))
}

async fn begin_range(
    server: &Server,
    (access, cut): (Access, Cut),
    steps: Arc<AtomicU64>,
    range: Result<Range, Violation>,
) -> Result<(RangeRead, (Admission, StreamPermit)), Refusal> {
    let range = range.map_err(Refusal::invalid)?;
    let filter = access.narrow(range.filter).map_err(Refusal::denied)?;
    // A range may be long; what it may not be is left unread.
    let without_step = |age| Lifetime::WithoutStep(age, steps);
    let bounds = Bounds {
        cut,
        stop: server.stop.clone(),
        lifetime: server
            .stream_age_max
            .map_or(Lifetime::Unbounded, without_step),
        grace: READING_GRACE,
    };
    let permit = StreamPermit::of(access, bounds)?;
    let read = server
        .log
        .read_between(range.since, range.before, filter)
        .await
        .map_err(|failure| Refusal::from_read(failure, "starting a range read"))?;
    // Without a name its lag is not reported, so that there is no cursor to look at.
    let admission = admit(server, "", Arc::default())?;
    Ok((read, (admission, permit)))
}

/// The frames of a range read; the last are trailers.
fn range_frames(
    server: Arc<Server>,
    (read, untaken): (RangeRead, Untaken),
    held: (Admission, StreamPermit),
) -> impl Stream<Item = Frame> + Send {
    let reading = Some((read, untaken, held));
    stream::unfold(reading, move |reading| {
        let (stop, metrics) = (server.stop.clone(), Arc::clone(&server.metrics));
        async move {
            let (mut read, mut untaken, (admission, mut permit)) = reading?;
            let stopping =
                || Refusal::new(Code::Unavailable, "SHUTTING_DOWN", "the server is stopping");
            let end = loop {
                break tokio::select! {
                    biased;
                    () = stop.cancelled() => Some(stopping()),
                    () = &mut permit.ended => Some(Refusal::denied(Denied::Ended)),
                    next = next_page(&mut read, &mut untaken, &stop) => match next {
                        Ok(Some(mut delivery)) => {
                            match untaken.count(std::mem::take(&mut delivery.frames)) {
                                Ok(frames) => {
                                    metrics.sent(delivery.count, frames.len());
                                    let reading = Some((read, untaken, (admission, permit)));
                                    return Some((Frame::data(frames), reading));
                                }
                                Err(no_room) => {
                                    read.rewind(&delivery);
                                    match untaken.room(no_room, &stop).await {
                                        Ok(()) => continue,
                                        Err(refusal) => Some(refusal),
                                    }
                                }
                            }
                        }
                        Ok(None) => None,
                        Err(refusal) => Some(refusal),
                    },
                };
            };
            let status = end.map_or_else(|| Status::ok(""), Refusal::into_status);
            Some((frames::trailers(&status), None))
        }
    })
}

async fn next_page(
    read: &mut RangeRead,
    untaken: &mut Untaken,
    stop: &CancellationToken,
) -> Result<Option<Delivery>, Refusal> {
    if !read.is_over() {
        untaken.room_for_page(stop).await?;
    }
    let next = read.next().await;
    next.map_err(|failure| Refusal::from_read(failure, "reading a range"))
}

async fn latest_event_time(server: &Server, access: &Access) -> Result<Timestamp, Status> {
    let filter = access
        .narrow(WantedEvents::default())
        .map_err(|denied| Refusal::denied(denied).into_status())?;
    let latest = server.log.latest_occurred_at(&filter).await;
    let latest = latest
        .map_err(|failure| Refusal::from_read(failure, "reading the latest time").into_status())?;
    latest.map(Timestamp::from).ok_or_else(|| {
        let message = match access.is_limited() {
            true => "the newest 65,536 events of the log hold none of yours",
            false => "the log holds no events yet",
        };
        Refusal::new(Code::NotFound, "LOG_EMPTY", message).into_status()
    })
}
