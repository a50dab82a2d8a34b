//! A series with all its vintages, and what of it was known when.

pub(crate) mod bundled;
pub(crate) mod release;
pub(crate) mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Deserialize;

use crate::StandInError;
use crate::clock::{LAST_DAY, day_before};
use release::check_value;

/// What FRED says about a series, apart from dates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SeriesInfo {
    /// The id, such as `GDPC1`.
    pub id: String,
    /// The title.
    pub title: String,
    /// The frequency in words, which may be qualified: `Weekly, Ending Friday`.
    pub frequency: String,
    /// The frequency as a letter: `D`, `W`, `BW`, `M`, `Q`, `SA` or `A`.
    pub frequency_short: String,
    /// The units in words.
    pub units: String,
    /// The units, abbreviated.
    pub units_short: String,
    /// The seasonal adjustment in words.
    pub seasonal_adjustment: String,
    /// The seasonal adjustment, abbreviated: `SA`, `NSA` or `SAAR`.
    pub seasonal_adjustment_short: String,
    /// FRED's popularity, 0 to 100.
    pub popularity: u8,
    /// Notes in prose.
    pub notes: String,
}

/// A series: what FRED says about it, and each value of each date with the day from which it was known.
#[derive(Debug, Clone)]
pub struct Series {
    info: SeriesInfo,
    /// By observation date; the vintages of a date in the order in which they became known, never empty.
    observations: BTreeMap<NaiveDate, Vec<Vintage>>,
    /// From which day on the series begins no earlier than with which date.
    begins: Vec<(NaiveDate, NaiveDate)>,
}

/// A value of an observation, from the day on which it became known until the next one did.
#[derive(Debug, Clone)]
struct Vintage {
    known_since: NaiveDate,
    value: String,
}

/// A stretch of real time, both days included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) start: NaiveDate,
    pub(crate) end: NaiveDate,
}

impl Period {
    fn meets(self, other: Self) -> bool {
        self.start <= other.end && self.end >= other.start
    }

    fn clipped_to(self, other: Self) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }
}

/// A value of an observation, with the period in which it was in force.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub(crate) in_force: Period,
    pub(crate) date: NaiveDate,
    pub(crate) value: String,
}

impl Series {
    /// A series without observations.
    pub fn new(info: SeriesInfo) -> Self {
        Self {
            info,
            observations: BTreeMap::new(),
            begins: Vec::new(),
        }
    }

    /// The series with one more value: of `date`, known since `known_since`.
    ///
    /// # Errors
    /// [`StandInError::InvalidValue`] if the value is neither a decimal number nor `.`.
    pub fn with_value(
        mut self,
        date: NaiveDate,
        known_since: NaiveDate,
        value: &str,
    ) -> Result<Self, StandInError> {
        self.publish(date, known_since, value)?;
        Ok(self)
    }

    pub(crate) fn info(&self) -> &SeriesInfo {
        &self.info
    }

    pub(crate) fn describe(&mut self, info: SeriesInfo) {
        self.info = info;
    }

    /// From a day on the series begins no earlier than with `first`.
    pub(crate) fn begin_at(&mut self, first: NaiveDate, from: NaiveDate) {
        self.begins.push((from, first));
    }

    /// The day from which on a date is not a part of the series any more.
    fn gone_from(&self, date: NaiveDate, today: NaiveDate) -> Option<NaiveDate> {
        let begins = self.begins.iter();
        let gone = begins.filter(|(from, first)| date < *first && *from <= today);
        gone.map(|(from, _)| *from).min()
    }

    /// Makes a value known since a day, replacing one known since the very same day.
    pub(crate) fn publish(
        &mut self,
        date: NaiveDate,
        known_since: NaiveDate,
        value: &str,
    ) -> Result<(), StandInError> {
        check_value(value)?;
        let value = value.to_owned();
        let vintages = self.observations.entry(date).or_default();
        match vintages.binary_search_by_key(&known_since, |vintage| vintage.known_since) {
            Ok(index) => vintages[index].value = value,
            Err(index) => vintages.insert(index, Vintage { known_since, value }),
        }
        Ok(())
    }

    /// Takes away the newest `count` observation dates; gives each with its first and its last value, oldest first.
    pub(crate) fn take_newest(&mut self, count: usize) -> Vec<(NaiveDate, String, String)> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let Some((date, mut vintages)) = self.observations.pop_last() else {
                break;
            };
            let Some(last) = vintages.pop() else { continue };
            let first = vintages.first().unwrap_or(&last).value.clone();
            taken.push((date, first, last.value));
        }
        taken.reverse();
        taken
    }

    /// The days on which anything became known, up to today, that lie in the period.
    pub(crate) fn vintage_dates(&self, period: Period, today: NaiveDate) -> BTreeSet<NaiveDate> {
        let end = period.end.min(today);
        self.observations
            .values()
            .flatten()
            .map(|vintage| vintage.known_since)
            .filter(|known_since| (period.start..=end).contains(known_since))
            .collect()
    }

    /// The first day on which anything was known, if that is today or past.
    pub(crate) fn first_vintage_date(&self, today: NaiveDate) -> Option<NaiveDate> {
        let first_of_each = self
            .observations
            .values()
            .filter_map(|vintages| vintages.first());
        let first = first_of_each.map(|vintage| vintage.known_since).min()?;
        (first <= today).then_some(first)
    }

    /// Every value that was in force at some time in the period, by date and then by vintage, with the time in which it
    /// was in force cut to the period.
    pub(crate) fn known_in(&self, period: Period, today: NaiveDate) -> Vec<Observation> {
        let mut known = Vec::new();
        for (date, vintages) in &self.observations {
            let gone_from = self.gone_from(*date, today);
            for mut observation in in_force(*date, vintages, today) {
                if let Some(gone_from) = gone_from {
                    if observation.in_force.start >= gone_from {
                        continue;
                    }
                    observation.in_force.end = observation.in_force.end.min(day_before(gone_from));
                }
                if observation.in_force.meets(period) {
                    observation.in_force = observation.in_force.clipped_to(period);
                    known.push(observation);
                }
            }
        }
        known
    }

    /// The first value of each observation, with the whole time in which it was in force, if that meets the period.
    ///
    /// What was known on the series' very first vintage date is left out, as FRED does: that day is when FRED began to
    /// keep the series, not when those values were released.
    pub(crate) fn first_known_in(&self, period: Period, today: NaiveDate) -> Vec<Observation> {
        let Some(began) = self.first_vintage_date(today) else {
            return Vec::new();
        };
        self.observations
            .iter()
            .filter_map(|(date, vintages)| in_force(*date, vintages, today).next())
            .filter(|first| first.in_force.start > began && first.in_force.meets(period))
            .collect()
    }
}

/// The vintages of a date that are known today, each with the time in which it was in force.
fn in_force(
    date: NaiveDate,
    vintages: &[Vintage],
    today: NaiveDate,
) -> impl Iterator<Item = Observation> {
    let known = vintages.partition_point(|vintage| vintage.known_since <= today);
    (0..known).map(move |index| {
        let next = vintages[..known].get(index + 1);
        let end = next.map_or(LAST_DAY, |next| day_before(next.known_since));
        Observation {
            in_force: Period {
                start: vintages[index].known_since,
                end,
            },
            date,
            value: vintages[index].value.clone(),
        }
    })
}
