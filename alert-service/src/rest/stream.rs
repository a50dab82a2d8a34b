//! The changes of alerts as they happen, as server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use access::{Access, Scope, StreamPlace};
use atlas_events::{Event, EventFilter, WantedEvents, event::Payload};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use event_log::{Delivery, Followed, Follower, LogError};
use futures::{Stream, stream};
use serde::Deserialize;
use service::rest::{
    Always, Parameters, Problem, ProblemKind,
    extract::{Caller, Query, parsed},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::IntoParams;

use super::{App, Turns, person::Person};

/// Streams at a time, of all callers.
const STREAMS_MAX: usize = 128;
/// Of one.
const STREAMS_OF_ONE_MAX: usize = STREAMS_MAX / 4;
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const NOT_BUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
const ALERT: &str = "AlertChangedEvent";
const DELIVERY: &str = "DeliveryChangedEvent";

/// Places for streams. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    all: Arc<Semaphore>,
    of_one: Turns,
}

/// The place of a stream.
#[derive(Debug)]
struct Slot {
    _of_all: OwnedSemaphorePermit,
    _of_one: OwnedSemaphorePermit,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(STREAMS_MAX)),
            of_one: Turns::new(STREAMS_OF_ONE_MAX),
        }
    }
}

impl Streams {
    fn begin(self, caller: &str) -> Result<Slot, Problem> {
        let full = |count: usize, whose: &str| {
            let detail = format!("{count} streams{whose} are open; close some, or try again later");
            Problem::new(ProblemKind::Overloaded, detail)
        };
        let of_one = self.of_one.try_take(caller);
        let of_one = of_one.ok_or_else(|| full(self.of_one.each_max(), " of the same token"))?;
        let of_all = self.all.try_acquire_owned();
        Ok(Slot {
            _of_all: of_all.map_err(|_| full(STREAMS_MAX, ""))?,
            _of_one: of_one,
        })
    }
}

/// Where the stream begins, and what it has.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// After this position of the service's log, 0 for all that it holds; live if absent. The header `last-event-id`,
    /// which clients send when they connect again, overrides it.
    #[serde(default, deserialize_with = "parsed")]
    after: Option<u64>,
    /// Whether it has the changes of deliveries, too.
    #[serde(default, deserialize_with = "parsed")]
    deliveries: Option<bool>,
}

/// Follow alerts
///
/// Server-sent events: `event` is `alert` or `delivery`, `id` the position in the service's log, and `data` the event as
/// gRPC has it, in JSON. A comment each 15 seconds says that the connection lives; its `id` moves on with the log. The
/// stream ends when the service does, or the token does not hold any more.
#[utoipa::path(
    get, path = "/v1/alerts/stream", operation_id = "streamAlerts", tag = "alerts",
    security(("token" = ["alerts:read", "unlimited"])),
    params(StreamQuery, ("last-event-id" = Option<u64>, Header, description = "Position of the last event received")),
    responses(
        (status = 200, description = "Events without end", body = String, content_type = "text/event-stream"),
        (status = 410, description = "Retention has removed what follows the position"),
        Always, Parameters
    )
)]
pub(super) async fn follow(
    State(app): State<App>,
    Caller(access): Caller,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let after = last_event_id(&headers)?.or(query.after);
    let place = access.open_stream()?;
    let slot = app.streams.begin(&person.name)?;
    let mut types = vec![ALERT.to_owned()];
    if query.deliveries == Some(true) {
        types.push(DELIVERY.to_owned());
    }
    let wanted = WantedEvents::new(types, Vec::new()).map_err(|violation| {
        warn!(%violation, "the filter of a stream of alerts is wrong");
        Problem::new(ProblemKind::Internal, "the stream cannot begin")
    })?;
    // Whose an event is, is looked at below.
    let filter = EventFilter::unrestricted(wanted);
    let follower = match after {
        Some(after) => app.log.follow_after(after, filter).await?,
        None => app.log.follow_live(filter).await?,
    };
    let mut heartbeat = interval(HEARTBEAT_INTERVAL);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        cursor: follower.cursor(),
        next: next_of(follower),
        events: None,
        heartbeat,
        owner: (!person.sees_all()).then_some(person.name),
        stop: app.stopping,
        ended: Box::pin(ended(access)),
        _places: (place, slot),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (NOT_BUFFERED, "no"),
    ];
    Ok((headers, Body::from_stream(following.chunks())).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = given.to_str().unwrap_or("not ASCII");
    text.parse().map(Some).map_err(|error| {
        let problem = format!("is to be a position: {error}");
        Problem::field(ProblemKind::InvalidRequest, "last-event-id", problem)
    })
}

/// Resolves once a token does not hold any more.
async fn ended(access: Access) {
    match access.may_end() {
        true => access.ended().await,
        false => std::future::pending().await,
    }
}

/// The next thing that a follower comes upon, and the follower back: kept across heartbeats, as a read that takes
/// longer than their interval must not start over each time.
type Next = Pin<Box<dyn Future<Output = (Follower, Result<Followed, LogError>)> + Send>>;

fn next_of(mut follower: Follower) -> Next {
    Box::pin(async move {
        let followed = follower.next().await;
        (follower, followed)
    })
}

type Events = Box<dyn Iterator<Item = Event> + Send>;

/// A stream that is open. It holds one batch of events at most, and makes text of one at a time.
struct Following {
    cursor: Arc<AtomicU64>,
    next: Next,
    /// Of the batch that was read last, those that the client has not got yet.
    events: Option<Events>,
    heartbeat: Interval,
    /// Whose events; `None`: everybody's.
    owner: Option<String>,
    stop: CancellationToken,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    _places: (StreamPlace, Slot),
}

impl Following {
    fn chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut following| async {
            let chunk = following.step().await?;
            Some((Ok(chunk), following))
        })
    }

    /// What is sent next; `None` at the end.
    async fn step(&mut self) -> Option<Bytes> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            while let Some(event) = self.events.as_mut().and_then(Iterator::next) {
                if let Some(chunk) = self.shown(&event) {
                    return Some(chunk);
                }
            }
            self.events = None;
            let (follower, followed) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = &mut self.ended => return None,
                done = &mut self.next => done,
                _ = self.heartbeat.tick() => return Some(self.beat()),
            };
            match followed {
                Ok(Followed::Events(delivery)) => self.events = Some(decoded(&delivery)),
                Ok(Followed::CaughtUp | Followed::FellBehind) => {}
                Err(LogError::Closed) => return None,
                Err(error) => {
                    warn!(%error, "a stream of alerts ends");
                    return None;
                }
            }
            self.next = next_of(follower);
        }
    }

    /// Everything up to its position has been sent: a batch is passed on before the next thing is looked at.
    fn beat(&self) -> Bytes {
        let position = self.cursor.load(Ordering::Acquire);
        format!(": heartbeat\nid: {position}\n\n").into()
    }

    /// An event as it is sent; `None` if it is somebody else's.
    fn shown(&self, event: &Event) -> Option<Bytes> {
        let (kind, owner) = match event.payload.as_ref()? {
            Payload::AlertChanged(changed) => ("alert", &changed.owner),
            Payload::DeliveryChanged(changed) => ("delivery", &changed.owner),
            _ => return None,
        };
        if self.owner.as_ref().is_some_and(|mine| mine != owner) {
            return None;
        }
        let position = event.position;
        let data = serde_json::to_string(event).ok()?;
        Some(format!("id: {position}\nevent: {kind}\ndata: {data}\n\n").into())
    }
}

fn decoded(delivery: &Delivery) -> Events {
    // The log has encoded them itself.
    Box::new(delivery.events().map_while(Result::ok))
}
