use std::{collections::BTreeSet, sync::Arc};

use atlas_events::{Clock, SERIES_ID_CHARS_MAX};
use chrono::{DateTime, Months, NaiveDate, Utc};
use schedule::Schedule;
use sqlx::PgPool;
use tokio::sync::Notify;
use tracing::info;

use super::{
    Series, SeriesError, default_schedule,
    store::{self, Addition},
};
use crate::{
    collection::{Collected, SeriesCollector},
    fred::FredClient,
};

/// How far back a new series is collected by default.
const BACKFILL_MONTHS: u32 = 24;

/// The registry of collected series; clones are the same registry.
#[derive(Debug, Clone)]
pub struct SeriesRegistry {
    pool: PgPool,
    fred: FredClient,
    collector: SeriesCollector,
    clock: Clock,
    /// Notifies the worker of this process that something may be due.
    due: Arc<Notify>,
}

/// A series to be collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSeries {
    /// Its id at the source: 1 to 50 letters, digits, "_", "." or "-".
    pub id: String,
    /// A cron expression, in UTC or in the time zone that it names; the one that suits the frequency if absent.
    pub schedule: Option<String>,
    /// How far back.
    pub backfill: Backfill,
}

/// Which observation dates are collected of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backfill {
    /// Those of the past 24 months, and all to come.
    #[default]
    Recent,
    /// Those from a date on.
    From(NaiveDate),
    /// All there are.
    All,
}

impl Backfill {
    /// The first date; `None` for all.
    fn first_date(self, now: DateTime<Utc>) -> Option<NaiveDate> {
        match self {
            Self::Recent => Some(now.date_naive() - Months::new(BACKFILL_MONTHS)),
            Self::From(date) => Some(date),
            Self::All => None,
        }
    }
}

impl SeriesRegistry {
    /// The registry in the database of `pool`.
    pub fn new(pool: PgPool, fred: FredClient, collector: SeriesCollector, clock: Clock) -> Self {
        Self {
            pool,
            fred,
            collector,
            clock,
            due: Arc::new(Notify::new()),
        }
    }

    /// All series, by id.
    ///
    /// # Errors
    /// [`SeriesError::Database`].
    pub async fn list(&self) -> Result<Vec<Series>, SeriesError> {
        let rows = store::list(&self.pool).await?;
        Ok(rows.into_iter().map(Series::from).collect())
    }

    /// The ids of all series.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn ids(&self) -> Result<BTreeSet<String>, sqlx::Error> {
        let rows = store::list(&self.pool).await?;
        Ok(rows.into_iter().map(|row| Series::from(row).id).collect())
    }

    /// One series.
    ///
    /// # Errors
    /// [`SeriesError::NotFound`] or [`SeriesError::Database`].
    pub async fn get(&self, series_id: &str) -> Result<Series, SeriesError> {
        let row = store::get(&self.pool, series_id).await?;
        row.map(Series::from)
            .ok_or_else(|| SeriesError::NotFound(series_id.to_owned()))
    }

    /// Adds a series that the source knows; it is collected soon.
    ///
    /// # Errors
    /// [`SeriesError::InvalidId`], [`SeriesError::InvalidSchedule`], [`SeriesError::AlreadyExists`],
    /// [`SeriesError::Source`] (the source knows no such series, or does not answer), or
    /// [`SeriesError::Database`].
    pub async fn add(&self, new: &NewSeries) -> Result<Series, SeriesError> {
        check(new)?;
        let exists = || SeriesError::AlreadyExists(new.id.clone());
        if store::get(&self.pool, &new.id).await?.is_some() {
            return Err(exists());
        }
        let metadata = self.fred.series(&new.id).await?;
        let now = self.clock.now();
        let added = Addition {
            series_id: &new.id,
            metadata: Some(&metadata),
            schedule: new.schedule.as_deref(),
            backfill_from: new.backfill.first_date(now),
            now,
        };
        if !store::insert(&self.pool, &added).await? {
            return Err(exists());
        }
        info!(series_id = new.id, title = metadata.title, "series added");
        self.due.notify_one();
        self.get(&new.id).await
    }

    /// Adds those of the series that are not there yet, without asking the source: what it says
    /// about them comes with their first collection. Those that are there stay as they are. Returns
    /// how many were added.
    ///
    /// # Errors
    /// [`SeriesError::InvalidId`] or [`SeriesError::InvalidSchedule`], before any is added, or
    /// [`SeriesError::Database`].
    pub async fn seed(&self, series: &[NewSeries]) -> Result<usize, SeriesError> {
        series.iter().try_for_each(check)?;
        let now = self.clock.now();
        let mut added = 0;
        for new in series {
            let addition = Addition {
                series_id: &new.id,
                metadata: None,
                schedule: new.schedule.as_deref(),
                backfill_from: new.backfill.first_date(now),
                now,
            };
            added += usize::from(store::insert(&self.pool, &addition).await?);
        }
        self.due.notify_one();
        Ok(added)
    }

    /// Stops collecting a series by its schedule.
    ///
    /// # Errors
    /// [`SeriesError::NotFound`] or [`SeriesError::Database`].
    pub async fn pause(&self, series_id: &str) -> Result<Series, SeriesError> {
        self.found(series_id, store::pause(&self.pool, series_id).await?)?;
        self.get(series_id).await
    }

    /// Collects a paused series again, at once for what was missed; no effect on one that is not
    /// paused.
    ///
    /// # Errors
    /// [`SeriesError::NotFound`] or [`SeriesError::Database`].
    pub async fn resume(&self, series_id: &str) -> Result<Series, SeriesError> {
        let resumed = store::resume(&self.pool, series_id, self.clock.now()).await?;
        self.found(series_id, resumed)?;
        self.due.notify_one();
        self.get(series_id).await
    }

    /// Ends the collection of a series. Its events and observations stay.
    ///
    /// # Errors
    /// [`SeriesError::NotFound`] or [`SeriesError::Database`].
    pub async fn delete(&self, series_id: &str) -> Result<(), SeriesError> {
        self.found(series_id, store::delete(&self.pool, series_id).await?)?;
        info!(series_id, "series deleted");
        Ok(())
    }

    /// Sets the schedule of a series (cron, with or without a time zone), or, with `None`, gives it back the one that suits
    /// its frequency.
    ///
    /// # Errors
    /// [`SeriesError::InvalidSchedule`], [`SeriesError::NotFound`] or [`SeriesError::Database`].
    pub async fn set_schedule(
        &self,
        series_id: &str,
        schedule: Option<&str>,
    ) -> Result<Series, SeriesError> {
        let parsed = schedule.map(str::parse::<Schedule>).transpose()?;
        let series = self.get(series_id).await?;
        let parsed = parsed.unwrap_or_else(|| default_schedule(&series.frequency));
        // A collection that is due, or to be tried again soon, is not put off.
        let next = parsed.next_after(self.clock.now());
        let set = store::set_schedule(&self.pool, series_id, schedule, next).await?;
        self.found(series_id, set)?;
        self.get(series_id).await
    }

    /// Collects a series now, paused or not, and returns what was new once it is stored.
    ///
    /// # Errors
    /// [`SeriesError::NotFound`]; [`SeriesError::Source`], after the failure was recorded as an
    /// event; [`SeriesError::Busy`], [`SeriesError::Log`] or [`SeriesError::Database`].
    pub async fn collect_now(&self, series_id: &str) -> Result<Collected, SeriesError> {
        Ok(self.collector.collect(series_id).await?)
    }

    /// Extends what is collected of a series back to `from` (`None`: all there is), and collects it
    /// now. Nothing changes for a series that is collected from that date already, apart from the
    /// collection. If the collection fails or is not awaited, the schedule makes up for it.
    ///
    /// # Errors
    /// As [`SeriesRegistry::collect_now`].
    pub async fn backfill(
        &self,
        series_id: &str,
        from: Option<NaiveDate>,
    ) -> Result<Collected, SeriesError> {
        let series = self.get(series_id).await?;
        let extends = match (series.backfill_from, from) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(now_from), Some(from)) => from < now_from,
        };
        if extends {
            let now = self.clock.now();
            let extended = store::extend_backfill(&self.pool, series_id, from, now).await?;
            self.found(series_id, extended)?;
        }
        self.collect_now(series_id).await
    }

    /// Resolves when something may be due that was not before.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn fred(&self) -> &FredClient {
        &self.fred
    }

    pub(crate) fn collector(&self) -> &SeriesCollector {
        &self.collector
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    fn found(&self, series_id: &str, found: bool) -> Result<(), SeriesError> {
        if found {
            return Ok(());
        }
        Err(SeriesError::NotFound(series_id.to_owned()))
    }
}

fn check(new: &NewSeries) -> Result<(), SeriesError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if new.id.is_empty() || new.id.len() > SERIES_ID_CHARS_MAX || !new.id.chars().all(allowed) {
        return Err(SeriesError::InvalidId(new.id.chars().take(100).collect()));
    }
    if let Some(schedule) = &new.schedule {
        schedule.parse::<Schedule>()?;
    }
    Ok(())
}
