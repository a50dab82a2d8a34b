//! What a subscription sends: events, the markers that were asked for, and how it ends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use access::Denied;
use atlas_events::{CaughtUp, Event, FellBehind, Heartbeat, event::Payload};
use bytes::Bytes;
use event_log::{Delivery, Followed, Follower, LogError};
use futures::{Stream, stream};
use tokio::time::{Interval, Sleep};
use tonic::Code;

use crate::{
    frames::{self, Frame},
    guard::StreamPermit,
    heartbeat,
    reading::{consumers::Admission, event_stream::Server, untaken::Untaken},
    status::Refusal,
    telemetry::ENDED_BY_CLIENT,
    trace::Delivering,
};

/// The next thing that a follower comes upon, and the follower back. It is kept across heartbeats:
/// a read that takes longer than the interval must not start over each time.
type Next = Pin<Box<dyn Future<Output = (Follower, Result<Followed, LogError>)> + Send>>;

fn next_of(mut follower: Follower) -> Next {
    Box::pin(async move {
        let followed = follower.next().await;
        (follower, followed)
    })
}

pub(crate) struct Subscription {
    server: Arc<Server>,
    next: Option<Next>,
    cursor: Arc<AtomicU64>,
    heartbeat: Option<Interval>,
    /// When it has to end; none if it may live for ever.
    age_out: Option<Pin<Box<Sleep>>>,
    live: bool,
    delivering: Delivering,
    /// Why it ends; for as long as it does not, it is the client that may end it.
    end: &'static str,
    admission: Admission,
    permit: StreamPermit,
    untaken: Untaken,
}

impl Subscription {
    pub(crate) fn new(
        server: Arc<Server>,
        follower: Follower,
        heartbeat_interval: Option<Duration>,
        (admission, permit, lifetime): (Admission, StreamPermit, Option<Duration>),
        untaken: Untaken,
        delivering: Delivering,
    ) -> Self {
        let heartbeat = heartbeat_interval.map(heartbeat::timer);
        let cursor = follower.cursor();
        let next = Some(next_of(follower));
        let age_out = lifetime.map(|lifetime| Box::pin(tokio::time::sleep(lifetime)));
        Self {
            server,
            next,
            cursor,
            heartbeat,
            age_out,
            live: false,
            delivering,
            end: ENDED_BY_CLIENT,
            admission,
            permit,
            untaken,
        }
    }

    /// The frames of the response; the last are trailers.
    pub(crate) fn into_frames(self) -> impl Stream<Item = Frame> + Send {
        stream::unfold(Some(self), |subscription| async {
            let mut subscription = subscription?;
            Some(match subscription.step().await {
                Ok(frames) => (Frame::data(frames), Some(subscription)),
                Err(refusal) => {
                    subscription.end = refusal.reason();
                    (frames::trailers(&refusal.into_status()), None)
                }
            })
        })
    }

    async fn step(&mut self) -> Result<Bytes, Refusal> {
        self.delivering.done();
        loop {
            let Some(next) = &mut self.next else {
                return Err(self.stopping());
            };
            let (mut follower, followed) = tokio::select! {
                biased;
                () = self.server.stop.cancelled() => return Err(self.stopping()),
                () = aged_out(&mut self.age_out) => return Err(self.aged()),
                () = &mut self.permit.ended => return Err(self.denied()),
                done = next => done,
                () = tick(&mut self.heartbeat) => return Ok(self.beat()),
            };
            let followed = match followed {
                Ok(Followed::Events(delivery)) => self.count(&mut follower, delivery).await?,
                other => Some(other),
            };
            self.next = Some(next_of(follower));
            let Some(followed) = followed else {
                continue;
            };
            if let Some(frames) = self.send(followed)? {
                if let Some(heartbeat) = &mut self.heartbeat {
                    heartbeat.reset();
                }
                return Ok(frames);
            }
        }
    }

    /// Has events count until the client has taken them; `None` if there was no room, and now is, and the
    /// follower comes upon them again.
    async fn count(
        &mut self,
        follower: &mut Follower,
        mut delivery: Delivery,
    ) -> Result<Option<Result<Followed, LogError>>, Refusal> {
        match self.untaken.count(std::mem::take(&mut delivery.frames)) {
            Ok(frames) => {
                delivery.frames = frames;
                Ok(Some(Ok(Followed::Events(delivery))))
            }
            Err(no_room) => {
                follower.rewind(&delivery);
                self.untaken.room(no_room, &self.server.stop).await?;
                Ok(None)
            }
        }
    }

    /// What goes to the client for something that the follower came upon; `None` if nothing.
    fn send(&mut self, followed: Result<Followed, LogError>) -> Result<Option<Bytes>, Refusal> {
        match followed {
            Ok(Followed::Events(delivery)) => {
                self.admission.sent(delivery.recorded_at);
                if self.live {
                    let age = self.server.clock.now() - delivery.recorded_at;
                    let latency = &self.server.metrics.latency;
                    latency.record(age.as_seconds_f64().max(0.0));
                }
                let (count, bytes) = (delivery.count, delivery.frames.len());
                self.server.metrics.sent(count, bytes);
                self.delivering.begin(&self.server.tracing, &delivery);
                Ok(Some(delivery.frames))
            }
            Ok(Followed::CaughtUp) => {
                self.live = true;
                let (position, server_time) = (self.position(), self.now());
                Ok(self.marker(Payload::CaughtUp(CaughtUp {
                    position,
                    server_time,
                    log_id: self.log_id(),
                })))
            }
            Ok(Followed::FellBehind) => {
                self.live = false;
                let (position, server_time) = (self.position(), self.now());
                let marker = FellBehind {
                    position,
                    head_position: self.server.log.verified_head().unwrap_or_default(),
                    server_time,
                    log_id: self.log_id(),
                };
                Ok(self.marker(Payload::FellBehind(marker)))
            }
            Err(LogError::Closed) => Err(self.stopping()),
            Err(failure) => {
                let refusal = Refusal::from_read(failure, "following the log");
                Err(refusal.with("position", self.position()))
            }
        }
    }

    fn beat(&self) -> Bytes {
        let heartbeat = Heartbeat {
            position: self.position(),
            // What was read from the database may be beyond what this process has heard of.
            head_position: self
                .server
                .log
                .verified_head()
                .map_or(0, |head| head.max(self.position())),
            server_time: self.now(),
            log_id: self.log_id(),
        };
        frames::framed(&Event {
            payload: Some(Payload::Heartbeat(heartbeat)),
            ..Event::default()
        })
    }

    fn marker(&self, payload: Payload) -> Option<Bytes> {
        self.heartbeat.as_ref()?;
        Some(frames::framed(&Event {
            payload: Some(payload),
            ..Event::default()
        }))
    }

    fn position(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    fn log_id(&self) -> String {
        self.server.log.log_id().to_string()
    }

    fn now(&self) -> Option<atlas_events::Timestamp> {
        Some(self.server.clock.now().into())
    }

    fn aged(&self) -> Refusal {
        let position = self.position();
        let message = format!("the stream has reached its age; resume after position {position}");
        Refusal::new(Code::Unavailable, "STREAM_AGE", message).with("position", position)
    }

    fn denied(&self) -> Refusal {
        Refusal::denied(Denied::Ended).with("position", self.position())
    }

    fn stopping(&self) -> Refusal {
        let position = self.position();
        let message = format!("the server is stopping; resume after position {position}");
        Refusal::new(Code::Unavailable, "SHUTTING_DOWN", message).with("position", position)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.server.metrics.ended(self.end);
    }
}

async fn tick(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

async fn aged_out(age_out: &mut Option<Pin<Box<Sleep>>>) {
    match age_out {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

/// How long a stream of a server lives; `None`: for ever.
pub(crate) fn lifetime_on(server: &Server) -> Option<Duration> {
    let age = server.stream_age_max?;
    Some(lifetime(age, rand::random()))
}

/// How long a stream lives: a tenth more or less than the configured age; `chance` is uniform in 0
/// to 1.
pub(crate) fn lifetime(age: Duration, chance: f64) -> Duration {
    age.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_spread_by_a_tenth_around_the_age() {
        let age = Duration::from_secs(100);
        for (chance, seconds) in [(0.0, 90), (0.5, 100), (1.0, 110)] {
            assert_eq!(lifetime(age, chance).as_secs_f64().round() as u64, seconds);
        }
    }
}
