use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::future::Future;

/// A value in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The calendar date it is for.
    pub date: NaiveDate,
    /// Exact.
    pub value: Decimal,
    /// From when it was known: its vintage.
    pub known_from: DateTime<Utc>,
}

/// What a data point did to the observations in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The date it was for.
    pub date: NaiveDate,
    /// What happened to it.
    pub edit: Edit,
}

/// How the observation of a date changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// There was none.
    Inserted,
    /// There was another one.
    Replaced,
    /// There is none any more.
    Removed,
}

/// The observations in force of one series, by date; columns, as windows run over dates and values.
///
/// Of the points seen for a date the one with the newest `known_from` is in force, the later in
/// sequence of two equal ones. Vintages that are not in force leave no trace here.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    dates: Vec<NaiveDate>,
    values: Vec<Decimal>,
    known_from: Vec<DateTime<Utc>>,
    /// Dates whose newest vintage says that there is no value.
    withdrawn: BTreeMap<NaiveDate, DateTime<Utc>>,
}

impl Observations {
    /// Takes a point in. `None` if a newer vintage is in force, or nothing is to be withdrawn.
    pub fn apply(
        &mut self,
        date: NaiveDate,
        known_from: DateTime<Utc>,
        value: Option<Decimal>,
    ) -> Option<Change> {
        let found = self.search(date);
        let in_force = match found {
            Ok(index) => Some(self.known_from[index]),
            Err(_) => self.withdrawn.get(&date).copied(),
        };
        if in_force.is_some_and(|newest| newest > known_from) {
            return None;
        }
        let edit = match (found, value) {
            (Ok(index), Some(value)) => {
                self.values[index] = value;
                self.known_from[index] = known_from;
                Edit::Replaced
            }
            (Ok(index), None) => {
                self.dates.remove(index);
                self.values.remove(index);
                self.known_from.remove(index);
                self.withdrawn.insert(date, known_from);
                Edit::Removed
            }
            (Err(index), Some(value)) => {
                self.withdrawn.remove(&date);
                self.dates.insert(index, date);
                self.values.insert(index, value);
                self.known_from.insert(index, known_from);
                Edit::Inserted
            }
            (Err(_), None) => {
                self.withdrawn.insert(date, known_from);
                return None;
            }
        };
        Some(Change { date, edit })
    }

    /// The newest vintage of a date, also one that withdraws.
    pub fn vintage(&self, date: NaiveDate) -> Option<Future> {
        match self.search(date) {
            Ok(index) => Some(Future {
                known_from: self.known_from[index],
                value: Some(self.values[index]),
            }),
            Err(_) => self.withdrawn.get(&date).map(|known_from| Future {
                known_from: *known_from,
                value: None,
            }),
        }
    }

    /// Makes exactly this the newest vintage of a date, whatever it was.
    pub fn restore(&mut self, date: NaiveDate, vintage: Option<Future>) -> Option<Change> {
        self.withdrawn.remove(&date);
        let edit = match (self.search(date), vintage) {
            (
                Ok(index),
                Some(Future {
                    known_from,
                    value: Some(value),
                }),
            ) => {
                self.values[index] = value;
                self.known_from[index] = known_from;
                Some(Edit::Replaced)
            }
            (
                Err(index),
                Some(Future {
                    known_from,
                    value: Some(value),
                }),
            ) => {
                self.dates.insert(index, date);
                self.values.insert(index, value);
                self.known_from.insert(index, known_from);
                Some(Edit::Inserted)
            }
            (found, withdrawn) => {
                if let Some(withdrawn) = withdrawn {
                    self.withdrawn.insert(date, withdrawn.known_from);
                }
                found.ok().map(|index| {
                    self.dates.remove(index);
                    self.values.remove(index);
                    self.known_from.remove(index);
                    Edit::Removed
                })
            }
        };
        edit.map(|edit| Change { date, edit })
    }

    /// The newest vintage of each date, ascending, also of those that are withdrawn.
    pub fn vintages(&self) -> Vec<(NaiveDate, Future)> {
        let values = self.iter().map(|observation| {
            let (known_from, value) = (observation.known_from, Some(observation.value));
            (observation.date, Future { known_from, value })
        });
        let mut vintages: Vec<_> = values.collect();
        if !self.withdrawn.is_empty() {
            vintages.extend(self.withdrawn.iter().map(|(date, known_from)| {
                let future = Future {
                    known_from: *known_from,
                    value: None,
                };
                (*date, future)
            }));
            vintages.sort_unstable_by_key(|(date, _)| *date);
        }
        vintages
    }

    /// The dates whose newest vintages are others here and there, ascending.
    pub fn differences(&self, other: &Self) -> Vec<NaiveDate> {
        let mut differences = Vec::new();
        let (mut mine, mut theirs) = (0, 0);
        while mine < self.dates.len() || theirs < other.dates.len() {
            match (self.dates.get(mine), other.dates.get(theirs)) {
                (Some(date), Some(other_date)) if date == other_date => {
                    if self.values[mine] != other.values[theirs]
                        || self.known_from[mine] != other.known_from[theirs]
                    {
                        differences.push(*date);
                    }
                    (mine, theirs) = (mine + 1, theirs + 1);
                }
                (Some(date), other_date) if other_date.is_none_or(|other| date < other) => {
                    differences.push(*date);
                    mine += 1;
                }
                (_, other_date) => {
                    differences.extend(other_date);
                    theirs += 1;
                }
            }
        }
        let withdrawn = self.withdrawn.iter().chain(&other.withdrawn);
        let withdrawn = withdrawn.map(|(date, _)| *date);
        differences
            .extend(withdrawn.filter(|date| self.withdrawn.get(date) != other.withdrawn.get(date)));
        differences.sort_unstable();
        differences.dedup();
        differences
    }

    /// Takes out what is dated after `last`.
    pub fn split_after(&mut self, last: NaiveDate) -> Vec<(NaiveDate, Future)> {
        let from = self.dates.partition_point(|date| *date <= last);
        let dates = self.dates.split_off(from);
        let values = self.values.split_off(from);
        let known_from = self.known_from.split_off(from);
        let vintages = values.into_iter().zip(known_from);
        let mut after: Vec<_> = dates
            .into_iter()
            .zip(vintages.map(|(value, known_from)| Future {
                known_from,
                value: Some(value),
            }))
            .collect();
        let withdrawn = last.succ_opt().map(|next| self.withdrawn.split_off(&next));
        let withdrawn = withdrawn.into_iter().flatten();
        after.extend(withdrawn.map(|(date, known_from)| {
            let future = Future {
                known_from,
                value: None,
            };
            (date, future)
        }));
        after
    }

    /// Where the date is, or where it would be.
    fn search(&self, date: NaiveDate) -> Result<usize, usize> {
        match self.dates.last() {
            Some(last) if *last < date => Err(self.dates.len()),
            _ => self.dates.binary_search(&date),
        }
    }

    /// Dates with a value, ascending.
    pub fn dates(&self) -> &[NaiveDate] {
        &self.dates
    }

    /// The values of [`Self::dates`].
    pub fn values(&self) -> &[Decimal] {
        &self.values
    }

    /// Index of the latest observation on or before `date`.
    pub fn index_at(&self, date: NaiveDate) -> Option<usize> {
        last_at(&self.dates, date)
    }

    /// The observation at an index of [`Self::dates`].
    pub fn observation(&self, index: usize) -> Observation {
        Observation {
            date: self.dates[index],
            value: self.values[index],
            known_from: self.known_from[index],
        }
    }

    /// The latest observation on or before `date`.
    pub fn at(&self, date: NaiveDate) -> Option<Observation> {
        Some(self.observation(self.index_at(date)?))
    }

    /// Whether there is an observation for exactly this date.
    pub fn has(&self, date: NaiveDate) -> bool {
        self.search(date).is_ok()
    }

    /// The first date after `date` that has an observation.
    pub fn next_after(&self, date: NaiveDate) -> Option<NaiveDate> {
        let next = self.index_at(date).map_or(0, |index| index + 1);
        self.dates.get(next).copied()
    }

    /// All that is in force, by date.
    pub fn iter(&self) -> impl Iterator<Item = Observation> + '_ {
        (0..self.dates.len()).map(|index| self.observation(index))
    }
}

/// Index of the last of the ascending `dates` on or before `date`. Quick near the end, where
/// nearly every question is asked.
pub fn last_at(dates: &[NaiveDate], date: NaiveDate) -> Option<usize> {
    match dates.last() {
        Some(last) if *last <= date => Some(dates.len() - 1),
        _ => dates.partition_point(|d| *d <= date).checked_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2024, 1, day).unwrap()
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn the_newest_vintage_is_in_force() {
        let mut series = Observations::default();
        let one = Some(Decimal::ONE);
        let edit = |change: Option<Change>| change.map(|c| c.edit);
        assert_eq!(edit(series.apply(day(2), at(5), one)), Some(Edit::Inserted));
        assert_eq!(edit(series.apply(day(2), at(4), Some(Decimal::TEN))), None);
        assert_eq!(series.values(), [Decimal::ONE]);
        let ten = Some(Decimal::TEN);
        assert_eq!(edit(series.apply(day(2), at(5), ten)), Some(Edit::Replaced));
        assert_eq!(series.values(), [Decimal::TEN]);
        assert_eq!(edit(series.apply(day(1), at(0), one)), Some(Edit::Inserted));
        assert_eq!(series.dates(), [day(1), day(2)]);
    }

    #[test]
    fn what_is_withdrawn_returns_with_a_newer_vintage_only() {
        let mut series = Observations::default();
        let one = Some(Decimal::ONE);
        series.apply(day(1), at(1), one);
        let removed = series.apply(day(1), at(3), None).unwrap();
        assert_eq!(removed.edit, Edit::Removed);
        assert_eq!(series.apply(day(1), at(2), one), None);
        assert!(series.dates().is_empty());
        assert!(series.apply(day(1), at(4), one).is_some());
        assert!(series.has(day(1)));
        assert_eq!(series.apply(day(9), at(4), None), None);
    }

    #[test]
    fn lookups_carry_forward() {
        let mut series = Observations::default();
        for d in [2, 4, 8] {
            series.apply(day(d), at(0), Some(Decimal::from(d)));
        }
        assert_eq!(series.at(day(1)), None);
        assert_eq!(series.at(day(4)).unwrap().date, day(4));
        assert_eq!(series.at(day(7)).unwrap().date, day(4));
        assert_eq!(series.at(day(30)).unwrap().date, day(8));
        assert_eq!(series.next_after(day(1)), Some(day(2)));
        assert_eq!(series.next_after(day(2)), Some(day(4)));
        assert_eq!(series.next_after(day(8)), None);
    }
}
