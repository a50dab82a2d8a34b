//! A log of the same process: the stream that the gRPC service would send, without the network.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use atlas_events::{CaughtUp, Clock, Event, EventFilter, Heartbeat, event::Payload};
use event_log::{EventLog, Followed, Follower, LogError};
use futures::future::BoxFuture;
use tokio::time::{Interval, MissedTickBehavior};

use super::{Begin, SourceFault, Subscription};

type Next = BoxFuture<'static, (Follower, Result<Followed, LogError>)>;

/// A follower with heartbeats.
pub(crate) struct InProcess {
    log: EventLog,
    clock: Clock,
    cursor: Arc<AtomicU64>,
    heartbeat: Interval,
    /// The read under way, kept across heartbeats: one that takes longer than their interval must
    /// not start over each time.
    next: Next,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess")
            .field("log", &self.log)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

fn next_of(mut follower: Follower) -> Next {
    Box::pin(async move {
        let followed = follower.next().await;
        (follower, followed)
    })
}

impl InProcess {
    pub(crate) async fn subscribe(
        log: &EventLog,
        subscription: Subscription,
        clock: Clock,
    ) -> Result<Self, SourceFault> {
        // A process may read all of a log that it has opened.
        let filter = EventFilter::unrestricted(subscription.filter);
        let follower = match subscription.begin {
            Begin::After(position) => log.follow_after(position, filter).await?,
            Begin::Since(time) => log.follow_since(time, filter).await?,
            Begin::Live => log.follow_live(filter).await?,
        };
        let mut heartbeat = tokio::time::interval(subscription.heartbeat_interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        Ok(Self {
            log: log.clone(),
            clock,
            cursor: follower.cursor(),
            heartbeat,
            next: next_of(follower),
        })
    }

    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, SourceFault> {
        loop {
            let (follower, followed) = tokio::select! {
                biased;
                done = &mut self.next => done,
                _ = self.heartbeat.tick() => return Ok(vec![self.beat()]),
            };
            self.next = next_of(follower);
            self.heartbeat.reset();
            match followed? {
                Followed::Events(delivery) => {
                    let undecodable = |error| {
                        let after = delivery.up_to - delivery.count as u64;
                        SourceFault::Damaged(format!(
                            "an event after position {after} cannot be decoded: {error}"
                        ))
                    };
                    return delivery
                        .events()
                        .collect::<Result<_, _>>()
                        .map_err(undecodable);
                }
                Followed::CaughtUp => {
                    return Ok(vec![marker(Payload::CaughtUp(CaughtUp {
                        position: self.position(),
                        server_time: Some(self.clock.now().into()),
                        log_id: self.log.log_id().to_string(),
                    }))]);
                }
                Followed::FellBehind => {}
            }
        }
    }

    fn position(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    /// A heartbeat may fall into the middle of a read, but never between the moving of the cursor
    /// and the return of the events, because a read that is done is taken first.
    fn beat(&self) -> Event {
        let position = self.position();
        marker(Payload::Heartbeat(Heartbeat {
            position,
            head_position: self
                .log
                .verified_head()
                .map_or(0, |head| head.max(position)),
            server_time: Some(self.clock.now().into()),
            log_id: self.log.log_id().to_string(),
        }))
    }
}

fn marker(payload: Payload) -> Event {
    Event {
        payload: Some(payload),
        ..Event::default()
    }
}
