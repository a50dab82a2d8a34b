use std::fmt::{self, Write};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{AXIS_WIDTH, Chart, is_active};
use evaluation::machine::Spell;

/// A chart has so many columns that show their values while the pointer is on them.
const COLUMNS: i64 = 180;
/// As in messages.
const DECIMALS: u32 = 4;

/// Value and threshold at a date.
pub(super) struct Reading {
    pub(super) date: NaiveDate,
    pub(super) value: Option<Decimal>,
    pub(super) threshold: Option<Decimal>,
}

/// The values above the chart: the last ones, or those under the pointer. This is by style sheet alone, so
/// that a page needs no script.
pub(super) fn write(out: &mut String, chart: &Chart, spells: &[Spell], top: f64) -> fmt::Result {
    let time = &chart.time;
    let column =
        |reading: &Reading| (reading.date - time.first()).num_days() * COLUMNS / time.days();
    let columns: Vec<_> = chart
        .readings
        .chunk_by(|a, b| column(a) == column(b))
        .collect();
    let (x, y) = (8.0 - AXIS_WIDTH, 13);
    if let Some(last) = columns.last() {
        let last = &last[last.len() - 1..];
        let text = text(last, spells);
        write!(
            out,
            "<text class=\"last\" x=\"{x}\" y=\"{y}\">{text}</text>"
        )?;
    }
    let height = chart.height;
    let mut from = 0.0;
    for (index, readings) in columns.iter().enumerate() {
        let next = columns.get(index + 1);
        let until = match (readings.last(), next.and_then(|next| next.first())) {
            (Some(last), Some(next)) => {
                f64::midpoint(time.percent(last.date), time.percent(next.date))
            }
            _ => 100.0,
        };
        let width = until - from;
        let text = text(readings, spells);
        write!(
            out,
            "<g class=\"at\"><rect x=\"{from:.2}%\" y=\"{top}\" width=\"{width:.2}%\" \
             height=\"{height}\"/><text x=\"{x}\" y=\"{y}\">{text}</text></g>"
        )?;
        from = until;
    }
    Ok(())
}

/// Of several dates the lowest and highest value.
fn text(readings: &[Reading], spells: &[Spell]) -> String {
    let mut text = String::new();
    let [first, .., last] = readings else {
        if let [only] = readings {
            text += &format!("{}: {}", only.date, range([only.value]));
            text += &of_threshold([only.threshold]);
            text += active(spells, only.date);
        }
        return text;
    };
    text += &format!("{} to {}: ", first.date, last.date);
    text += &range(readings.iter().map(|r| r.value));
    text += &of_threshold(readings.iter().map(|r| r.threshold));
    text + active(spells, last.date)
}

fn of_threshold(thresholds: impl IntoIterator<Item = Option<Decimal>>) -> String {
    let known: Vec<_> = thresholds.into_iter().flatten().collect();
    if known.is_empty() {
        return String::new();
    }
    let thresholds = range(known.into_iter().map(Some));
    format!(", threshold {thresholds}")
}

fn active(spells: &[Spell], date: NaiveDate) -> &'static str {
    if is_active(spells, date) {
        ", active"
    } else {
        ""
    }
}

fn range(values: impl IntoIterator<Item = Option<Decimal>>) -> String {
    let shown = |value: Decimal| value.round_dp(DECIMALS).normalize().to_string();
    let values: Vec<_> = values.into_iter().flatten().collect();
    match (values.iter().min(), values.iter().max()) {
        (Some(low), Some(high)) if low == high => shown(*low),
        (Some(low), Some(high)) => format!("{} to {}", shown(*low), shown(*high)),
        _ => "no data".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(date: &str, value: Option<i64>, threshold: Option<i64>) -> Reading {
        let number = |number: Option<i64>| number.map(|n| Decimal::new(n, 1));
        Reading {
            date: date.parse().unwrap(),
            value: number(value),
            threshold: number(threshold),
        }
    }

    #[test]
    fn a_column_shows_its_dates_and_the_range_of_its_values() {
        let spells = [Spell {
            entered: "2024-01-02".parse().unwrap(),
            cleared: Some("2024-01-04".parse().unwrap()),
        }];
        for (readings, expected) in [
            (
                vec![reading("2024-01-01", Some(15), Some(20))],
                "2024-01-01: 1.5, threshold 2",
            ),
            (
                vec![reading("2024-01-02", Some(25), None)],
                "2024-01-02: 2.5, active",
            ),
            (
                vec![reading("2024-01-04", None, None)],
                "2024-01-04: no data",
            ),
            (
                vec![
                    reading("2024-01-01", Some(15), Some(20)),
                    reading("2024-01-02", None, Some(20)),
                    reading("2024-01-03", Some(-25), Some(20)),
                ],
                "2024-01-01 to 2024-01-03: -2.5 to 1.5, threshold 2, active",
            ),
        ] {
            assert_eq!(text(&readings, &spells), expected);
        }
    }
}
