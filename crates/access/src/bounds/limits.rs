//! How much an entry may do.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

use crate::{Denied, Entry};

/// Time that only goes forward, whatever becomes of the machine's clock; tests can pause it.
#[derive(Debug, Clone)]
struct Elapsed(Instant);

impl clock::Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Elapsed, NoOpMiddleware<Duration>>;

/// What an entry has used of its limits, for all connections together.
#[derive(Debug)]
pub(crate) struct Use {
    rate: Option<(NonZeroU32, Limiter, Elapsed)>,
    open_streams: AtomicU32,
}

impl Use {
    pub(crate) fn new(entry: &Entry) -> Arc<Self> {
        let rate = entry.events_per_second.map(|rate| {
            let elapsed = Elapsed(Instant::now());
            let limiter = RateLimiter::direct_with_clock(Quota::per_second(rate), elapsed.clone());
            (rate, limiter, elapsed)
        });
        Arc::new(Self {
            rate,
            open_streams: AtomicU32::new(0),
        })
    }

    /// Takes `events` from what may be published now, or nothing.
    pub(crate) fn take_events(&self, events: usize) -> Result<(), Denied> {
        let Some((rate, limiter, elapsed)) = &self.rate else {
            return Ok(());
        };
        let too_many = || Denied::TooMany {
            events,
            events_per_second: rate.get(),
        };
        let Some(count) = u32::try_from(events).ok().and_then(NonZeroU32::new) else {
            return if events == 0 { Ok(()) } else { Err(too_many()) };
        };
        match limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Denied::TooFast {
                events_per_second: rate.get(),
                retry_after: not_until.wait_time_from(clock::Clock::now(elapsed)),
            }),
            Err(_) => Err(too_many()),
        }
    }

    /// Takes a place among the open streams.
    pub(crate) fn open_stream(self: &Arc<Self>, streams_max: u32) -> Result<OpenStream, Denied> {
        let opened = self
            .open_streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                (open < streams_max).then_some(open + 1)
            });
        match opened {
            Ok(_) => Ok(OpenStream(Arc::clone(self))),
            Err(_) => Err(Denied::TooManyStreams { streams_max }),
        }
    }
}

/// A place among the open streams, given back when dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(Arc<Use>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open_streams.fetch_sub(1, Ordering::AcqRel);
    }
}
