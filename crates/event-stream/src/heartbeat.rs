//! Heartbeats that clients ask for, so that an idle stream is known to be alive.

use std::time::Duration;

use atlas_events::Violation;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// The interval that a client asks for.
pub(crate) fn interval(interval: pbjson_types::Duration) -> Result<Duration, Violation> {
    let seconds = u64::try_from(interval.seconds).ok();
    let nanos = u32::try_from(interval.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    seconds
        .zip(nanos)
        .map(|(seconds, nanos)| Duration::new(seconds, nanos))
        .filter(|interval| (INTERVAL_MIN..=INTERVAL_MAX).contains(interval))
        .ok_or_else(|| Violation::new("heartbeat_interval", "is not between 100 ms and 1 hour"))
}

/// Ticks once nothing was sent for this long: it is to be reset at every other send.
pub(crate) fn timer(interval: Duration) -> Interval {
    let mut timer = interval_at(Instant::now() + interval, interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
