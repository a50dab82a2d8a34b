//! Time for latencies, and when events are due.

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

/// Microseconds since the Unix epoch, on a clock that never steps.
pub(crate) fn now_us() -> u64 {
    static START: LazyLock<(Instant, Duration)> = LazyLock::new(|| {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        (Instant::now(), unix.unwrap_or_default())
    });
    (START.1 + START.0.elapsed()).as_micros() as u64
}

/// The times at which events are due, each announced when it comes. A thread of its own keeps them, as
/// the timers of the runtime are a millisecond coarse.
pub(crate) fn due_times(rate: u64, events: u64) -> mpsc::UnboundedReceiver<u64> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let start = now_us() + 10_000;
        for number in 0..events {
            let due = start + number * 1_000_000 / rate;
            thread::sleep(Duration::from_micros(due.saturating_sub(now_us())));
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Latencies in microseconds, reported in milliseconds.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// Records the time from `due_us` until now.
    pub(crate) fn record_since(&mut self, due_us: u64) -> anyhow::Result<()> {
        Ok(self.0.record(now_us().saturating_sub(due_us))?)
    }

    /// Records a time in microseconds.
    pub(crate) fn record(&mut self, microseconds: u64) -> anyhow::Result<()> {
        Ok(self.0.record(microseconds)?)
    }

    pub(crate) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_any_length_are_reported_in_milliseconds() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record_since(now_us() - 90_000_000).unwrap();
        latencies.record_since(now_us()).unwrap();
        assert!(latencies.quantile_ms(0.5) < 1_000.0);
        assert!((90_000.0..91_000.0).contains(&latencies.max_ms()));
    }
}
