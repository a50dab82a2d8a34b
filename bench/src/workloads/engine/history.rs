//! Sixty years of twenty series, and what comes after them: single observations in the order of their
//! dates.

use std::sync::Arc;

use atlas_events::{DataPoint, Event, SeriesCollectedEvent, Timestamp, event::Payload};
use chrono::{DateTime, Datelike, NaiveDate, Weekday};
use evaluation::series::{Cause, Point};
use rust_decimal::Decimal;
use ulid::Ulid;

/// How many series there are.
pub(super) const SERIES: usize = 20;
/// The name under which the engine knows the log.
const SOURCE: &str = "collector";

/// A series beside those of the history.
pub(super) const LIVE: &str = "SERIES99";
const LIVE_SERIES: usize = 99;

/// How often a series has an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frequency {
    Daily,
    Weekly,
    Monthly,
}

impl Frequency {
    pub(super) fn of(series: usize) -> Self {
        match series {
            0..13 => Self::Daily,
            13..17 => Self::Weekly,
            _ => Self::Monthly,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    fn has(self, date: NaiveDate) -> bool {
        match self {
            Self::Daily => true,
            Self::Weekly => date.weekday() == Weekday::Fri,
            Self::Monthly => date.day() == 1,
        }
    }
}

pub(super) fn series_id(series: usize) -> String {
    format!("SERIES{series:02}")
}

/// Random walks with two decimals, day after day without an end, always the same.
#[derive(Debug, Clone)]
pub(super) struct History {
    seed: u64,
    levels: [i64; SERIES],
    date: NaiveDate,
    series: usize,
    made: u64,
}

/// One observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// 1, 2, 3, …: also its position in the log.
    number: u64,
    series: usize,
    pub(super) date: NaiveDate,
    hundredths: i64,
}

impl History {
    pub(super) fn from_year(year: i32) -> Self {
        Self {
            seed: 7,
            levels: [10_000; SERIES],
            date: NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default(),
            series: 0,
            made: 0,
        }
    }
}

impl Iterator for History {
    type Item = Observation;

    fn next(&mut self) -> Option<Observation> {
        while !Frequency::of(self.series).has(self.date) {
            self.move_on()?;
        }
        let (series, date) = (self.series, self.date);
        self.move_on()?;
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let step = (self.seed >> 33) as i64 % 201 - 100;
        let level = (self.levels[series] + step).clamp(8_000, 12_000);
        self.levels[series] = level;
        self.made += 1;
        Some(Observation {
            number: self.made,
            series,
            date,
            hundredths: level,
        })
    }
}

impl History {
    fn move_on(&mut self) -> Option<()> {
        self.series += 1;
        if self.series == SERIES {
            self.series = 0;
            self.date = self.date.succ_opt()?;
        }
        Some(())
    }
}

impl Observation {
    /// An observation of [`LIVE`], at this position in the log.
    pub(super) fn live(number: u64, date: NaiveDate, hundredths: i64) -> Self {
        Self {
            number,
            series: LIVE_SERIES,
            date,
            hundredths,
        }
    }

    fn event_id(&self, due_us: u64) -> Ulid {
        // An odd factor spreads the number over all bits and never gives two numbers the same.
        let spread = self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Ulid::from_parts(due_us / 1_000, u128::from(spread))
    }

    fn value(&self) -> Decimal {
        Decimal::new(self.hundredths, 2)
    }

    /// The event of it, due and occurring at `due_us` (microseconds since the Unix epoch).
    pub(super) fn event(&self, due_us: u64) -> Event {
        let at = Timestamp {
            seconds: (due_us / 1_000_000) as i64,
            nanos: (due_us % 1_000_000 * 1_000) as i32,
        };
        Event {
            event_id: self.event_id(due_us).to_string(),
            occurred_at: Some(at),
            source_service: "atlas-bench".to_owned(),
            payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
                series_id: series_id(self.series),
                data_points: vec![DataPoint {
                    date: self.date.to_string(),
                    value: Some(self.value().to_string()),
                    known_from: Some(at),
                }],
                collected_at: Some(at),
                release_part: None,
            })),
            ..Event::default()
        }
    }

    /// What the engine makes of that event.
    pub(super) fn point(&self, due_us: u64) -> Point {
        let at = DateTime::from_timestamp_micros(due_us as i64).unwrap_or_default();
        Point {
            cause: Cause {
                source: Arc::from(SOURCE),
                position: self.number,
                index: 0,
                event_id: self.event_id(due_us),
                occurred_at: at,
            },
            series: series_id(self.series).into(),
            date: self.date,
            known_from: at,
            value: Some(self.value().normalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_years_are_about_three_hundred_thousand_observations() {
        let end = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        let count = History::from_year(1966)
            .take_while(|observation| observation.date < end)
            .count();
        assert!((295_000..305_000).contains(&count), "{count}");
    }
}
