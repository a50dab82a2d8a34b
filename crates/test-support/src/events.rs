//! Events to publish. The same arguments give the same event within one test process.

use std::{ops::Range, sync::LazyLock};

use atlas_events::{
    Acceptance, CustomEvent, DataPoint, Draft, Event, SeriesCollectedEvent, event::Payload,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use pbjson_types::{Struct, Value};
use ulid::Ulid;

/// When this test process began, in whole milliseconds. Events occur relative to it.
pub fn started_at() -> DateTime<Utc> {
    static STARTED_AT: LazyLock<DateTime<Utc>> = LazyLock::new(|| Utc::now().trunc_subsecs(3));
    *STARTED_AT
}

/// Ids in order of their making; sources of different seeds never make the same.
#[derive(Debug, Clone)]
pub struct EventIds {
    seed: u32,
    made: u64,
}

impl EventIds {
    /// A source of ids.
    pub fn new(seed: u32) -> Self {
        Self { seed, made: 0 }
    }

    /// The next id, with `at` as its embedded time.
    ///
    /// # Panics
    /// If `at` lies before 1970.
    pub fn make(&mut self, at: DateTime<Utc>) -> Ulid {
        self.made += 1;
        let random = (u128::from(self.seed) << 40) | u128::from(self.made);
        Ulid::from_parts(at.timestamp_millis().try_into().unwrap(), random)
    }
}

/// The custom event of type `Test` with the number `n` as its content, which occurred `n` ms after
/// the day before the test process began.
pub fn custom_event(n: u64) -> Event {
    let offset = TimeDelta::milliseconds(n.try_into().unwrap());
    custom_event_at(n, started_at() - TimeDelta::days(1) + offset)
}

/// As [`custom_event`], but occurred at `occurred_at`, 1970 or later.
pub fn custom_event_at(n: u64, occurred_at: DateTime<Utc>) -> Event {
    let content = [("n".to_owned(), Value::from(n as f64))];
    let custom = CustomEvent {
        r#type: "Test".to_owned(),
        data: Some(Struct::from(
            content
                .into_iter()
                .collect::<std::collections::HashMap<_, _>>(),
        )),
    };
    event_at(n, occurred_at, Payload::Custom(custom))
}

/// The event of one observation of a series, which occurred when [`custom_event`] of the same `n`
/// did and has the same id.
pub fn series_event(n: u64, series_id: &str, date: &str, value: &str) -> Event {
    let offset = TimeDelta::milliseconds(n.try_into().unwrap());
    let collected = SeriesCollectedEvent {
        series_id: series_id.to_owned(),
        data_points: vec![DataPoint {
            date: date.to_owned(),
            value: Some(value.to_owned()),
            known_from: None,
        }],
        collected_at: None,
        release_part: None,
    };
    event_at(
        n,
        started_at() - TimeDelta::days(1) + offset,
        Payload::SeriesCollected(collected),
    )
}

fn event_at(n: u64, occurred_at: DateTime<Utc>, payload: Payload) -> Event {
    let milliseconds = occurred_at.timestamp_millis().try_into().unwrap();
    Event {
        event_id: Ulid::from_parts(milliseconds, n.into()).to_string(),
        occurred_at: Some(occurred_at.into()),
        source_service: "test".to_owned(),
        payload: Some(payload),
        ..Event::default()
    }
}

/// An event, checked and ready to be appended.
///
/// # Panics
/// If it breaks a rule of the contract.
pub fn draft(event: Event) -> Draft {
    let acceptance = Acceptance::new(Utc::now(), DateTime::UNIX_EPOCH);
    Draft::new(event, &acceptance).unwrap()
}

/// [`custom_event`]s of a range of numbers, ready to be appended.
pub fn drafts(numbers: Range<u64>) -> Vec<Draft> {
    numbers.map(|n| draft(custom_event(n))).collect()
}
