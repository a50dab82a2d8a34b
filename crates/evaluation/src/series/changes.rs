use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{Change, Edit, SeriesIndex, SeriesStore};

/// What the points of one step did to a store, all together.
#[derive(Clone, Debug, Default)]
pub struct StepChanges {
    /// Whether there was a value before the step.
    had_value: BTreeMap<(SeriesIndex, NaiveDate), bool>,
    /// Every changed date, ascending.
    dates: Vec<NaiveDate>,
    /// For each series, the earliest date with a value that had none before.
    new_from: BTreeMap<SeriesIndex, NaiveDate>,
}

impl StepChanges {
    /// Adds what one point did.
    pub fn add(&mut self, series: SeriesIndex, change: Change) {
        let had_value = change.edit != Edit::Inserted;
        let key = (series, change.date);
        self.had_value.entry(key).or_insert(had_value);
    }

    /// All points are in the store. False if they changed nothing.
    pub fn complete(&mut self, store: &SeriesStore) -> bool {
        for ((series, date), had_value) in &self.had_value {
            self.dates.push(*date);
            if !had_value && store.get(*series).has(*date) {
                self.new_from.entry(*series).or_insert(*date);
            }
        }
        self.dates.sort_unstable();
        self.dates.dedup();
        !self.dates.is_empty()
    }

    /// The earliest changed date.
    pub fn first_date(&self) -> Option<NaiveDate> {
        self.had_value.keys().map(|(_, date)| *date).min()
    }

    /// Every changed series, perhaps repeatedly.
    pub fn series(&self) -> impl Iterator<Item = SeriesIndex> {
        self.had_value.keys().map(|(series, _)| *series)
    }

    /// Every changed date, ascending.
    pub fn dates(&self) -> &[NaiveDate] {
        &self.dates
    }

    /// The earliest new observation among some series. What happens from its date on is news; `None`:
    /// values were replaced only, and nothing is.
    pub fn news_from(&self, series: impl Iterator<Item = SeriesIndex>) -> Option<NaiveDate> {
        series
            .filter_map(|series| self.new_from.get(&series).copied())
            .min()
    }
}
