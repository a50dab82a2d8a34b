//! The newest observations of each series, held back to be released one after another.

use std::collections::{BTreeMap, VecDeque};

use chrono::NaiveDate;

use crate::Series;

/// Every so many observations of a series one is released with a value that is not yet the right one.
const REVISE_EVERY: usize = 4;

/// What happens in one step: one new observation of a series, after the revision of the one before if that was not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) series_id: String,
    pub(crate) values: Vec<(NaiveDate, String)>,
}

/// Takes the newest `count` dates of each series away and gives the steps that bring them back: the oldest held-back
/// observation of every series in turn, then the next. In the end every value is what it was before.
pub(crate) fn hold_back(series: &mut BTreeMap<String, Series>, count: usize) -> VecDeque<Step> {
    let held: Vec<(String, Vec<_>)> = series
        .iter_mut()
        .map(|(id, series)| (id.clone(), series.take_newest(count)))
        .collect();

    let mut steps = VecDeque::new();
    // What was released wrongly, by series, to be put right in the series' next step.
    let mut to_revise: BTreeMap<&str, (NaiveDate, String)> = BTreeMap::new();
    for round in 0..count {
        for (position, (id, held)) in held.iter().enumerate() {
            let Some((date, first, last)) = held.get(round) else {
                continue;
            };
            let released = if round + 1 == held.len() {
                last.clone()
            } else if first == last && (round + position) % REVISE_EVERY == REVISE_EVERY - 1 {
                preliminary(last)
            } else {
                first.clone()
            };
            let mut values: Vec<_> = to_revise.remove(id.as_str()).into_iter().collect();
            if released != *last {
                to_revise.insert(id, (*date, last.clone()));
            }
            values.push((*date, released));
            steps.push_back(Step {
                series_id: id.clone(),
                values,
            });
        }
    }
    steps
}

/// A value near the right one: a thousandth above it, and at least one unit of its last digit.
fn preliminary(value: &str) -> String {
    let decimals = value
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let Ok(number) = value.parse::<f64>() else {
        return value.to_owned();
    };
    let unit: f64 = (0..decimals).fold(1.0, |unit, _| unit / 10.0);
    format!("{:.decimals$}", number + unit.max(number.abs() / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::bundled::bundled;

    #[test]
    fn preliminary_values_differ_and_keep_their_digits() {
        assert_eq!(preliminary("5.6"), "5.7");
        assert_eq!(preliminary("12158.9"), "12171.1");
        assert_eq!(preliminary("8549"), "8558");
        assert_eq!(preliminary("-3.44"), "-3.43");
        assert_eq!(preliminary("."), ".");
    }

    #[test]
    fn steps_take_turns_revise_now_and_then_and_end_with_the_right_values() {
        let ids = ["GDPC1", "UMCSENT", "UNRATENSA"];
        let whole: BTreeMap<String, Series> = ids
            .iter()
            .map(|id| ((*id).to_owned(), bundled(id).unwrap()))
            .collect();
        let mut series = whole.clone();
        let steps = hold_back(&mut series, 6);

        let turns: Vec<&str> = steps.iter().map(|step| step.series_id.as_str()).collect();
        assert_eq!(turns, ids.repeat(6));
        let revisions = |id| {
            steps
                .iter()
                .filter(|s| s.series_id == id && s.values.len() == 2)
                .count()
        };
        assert_eq!(revisions("GDPC1"), 5, "each advance estimate is revised");
        assert_eq!((revisions("UMCSENT"), revisions("UNRATENSA")), (1, 1));

        let far = NaiveDate::MAX;
        for step in &steps {
            for (date, value) in &step.values {
                series
                    .get_mut(&step.series_id)
                    .unwrap()
                    .publish(*date, far, value)
                    .unwrap();
            }
        }
        for id in ids {
            let (mut whole, mut again) = (whole[id].clone(), series[id].clone());
            let last = |taken: Vec<(NaiveDate, String, String)>| -> Vec<_> {
                taken
                    .into_iter()
                    .map(|(date, _, last)| (date, last))
                    .collect()
            };
            assert_eq!(
                last(whole.take_newest(8)),
                last(again.take_newest(8)),
                "{id}"
            );
        }
    }
}
