//! How far behind its sources a consumer is: computed from the head of each log and the clock of its
//! server, so that a source in which nothing happens shows no lag.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use atlas_events::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::source::{Origin, Source};

/// A head that was reported longer ago than this many intervals says nothing about the present.
const FRESH_INTERVALS: u32 = 3;

/// Where a consumer stands; clones refer to the same one.
#[derive(Debug, Clone)]
pub struct ConsumerStatus {
    pub(crate) sources: Arc<[Arc<SourceState>]>,
    pub(crate) clock: Clock,
}

impl ConsumerStatus {
    /// One entry for each source, in the order in which they were given.
    pub fn sources(&self) -> Vec<SourceLag> {
        let now = self.clock.now();
        self.sources.iter().map(|source| source.lag(now)).collect()
    }
}

/// Where a consumer stands in one source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceLag {
    /// Name of the source.
    pub source: String,
    /// Its log, once it was reached.
    pub log_id: Option<Uuid>,
    /// Whether events are being received.
    pub connected: bool,
    /// Why nothing more is consumed until an operator resets the checkpoint, if so.
    pub stopped: Option<String>,
    /// Everything up to here was processed; `None` before the first commit after a seek.
    pub position: Option<u64>,
    /// The last position of the log, as last reported.
    pub head_position: Option<u64>,
    /// How many positions are still to be processed; `None` while not known.
    pub lag_events: Option<u64>,
    /// How long ago the moment was up to which everything is processed, in seconds: zero when all
    /// is; growing while the source cannot be reached. Before the first commit that moment is not
    /// known, and it is how long something has been seen to wait. `None` while not known either.
    pub lag_seconds: Option<f64>,
    /// Everything that the log stored up to then, by the clock of its server, is processed. `None` while not known.
    pub complete_until: Option<DateTime<Utc>>,
}

/// What is known of one source, shared by the tasks that update it and those that report it.
#[derive(Debug)]
pub(crate) struct SourceState {
    name: Arc<str>,
    sample_interval: Duration,
    known: Mutex<Known>,
    pub(crate) received: Counter,
    pub(crate) processed: Counter,
    pub(crate) skipped: Counter,
    pub(crate) parked: Counter,
    pub(crate) retries: Counter,
    pub(crate) reconnects: Counter,
    batch_seconds: Histogram,
    batch_events: Histogram,
    publish_to_processed: Histogram,
    is_connected: Gauge,
    is_stopped: Gauge,
    lag_seconds: Gauge,
    lag_events: Gauge,
}

#[derive(Debug, Default)]
struct Known {
    log_id: Option<Uuid>,
    connected: bool,
    stopped: Option<String>,
    position: Option<u64>,
    head: Option<Head>,
    /// Everything recorded up to then, by the server's clock, is processed.
    complete_until: Option<DateTime<Utc>>,
    /// By the server's clock, when it was first seen that something waits: so that a consumer that
    /// never gets as far as a commit is not taken for one without lag.
    waits_since: Option<DateTime<Utc>>,
    /// The server's clock less ours.
    clock_offset: TimeDelta,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    position: u64,
    /// When it was reported, by the server's clock and by ours.
    server_time: DateTime<Utc>,
    reported_at: DateTime<Utc>,
}

impl SourceState {
    pub(crate) fn new(source: &Source, prefix: &str, sample_interval: Duration) -> Self {
        let name = &source.name;
        let counter =
            |what: &str| counter!(format!("{prefix}_{what}_total"), "source" => name.to_string());
        let histogram =
            |what: &str| histogram!(format!("{prefix}_{what}"), "source" => name.to_string());
        let gauge = |what: &str| gauge!(format!("{prefix}_{what}"), "source" => name.to_string());
        Self {
            name: Arc::clone(name),
            sample_interval,
            known: Mutex::default(),
            received: counter("events_received"),
            processed: counter("events_processed"),
            skipped: counter("events_skipped"),
            parked: counter("events_parked"),
            retries: counter("batch_retries"),
            reconnects: counter("source_reconnects"),
            batch_seconds: histogram("batch_seconds"),
            batch_events: histogram("batch_events"),
            publish_to_processed: histogram("publish_to_processed_seconds"),
            is_connected: gauge("source_connected"),
            is_stopped: gauge("source_stopped"),
            lag_seconds: gauge("checkpoint_lag_seconds"),
            lag_events: gauge("checkpoint_lag_events"),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Nothing more is consumed.
    pub(crate) fn stopped(&self, reason: String) {
        self.with(|known| known.stopped = Some(reason));
        self.is_stopped.set(1.0);
    }

    pub(crate) fn connected(&self, log_id: Uuid) {
        self.with(|known| {
            known.connected = true;
            known.log_id = Some(log_id);
        });
        self.is_connected.set(1.0);
    }

    pub(crate) fn disconnected(&self) {
        self.with(|known| known.connected = false);
        self.is_connected.set(0.0);
    }

    /// A batch was processed by a transaction that took so long, the oldest event of which was
    /// stored then.
    pub(crate) fn took(
        &self,
        events: usize,
        time: Duration,
        recorded_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        self.batch_seconds.record(time);
        self.batch_events.record(events as f64);
        if let Some(recorded_at) = recorded_at {
            let offset = self.with(|known| known.clock_offset);
            let age = now + offset - recorded_at;
            self.publish_to_processed
                .record(age.as_seconds_f64().max(0.0));
        }
    }

    /// Where the log ends. `server_time` is `None` if it was not reported along with it.
    pub(crate) fn saw_head(
        &self,
        position: u64,
        server_time: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        self.with(|known| {
            if let Some(server_time) = server_time {
                known.clock_offset = server_time - now;
            }
            known.head = Some(Head {
                position,
                server_time: now + known.clock_offset,
                reported_at: now,
            });
            known.note_completeness();
        });
    }

    /// Everything up to a position is processed, the last event of which was recorded then.
    pub(crate) fn processed_up_to(&self, position: u64, recorded_at: Option<DateTime<Utc>>) {
        self.with(|known| {
            known.position = Some(position);
            known.complete_until = recorded_at.or(known.complete_until);
            known.note_completeness();
        });
    }

    /// The checkpoint is elsewhere; `None` if it is a time.
    pub(crate) fn begins_after(&self, position: Option<u64>) {
        self.with(|known| {
            known.position = position;
            known.complete_until = None;
            known.waits_since = None;
            known.stopped = None;
        });
        self.is_stopped.set(0.0);
    }

    fn head_is_old(&self, now: DateTime<Utc>) -> bool {
        self.with(|known| !known.heard_within(self.sample_interval, now))
    }

    fn lag(&self, now: DateTime<Utc>) -> SourceLag {
        self.with(|known| {
            let head_position = known.head.map(|head| head.position);
            let lag_events = known
                .position
                .zip(head_position)
                .map(|(position, head)| head.saturating_sub(position));
            let fresh = known.heard_within(self.sample_interval * FRESH_INTERVALS, now);
            let lag_seconds = match lag_events {
                Some(0) if fresh => Some(0.0),
                _ => known.complete_until.or(known.waits_since).map(|until| {
                    let age = now + known.clock_offset - until;
                    age.as_seconds_f64().max(0.0)
                }),
            };
            SourceLag {
                source: self.name.to_string(),
                log_id: known.log_id,
                connected: known.connected,
                stopped: known.stopped.clone(),
                position: known.position,
                head_position,
                lag_events,
                lag_seconds,
                complete_until: known.complete_until,
            }
        })
    }

    fn publish(&self, now: DateTime<Utc>) {
        let lag = self.lag(now);
        if let Some(events) = lag.lag_events {
            self.lag_events.set(events as f64);
        }
        if let Some(seconds) = lag.lag_seconds {
            self.lag_seconds.set(seconds);
        }
    }
}

impl Known {
    fn note_completeness(&mut self) {
        let (Some(position), Some(head)) = (self.position, self.head) else {
            return;
        };
        if position >= head.position {
            self.complete_until = self.complete_until.max(Some(head.server_time));
        } else {
            self.waits_since = self.waits_since.or(Some(head.server_time));
        }
    }

    fn heard_within(&self, interval: Duration, now: DateTime<Utc>) -> bool {
        let age = self
            .head
            .and_then(|head| (now - head.reported_at).to_std().ok());
        age.is_some_and(|age| age <= interval)
    }
}

/// Keeps the metrics of a source true while its consumer is busy or stuck. Heartbeats come only
/// when a stream is silent, so a busy one's head is asked for.
pub(crate) async fn sample(state: Arc<SourceState>, origin: Origin, clock: Clock) {
    let mut timer = tokio::time::interval(state.sample_interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let connected = state.with(|known| known.connected);
        if connected
            && state.head_is_old(clock.now())
            && let Ok(log) = origin.state().await
        {
            state.saw_head(log.last_position, None, clock.now());
        }
        state.publish(clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_750_000_000 + n, 0).unwrap()
    }

    fn state() -> SourceState {
        let source = Source::grpc("a", "http://127.0.0.1:1").unwrap();
        SourceState::new(&source, "test", Duration::from_secs(1))
    }

    #[track_caller]
    fn check(state: &SourceState, now: i64, events: Option<u64>, seconds: Option<f64>) {
        let lag = state.lag(second(now));
        assert_eq!((lag.lag_events, lag.lag_seconds), (events, seconds));
    }

    #[test]
    fn an_idle_stream_has_no_lag_however_old_its_last_event() {
        let state = state();
        check(&state, 0, None, None);
        state.processed_up_to(10, Some(second(-3_600)));
        state.saw_head(10, Some(second(0)), second(0));
        check(&state, 0, Some(0), Some(0.0));
        check(&state, 2, Some(0), Some(0.0));
    }

    #[test]
    fn what_waits_counts_from_the_last_moment_of_completeness() {
        let state = state();
        state.processed_up_to(10, Some(second(-3_600)));
        state.saw_head(10, Some(second(0)), second(0));
        state.saw_head(15, Some(second(4)), second(4));
        check(&state, 5, Some(5), Some(5.0));
        state.processed_up_to(12, Some(second(2)));
        check(&state, 5, Some(3), Some(3.0));
        state.processed_up_to(15, Some(second(4)));
        check(&state, 5, Some(0), Some(0.0));
    }

    #[test]
    fn a_catch_up_shows_how_old_its_events_are() {
        let state = state();
        state.begins_after(Some(0));
        state.saw_head(1_000, Some(second(0)), second(0));
        state.processed_up_to(10, Some(second(-86_400)));
        check(&state, 0, Some(990), Some(86_400.0));
    }

    #[test]
    fn one_that_never_commits_has_a_lag() {
        let state = state();
        state.begins_after(Some(5));
        check(&state, 0, None, None);
        state.saw_head(1_000, Some(second(0)), second(0));
        check(&state, 0, Some(995), Some(0.0));
        state.saw_head(1_001, Some(second(300)), second(300));
        check(&state, 300, Some(996), Some(300.0));
        state.begins_after(Some(1_001));
        check(&state, 300, Some(0), Some(0.0));
    }

    #[test]
    fn an_unreachable_source_is_not_taken_for_an_idle_one() {
        let state = state();
        state.processed_up_to(10, Some(second(-3_600)));
        state.saw_head(10, Some(second(0)), second(0));
        check(&state, 60, Some(0), Some(60.0));
    }

    #[test]
    fn the_clock_of_the_server_counts() {
        let state = state();
        state.processed_up_to(10, Some(second(100)));
        state.saw_head(11, Some(second(103)), second(0));
        check(&state, 1, Some(1), Some(4.0));
    }
}
