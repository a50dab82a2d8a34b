//! A pattern as a function of the values in force.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use rust_decimal::Decimal;

use crate::naive::{NaiveRule, Signals, Turns, Values, fold};

/// A pattern by its definition.
pub(crate) struct NaivePattern {
    pub(crate) id: &'static str,
    /// Each with its maximum age in days.
    pub(crate) inputs: &'static [(&'static str, u64)],
    /// Those whose observations are counted.
    pub(crate) counted: &'static [&'static str],
    pub(crate) when: fn(&[Decimal]) -> bool,
    pub(crate) clear_when: Option<fn(&[Decimal]) -> bool>,
    pub(crate) rule: NaiveRule,
}

impl NaivePattern {
    pub(crate) fn turns(&self, values: &Values) -> Turns {
        let empty = BTreeMap::new();
        let of = |series: &str| values.get(series).unwrap_or(&empty);
        let dates: BTreeSet<NaiveDate> = self
            .inputs
            .iter()
            .flat_map(|(series, _)| of(series).keys().copied())
            .collect();
        let signals = dates.into_iter().map(|date| {
            let now: Option<Vec<Decimal>> = self
                .inputs
                .iter()
                .map(|(series, age)| {
                    let (observed, value) = of(series).range(..=date).next_back()?;
                    (*observed + Days::new(*age) >= date).then_some(*value)
                })
                .collect();
            let counts = self
                .counted
                .iter()
                .all(|series| of(series).contains_key(&date));
            let clear = |clear: fn(&[Decimal]) -> bool| now.as_deref().map(clear);
            let signals = Signals {
                when: now.as_deref().map(self.when),
                clear: self.clear_when.map(clear),
                when_counts: counts,
                clear_counts: counts,
            };
            (date, signals)
        });
        fold(&self.rule, signals)
    }
}
