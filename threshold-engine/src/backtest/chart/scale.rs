use chrono::NaiveDate;

use super::lines::Line;

/// Values at a distance of less than this in pixels are not labelled apart.
const LABEL_HEIGHT: f64 = 26.0;

/// From dates to percentages of a chart's width.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeScale {
    first: NaiveDate,
    days: i64,
}

impl TimeScale {
    /// From a first date to a last one, a day at least.
    pub(super) fn new(first: NaiveDate, last: NaiveDate) -> Self {
        let days = (last - first).num_days().max(1);
        Self { first, days }
    }

    pub(super) fn first(&self) -> NaiveDate {
        self.first
    }

    pub(super) fn last(&self) -> NaiveDate {
        self.first + chrono::Days::new(self.days.unsigned_abs())
    }

    pub(super) fn days(&self) -> i64 {
        self.days
    }

    /// 0 to 100, where the date is one that is shown.
    #[expect(clippy::cast_precision_loss, reason = "days are few")]
    pub(super) fn percent(&self, date: NaiveDate) -> f64 {
        (date - self.first).num_days() as f64 * 100.0 / self.days as f64
    }

    /// Beginning and width in percent of the part of a time that is shown; `None`: nothing of it is.
    pub(super) fn range(&self, from: NaiveDate, until: NaiveDate) -> Option<(f64, f64)> {
        if until < self.first || from > self.last() {
            return None;
        }
        let x = self.percent(from.max(self.first));
        Some((x, self.percent(until.min(self.last())) - x))
    }
}

/// From values to pixels below a chart's top, with round values to label.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueScale {
    low: f64,
    high: f64,
    height: f64,
    /// The distance between labels is `step` times ten to the power of `exponent`.
    step: f64,
    exponent: i32,
}

impl ValueScale {
    /// The scale that has room for all lines. `None`: there is no value.
    pub(super) fn of(lines: &[Line], height: f64) -> Option<Self> {
        let values = lines.iter().flat_map(Line::values);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        (low <= high).then(|| Self::between(low, high, height))
    }

    fn between(low: f64, high: f64, height: f64) -> Self {
        let margin = ((high - low) * 0.06).max(high.abs().max(low.abs()).max(1e-6) * 1e-3);
        let (low, high) = (low - margin, high + margin);
        let (step, exponent) = round_step((high - low) * LABEL_HEIGHT / height);
        Self {
            low,
            high,
            height,
            step,
            exponent,
        }
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        (self.high - value) * self.height / (self.high - self.low)
    }

    /// Round values with their labels, ascending.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let distance = self.step * 10_f64.powi(self.exponent);
        let first = (self.low / distance).ceil();
        let count = ((self.high / distance).floor() - first).max(-1.0) + 1.0;
        // By the label's height there are no more than the chart is high.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is small, and no less than zero"
        )]
        let count = count as u32;
        let decimals = usize::try_from(-self.exponent).unwrap_or_default();
        (0..count).map(move |index| {
            let value = (first + f64::from(index)) * distance;
            (value, number_label(value, decimals))
        })
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not less than a distance: factor, exponent.
#[expect(clippy::cast_possible_truncation, reason = "exponents are small")]
fn round_step(least: f64) -> (f64, i32) {
    let exponent = least.log10().floor();
    let factor = least / 10_f64.powf(exponent);
    let exponent = exponent as i32;
    match factor {
        factor if factor <= 1.0 => (1.0, exponent),
        factor if factor <= 2.0 => (2.0, exponent),
        factor if factor <= 5.0 => (5.0, exponent),
        _ => (1.0, exponent + 1),
    }
}

/// With thousands apart.
fn number_label(number: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if number < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, height: f64) -> String {
        let scale = ValueScale::between(low, high, height);
        let labels: Vec<_> = scale.ticks().map(|(_, label)| label).collect();
        labels.join(" ")
    }

    #[test]
    fn labelled_values_are_round_and_apart() {
        for (low, high, height, expected) in [
            (0.0, 100.0, 210.0, "0 20 40 60 80 100"),
            (-0.4, 0.9, 210.0, "-0.4 -0.2 0.0 0.2 0.4 0.6 0.8"),
            (
                1_990_000.0,
                3_010_000.0,
                96.0,
                "2,000,000 2,500,000 3,000,000",
            ),
            (5.0, 5.0, 96.0, "4.995 5.000 5.005"),
            (0.001, 0.0012, 96.0, "0.0010 0.0011 0.0012"),
        ] {
            assert_eq!(labels(low, high, height), expected, "{low} to {high}");
        }
    }

    #[test]
    fn a_value_lies_between_the_labels_below_and_above_it() {
        for (low, high) in [
            (0.0, 0.0),
            (0.0, 1.0),
            (-3.3, 17.2),
            (99.0, 101.0),
            (1e9, 2e9),
        ] {
            let scale = ValueScale::between(low, high, 200.0);
            assert!(scale.y(low) >= scale.y(high), "up is more");
            assert!((0.0..=200.0).contains(&scale.y(low)));
            assert!((0.0..=200.0).contains(&scale.y(high)));
            let places: Vec<_> = scale.ticks().map(|(value, _)| scale.y(value)).collect();
            assert!(places.len() >= 2, "{low} to {high}");
            for pair in places.windows(2) {
                assert!(pair[0] - pair[1] >= LABEL_HEIGHT, "{places:?}");
            }
        }
    }
}
