use chrono::NaiveDate;

use super::run::Step;
use crate::expression::DateRange;

/// Where a pattern is active that was not, or the other way round.
#[derive(Default)]
pub(super) struct Activity {
    /// The first and the last evaluated date at which it is otherwise.
    otherwise: Option<DateRange>,
}

impl Activity {
    pub(super) fn see(&mut self, date: NaiveDate, before: Option<bool>, after: Option<bool>) {
        if before != after {
            let day = DateRange {
                first: date,
                last: date,
            };
            self.otherwise = Some(self.otherwise.map_or(day, |range| range.hull(day)));
        }
    }

    /// With the dates after the last one, up to the next that is evaluated.
    pub(super) fn range(self, steps: &[Step]) -> Option<DateRange> {
        let range = self.otherwise?;
        let next = steps.partition_point(|step| step.date <= range.last);
        let last = steps.get(next).and_then(|next| next.date.pred_opt());
        Some(DateRange {
            first: range.first,
            last: last.unwrap_or(NaiveDate::MAX),
        })
    }
}
