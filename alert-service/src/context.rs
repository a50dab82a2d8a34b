use std::{fmt, sync::Arc, time::Duration};

use atlas_events::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use ulid::Ulid;

/// Time and randomness, so that tests can set both.
#[derive(Clone)]
pub struct Context {
    /// The present.
    pub clock: Clock,
    random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl Context {
    /// The clock of the machine and the entropy of the operating system.
    pub fn system() -> Self {
        Self::new(Clock::system(), || Ulid::generate().random())
    }

    /// Of these sources; 80 bits of a random number are used.
    pub fn new(clock: Clock, random: impl Fn() -> u128 + Send + Sync + 'static) -> Self {
        Self {
            clock,
            random: Arc::new(random),
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// An id whose time is `at`.
    pub(crate) fn id(&self, at: DateTime<Utc>) -> Ulid {
        Ulid::from_parts(at.timestamp_millis().max(0).unsigned_abs(), (self.random)())
    }

    /// A random duration from zero up to `bound`.
    pub(crate) fn up_to(&self, bound: Duration) -> TimeDelta {
        let millis = u128::from(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        let drawn = (self.random)() % (millis + 1);
        TimeDelta::milliseconds(i64::try_from(drawn).unwrap_or(i64::MAX / 2))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}
