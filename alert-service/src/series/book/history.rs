//! How far back expressions look.

use chrono::{Datelike, NaiveDate};
use evaluation::series::{Change, Edit, Observations, StepChanges};

use super::{Book, Points, SeriesIndex};

/// So many full years before the one that a series has reached are looked at of what an expression reads. What is in
/// memory follows from what is stored, so that it is the same after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) years: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { years: 5 }
    }
}

impl History {
    /// The first date that is looked at.
    fn first(self, reached: Option<NaiveDate>) -> NaiveDate {
        let years = i32::try_from(self.years).unwrap_or(i32::MAX);
        reached
            .and_then(|reached| NaiveDate::from_ymd_opt(reached.year().saturating_sub(years), 1, 1))
            .unwrap_or(NaiveDate::MIN)
    }

    /// The longest window that is always full.
    pub(crate) fn days(self) -> u32 {
        self.years.saturating_mul(365)
    }

    /// Leaves out what is not looked at.
    pub(super) fn bound(self, points: &mut Points) {
        let first = self.first(points.reached);
        points.points.retain(|(date, _)| *date >= first);
    }
}

impl Book {
    /// The first date that is looked at of a series.
    pub(super) fn first_of(&self, place: SeriesIndex) -> NaiveDate {
        let read = &self.read[place.0];
        match read.is_whole {
            true => self.history.first(read.reached),
            false => NaiveDate::MIN,
        }
    }

    /// Drops what is not looked at any more. Gives whether it has dropped anything.
    pub(super) fn forget(&mut self, place: SeriesIndex, changes: &mut StepChanges) -> bool {
        let first = self.first_of(place);
        let dates = self.store.get(place).dates();
        let Some(last) = first
            .pred_opt()
            .filter(|_| dates.first().is_some_and(|date| *date < first))
        else {
            return false;
        };
        for date in dates.iter().take_while(|date| **date < first) {
            let edit = Edit::Removed;
            changes.add(place, Change { date: *date, edit });
        }
        let mut kept = Observations::default();
        for (date, vintage) in self.store.get_mut(place).split_after(last) {
            kept.apply(date, vintage.known_from, vintage.value);
        }
        self.store.set(place, std::sync::Arc::new(kept));
        true
    }

    /// Lets go of what nobody reads any more: of a series that only comparisons read the end is enough.
    pub(super) fn let_go(&mut self, place: SeriesIndex) {
        let read = &mut self.read[place.0];
        if !read.runs.is_empty() {
            return;
        }
        if read.levels.is_empty() {
            *read = super::Read::default();
            self.store.set(place, std::sync::Arc::default());
            return;
        }
        read.is_whole = false;
        self.cut(place);
    }
}
