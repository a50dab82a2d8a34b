//! From when a value is known.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::{DataPoint, Timestamp};

/// A `known_from` later than this after the event occurred is a mistake: the value was known when the
/// event occurred, and taken as it is it would be the newest for ever.
const KNOWN_AHEAD_MAX: TimeDelta = TimeDelta::days(1);

impl DataPoint {
    /// From when the value counts, to the microsecond: `known_from`; the time of its event, where that
    /// is absent or a mistake. `None` if it is no time of the contract.
    pub fn known_at(&self, occurred_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let given = match self.known_from {
            Some(time) => Timestamp::to_utc(time)?.trunc_subsecs(6),
            None => return Some(occurred_at),
        };
        // At the end of time nothing is ahead.
        let latest = occurred_at.checked_add_signed(KNOWN_AHEAD_MAX);
        let is_credible = latest.is_none_or(|latest| given <= latest);
        Some(if is_credible { given } else { occurred_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_long_before_it_is() {
        let occurred_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let known_at = |known_from: Option<DateTime<Utc>>| {
            let point = DataPoint {
                known_from: known_from.map(Into::into),
                ..DataPoint::default()
            };
            point.known_at(occurred_at)
        };
        assert_eq!(known_at(None), Some(occurred_at));
        let day = TimeDelta::days(1);
        for known_from in [occurred_at - day * 9_000, occurred_at, occurred_at + day] {
            assert_eq!(known_at(Some(known_from)), Some(known_from));
        }
        let ahead = occurred_at + day + TimeDelta::microseconds(1);
        for known_from in [ahead, "9999-12-31T23:59:59Z".parse().unwrap()] {
            assert_eq!(known_at(Some(known_from)), Some(occurred_at));
        }
        let none = DataPoint {
            known_from: Some(Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            ..DataPoint::default()
        };
        assert_eq!(none.known_at(occurred_at), None);
    }
}
