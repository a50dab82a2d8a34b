//! All that changes while the stand-in runs, behind one lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};

use crate::clock::Clock;
use crate::fault::FaultPlan;
use crate::series::schedule::Step;
use crate::server::rate_limit::RateLimiter;
use crate::server::recorder::Recorder;
use crate::{Fault, Release, RequestRecord, Series, SeriesInfo, StandInError};

pub(crate) struct State {
    pub(crate) series: BTreeMap<String, Series>,
    pub(crate) clock: Clock,
    /// Any key that looks like one is accepted if absent.
    pub(crate) registered_keys: Option<BTreeSet<String>>,
    pub(crate) limiter: Option<RateLimiter>,
    pub(crate) faults: FaultPlan,
    pub(crate) recorder: Recorder,
    pub(crate) held_back: VecDeque<Step>,
}

impl State {
    pub(crate) fn today(&self) -> NaiveDate {
        self.clock.today()
    }

    pub(crate) fn release(
        &mut self,
        series_id: &str,
        release: Release,
    ) -> Result<Release, StandInError> {
        let today = self.today();
        let series = self.of(series_id)?;
        let known_since = release.realtime_start.unwrap_or(today);
        series.publish(release.date, known_since, &release.value)?;
        Ok(release.known_since(known_since))
    }

    pub(crate) fn describe(&mut self, info: SeriesInfo) -> Result<(), StandInError> {
        self.of(&info.id.clone())?.describe(info);
        Ok(())
    }

    pub(crate) fn begin_at(
        &mut self,
        series_id: &str,
        first: NaiveDate,
    ) -> Result<(), StandInError> {
        let today = self.today();
        self.of(series_id)?.begin_at(first, today);
        Ok(())
    }

    fn of(&mut self, series_id: &str) -> Result<&mut Series, StandInError> {
        let series = self.series.get_mut(series_id);
        series.ok_or_else(|| StandInError::UnknownSeries {
            series_id: series_id.to_owned(),
        })
    }

    /// Moves today by one day and releases what is next; `None` when nothing is held back any more.
    pub(crate) fn release_next(&mut self) -> Result<Option<(String, Vec<Release>)>, StandInError> {
        let Some(step) = self.held_back.pop_front() else {
            return Ok(None);
        };
        self.clock = Clock::Fixed(days_after(self.today(), 1)?);
        let mut released = Vec::with_capacity(step.values.len());
        for (date, value) in step.values {
            released.push(self.release(&step.series_id, Release::new(date, value))?);
        }
        Ok(Some((step.series_id, released)))
    }

    pub(crate) fn plan_fault(&mut self, times: usize, fault: Fault, series_id: Option<String>) {
        self.faults.add(times, fault, series_id);
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.recorder.records()
    }

    /// True if the request is not one too many.
    pub(crate) fn admit(&mut self, key: &str, arrived: Instant) -> bool {
        self.limiter
            .as_mut()
            .is_none_or(|limiter| limiter.admit(key, arrived))
    }
}

/// The day so many days later.
pub(crate) fn days_after(from: NaiveDate, days: u32) -> Result<NaiveDate, StandInError> {
    from.checked_add_days(Days::new(days.into()))
        .ok_or(StandInError::DayOutOfRange {
            from,
            days: days.into(),
        })
}

/// An answer as plain data, and what is to happen to it on its way.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: axum::http::StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) body: String,
    /// How long to wait before the answer.
    pub(crate) delay: Duration,
    /// Whether the connection breaks half-way through the body.
    pub(crate) cut: bool,
}
