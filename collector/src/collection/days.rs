//! A set of days, as the periods that it consists of.

use std::collections::BTreeMap;

use chrono::NaiveDate;

/// Days; periods that meet or overlap are one.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<NaiveDate, NaiveDate>);

impl Days {
    /// Adds the days from `first` to `last`, both included.
    pub(super) fn add(&mut self, first: NaiveDate, last: NaiveDate) {
        let (mut first, mut last) = (first, last);
        // Whatever begins no later than the day after `last` and does not end before the day before
        // `first` becomes a part of it. The newest of them come first.
        let after = last.succ_opt().unwrap_or(last);
        let before = first.pred_opt().unwrap_or(first);
        while let Some((begin, end)) = self.0.range(..=after).next_back() {
            let (begin, end) = (*begin, *end);
            if end < before {
                break;
            }
            self.0.remove(&begin);
            (first, last) = (first.min(begin), last.max(end));
        }
        self.0.insert(first, last);
    }

    /// Whether a day is among them.
    pub(super) fn contain(&self, day: NaiveDate) -> bool {
        let nearest = self.0.range(..=day).next_back();
        nearest.is_some_and(|(_, end)| day <= *end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::Days as Count;

    use super::*;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + Count::new(number)
    }

    #[test]
    fn they_hold_what_was_added_and_nothing_else() {
        // Pseudo-random periods, the same at each run.
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let (mut days, mut expected) = (Days::default(), BTreeSet::new());
            for _ in 0..8 {
                let first = next(50);
                let last = first + next(10);
                days.add(day(first), day(last));
                expected.extend(first..=last);
            }
            for number in 0..70 {
                assert_eq!(days.contain(day(number)), expected.contains(&number));
            }
        }
    }
}
