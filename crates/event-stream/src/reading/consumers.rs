//! The streams that are open, and how far behind their consumers are: also those that have gone a
//! short while ago, whose lag grows until they return or are forgotten.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use atlas_events::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use metrics::{Gauge, gauge};
use tokio_util::sync::CancellationToken;

const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// A consumer that is gone is reported for so long: long enough to alert on one that does not come
/// back, and no longer, since it may have ended or gone to another collector.
const REMEMBERED: TimeDelta = TimeDelta::minutes(15);
/// A consumer that was here for less than this is forgotten as soon as it is gone.
const PRESENT_MIN: TimeDelta = TimeDelta::minutes(1);
/// At most so many consumers that are gone are reported: whoever subscribes chooses the name.
const GONE_MAX: usize = 1_000;

/// The open streams of a server, and the consumers that it knows by name.
#[derive(Debug)]
pub(crate) struct Consumers {
    known: Mutex<Known>,
    open_max: usize,
    prefix: String,
    open_streams: Gauge,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Known {
    next_number: u64,
    /// How many streams are open.
    open: usize,
    named: HashMap<String, Consumer>,
}

/// What a consumer has received, according to the stream that it opened last.
#[derive(Debug)]
struct Consumer {
    /// The number of that stream.
    stream: u64,
    cursor: Arc<AtomicU64>,
    /// The oldest of the events that it was sent last was recorded then, in microseconds since the
    /// Unix epoch; 0 before the first.
    sent: Arc<AtomicU64>,
    /// It had everything that was stored by then. Where that is not known, since when it reads.
    complete_until: DateTime<Utc>,
    /// When its first stream began, if it has been remembered since.
    known_since: DateTime<Utc>,
    /// When its stream ended.
    gone_since: Option<DateTime<Utc>>,
    /// Its metrics, once there are any. The recorder forgets them with the last handle.
    gauges: Option<LagGauges>,
}

/// The metrics of a consumer.
#[derive(Debug)]
struct LagGauges {
    events: Gauge,
    seconds: Gauge,
}

impl Drop for LagGauges {
    /// For a recorder that does not forget: no number to alert on.
    fn drop(&mut self) {
        self.events.set(f64::NAN);
        self.seconds.set(f64::NAN);
    }
}

/// How far a consumer is behind the end of the log.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lag {
    events: u64,
    /// How old the oldest event is that it lacks, to within a second: zero if it lacks none. For one
    /// that was sent nothing yet, how long it has been reading.
    seconds: f64,
}

impl Consumer {
    fn lag(&mut self, tail: u64, now: DateTime<Utc>) -> Lag {
        let events = tail.saturating_sub(self.cursor.load(Ordering::Acquire));
        if events == 0 {
            self.complete_until = now;
        } else if let sent @ 1.. = self.sent.swap(0, Ordering::AcqRel) {
            let sent = DateTime::from_timestamp_micros(sent.cast_signed());
            self.complete_until = sent.unwrap_or(self.complete_until);
        }
        let age = (now - self.complete_until).as_seconds_f64().max(0.0);
        Lag {
            events,
            seconds: if events == 0 { 0.0 } else { age },
        }
    }
}

impl Consumers {
    pub(crate) fn new(prefix: &str, open_max: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            open_max,
            prefix: prefix.to_owned(),
            open_streams: gauge!(format!("{prefix}_grpc_subscriptions")),
            clock,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a stream; `None` if too many are open. `name` may be empty.
    pub(crate) fn admit(self: &Arc<Self>, name: &str, cursor: Arc<AtomicU64>) -> Option<Admission> {
        let now = self.clock.now();
        let mut known = self.lock();
        if known.open >= self.open_max {
            return None;
        }
        known.open += 1;
        known.next_number += 1;
        let number = known.next_number;
        let sent = Arc::<AtomicU64>::default();
        if !name.is_empty() {
            let position = cursor.load(Ordering::Acquire);
            let before = known.named.remove(name);
            let (known_since, gauges, complete_until) = match before {
                None => (now, None, now),
                // One that goes on where it was lacks what it lacked; one that went back lacks more.
                Some(before) => match before.cursor.load(Ordering::Acquire) <= position {
                    true => (before.known_since, before.gauges, before.complete_until),
                    false => (before.known_since, before.gauges, now),
                },
            };
            let consumer = Consumer {
                stream: number,
                cursor,
                sent: Arc::clone(&sent),
                complete_until,
                known_since,
                gone_since: None,
                gauges,
            };
            known.named.insert(name.to_owned(), consumer);
        }
        self.open_streams.increment(1);
        Some(Admission {
            consumers: Arc::clone(self),
            name: name.to_owned(),
            number,
            sent,
        })
    }

    /// Reports the lag of named consumers until `stop`. A stalled reader's stream is not polled, so
    /// its lag has to be looked at from outside.
    pub(crate) async fn sample(self: Arc<Self>, tail: impl Fn() -> u64, stop: CancellationToken) {
        let mut timer = tokio::time::interval(SAMPLE_INTERVAL);
        while stop.run_until_cancelled(timer.tick()).await.is_some() {
            self.each(tail(), |name, lag, gauges| {
                let gauges = gauges.get_or_insert_with(|| LagGauges {
                    events: self.gauge("events", name),
                    seconds: self.gauge("seconds", name),
                });
                gauges.events.set(lag.events as f64);
                gauges.seconds.set(lag.seconds);
            });
        }
    }

    /// Reports the lag of each consumer, and forgets those that have been gone for long.
    fn each(&self, tail: u64, mut report: impl FnMut(&str, Lag, &mut Option<LagGauges>)) {
        let now = self.clock.now();
        let mut known = self.lock();
        let oldest = known.oldest_remembered(now);
        known.named.retain(|name, consumer| {
            if consumer.gone_since.is_some_and(|gone| gone <= oldest) {
                return false;
            }
            report(name, consumer.lag(tail, now), &mut consumer.gauges);
            true
        });
    }

    fn gauge(&self, unit: &str, name: &str) -> Gauge {
        gauge!(format!("{}_consumer_lag_{unit}", self.prefix), "consumer" => name.to_owned())
    }
}

impl Known {
    /// Who has been gone since then or longer is forgotten.
    fn oldest_remembered(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let consumers = self.named.values();
        let mut gone: Vec<_> = consumers
            .filter_map(|consumer| consumer.gone_since)
            .collect();
        gone.sort_unstable_by(|a, b| b.cmp(a));
        let beyond = gone.get(GONE_MAX).copied();
        beyond.max(Some(now - REMEMBERED)).unwrap_or(now)
    }
}

/// A place among the open streams, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    consumers: Arc<Consumers>,
    name: String,
    number: u64,
    sent: Arc<AtomicU64>,
}

impl Admission {
    /// Events are on their way of which the oldest was recorded then.
    pub(crate) fn sent(&self, recorded_at: DateTime<Utc>) {
        let microseconds = u64::try_from(recorded_at.timestamp_micros()).unwrap_or(0);
        self.sent.store(microseconds, Ordering::Release);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let now = self.consumers.clock.now();
        let mut known = self.consumers.lock();
        known.open -= 1;
        if let Some(consumer) = known.named.get_mut(&self.name)
            && consumer.stream == self.number
        {
            match now - consumer.known_since < PRESENT_MIN {
                true => drop(known.named.remove(&self.name)),
                false => consumer.gone_since = Some(now),
            }
        }
        self.consumers.open_streams.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Consumers on a clock that shows the second that was set last.
    fn consumers() -> (Arc<Consumers>, Arc<AtomicU64>) {
        let second = Arc::<AtomicU64>::default();
        let shown = Arc::clone(&second);
        let clock = Clock::from_fn(move || at(shown.load(Ordering::Relaxed)));
        (Consumers::new("test", 10_000, clock), second)
    }

    fn at(second: u64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_750_000_000 + second.cast_signed(), 0).unwrap()
    }

    fn cursor(position: u64) -> Arc<AtomicU64> {
        Arc::new(AtomicU64::new(position))
    }

    #[track_caller]
    fn check(consumers: &Consumers, tail: u64, expected: Option<(u64, f64)>) {
        let found = lags(consumers, tail).remove("a");
        assert_eq!(found.map(|lag| (lag.events, lag.seconds)), expected);
    }

    fn lags(consumers: &Consumers, tail: u64) -> HashMap<String, Lag> {
        let mut lags = HashMap::new();
        consumers.each(tail, |name, lag, _| {
            lags.insert(name.to_owned(), lag);
        });
        lags
    }

    #[test]
    fn who_is_gone_falls_behind_until_it_is_forgotten() {
        let (consumers, second) = consumers();
        let position = cursor(10);
        let stream = consumers.admit("a", Arc::clone(&position)).unwrap();
        check(&consumers, 10, Some((0, 0.0)));
        second.store(60, Ordering::Relaxed);
        check(&consumers, 10, Some((0, 0.0)));
        drop(stream);
        second.store(100, Ordering::Relaxed);
        check(&consumers, 15, Some((5, 40.0)));
        second.store(60 + 899, Ordering::Relaxed);
        check(&consumers, 20, Some((10, 899.0)));
        second.store(60 + 900, Ordering::Relaxed);
        check(&consumers, 20, None);
        assert!(consumers.lock().named.is_empty());
    }

    #[test]
    fn who_comes_back_goes_on_from_where_it_was() {
        let (consumers, second) = consumers();
        let stream = consumers.admit("a", cursor(10)).unwrap();
        second.store(100, Ordering::Relaxed);
        check(&consumers, 10, Some((0, 0.0)));
        drop(stream);
        second.store(150, Ordering::Relaxed);
        let position = cursor(10);
        let stream = consumers.admit("a", Arc::clone(&position)).unwrap();
        check(&consumers, 30, Some((20, 50.0)));
        position.store(20, Ordering::Relaxed);
        stream.sent(at(130));
        check(&consumers, 30, Some((10, 20.0)));
        position.store(30, Ordering::Relaxed);
        check(&consumers, 30, Some((0, 0.0)));
    }

    #[test]
    fn the_end_of_an_older_stream_says_nothing_about_a_newer_one() {
        let (consumers, second) = consumers();
        let older = consumers.admit("a", cursor(3)).unwrap();
        let newer = consumers.admit("a", cursor(9)).unwrap();
        drop(older);
        second.store(100_000, Ordering::Relaxed);
        check(&consumers, 9, Some((0, 0.0)));
        drop(newer);
    }

    #[test]
    fn names_are_no_way_to_fill_the_memory() {
        let (consumers, second) = consumers();
        let count = GONE_MAX as u64 + 50;
        let name = |number: u64| number.to_string();
        let streams = (0..count).map(|number| consumers.admit(&name(number), cursor(1)));
        let streams: Vec<_> = streams.map(Option::unwrap).collect();
        for (number, stream) in (0..).zip(streams) {
            second.store(60 + number, Ordering::Relaxed);
            drop(stream);
        }
        lags(&consumers, 1);
        // Those that went last are remembered, and for a while only.
        second.store(100 + count, Ordering::Relaxed);
        let remembered = lags(&consumers, 1).len();
        assert!(remembered <= GONE_MAX, "{remembered}");
        assert!(!consumers.lock().named.contains_key("0"));
        second.store(1_000 + count, Ordering::Relaxed);
        lags(&consumers, 1);
        assert!(consumers.lock().named.is_empty());
    }

    #[test]
    fn a_hundred_thousand_names_that_come_and_go_leave_nothing_behind() {
        let (consumers, _) = consumers();
        for number in 0..100_000 {
            drop(consumers.admit(&number.to_string(), cursor(1)).unwrap());
        }
        assert!(consumers.lock().named.is_empty());
    }

    #[test]
    fn streams_are_bounded_and_those_without_a_name_are_not_reported() {
        let consumers = Consumers::new("test", 1, Clock::system());
        let stream = consumers.admit("", cursor(0)).unwrap();
        assert!(consumers.admit("", cursor(0)).is_none());
        assert!(lags(&consumers, 5).is_empty());
        drop(stream);
        assert!(consumers.admit("", cursor(0)).is_some());
    }
}
