use std::fmt::{self, Write};

use chrono::{Datelike, Days, Months, NaiveDate};

use super::scale::TimeScale;

/// The width in pixels of a chart on a page that is as wide as it gets, and of one on a phone.
const WIDE: i64 = 880;
const NARROW: i64 = 280;
/// How wide a label is, with the space to the next one.
const LABEL_WIDTHS: [i64; 3] = [92, 72, 50];

/// Distances between labelled dates, ascending.
const STEPS: [Step; 15] = [
    Step::Days(1),
    Step::Days(2),
    Step::Days(7),
    Step::Days(14),
    Step::Months(1),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(24),
    Step::Months(60),
    Step::Months(120),
    Step::Months(240),
    Step::Months(600),
    Step::Months(1_200),
    Step::Months(12_000),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Days(u64),
    Months(u32),
}

impl Step {
    fn days(self) -> i64 {
        match self {
            Self::Days(days) => days.cast_signed(),
            Self::Months(months) => i64::from(months) * 30,
        }
    }

    fn label_width(self) -> i64 {
        let [day, month, year] = LABEL_WIDTHS;
        match self {
            Self::Days(_) => day,
            Self::Months(months) if months < 12 => month,
            Self::Months(_) => year,
        }
    }

    fn label(self, date: NaiveDate) -> String {
        let format = match self {
            Self::Days(_) => "%Y-%m-%d",
            Self::Months(months) if months < 12 => "%Y-%m",
            Self::Months(_) => "%Y",
        };
        date.format(format).to_string()
    }

    /// The first round date that is not before a date: a Monday, the beginning of a quarter, of a decade.
    fn first(self, from: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days(days) if days < 7 => Some(from),
            Self::Days(_) => {
                let after_monday = u64::from(from.weekday().num_days_from_monday());
                from.checked_add_days(Days::new((7 - after_monday) % 7))
            }
            Self::Months(months) => {
                let month = from.year() * 12 + from.month0().cast_signed();
                let is_first = from.day() == 1;
                let month = if is_first { month } else { month + 1 };
                let every = months.cast_signed();
                let month = month + (-month).rem_euclid(every);
                let month0 = month.rem_euclid(12).cast_unsigned();
                NaiveDate::from_ymd_opt(month.div_euclid(12), month0 + 1, 1)
            }
        }
    }

    fn next(self, date: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days(days) => date.checked_add_days(Days::new(days)),
            Self::Months(months) => date.checked_add_months(Months::new(months)),
        }
    }
}

/// Labelled dates at a distance for which a chart of so many pixels has room.
fn ticks(time: &TimeScale, width: i64) -> Vec<(NaiveDate, String)> {
    let fits = |step: &Step| step.days() * width >= step.label_width() * time.days();
    let coarsest = STEPS[STEPS.len() - 1];
    let step = STEPS.into_iter().find(fits).unwrap_or(coarsest);
    let dates = std::iter::successors(step.first(time.first()), |date| step.next(*date));
    let shown = dates.take_while(|date| *date <= time.last());
    shown.map(|date| (date, step.label(date))).collect()
}

/// Vertical lines with dates below; on a narrow page fewer of them.
pub(super) fn write(out: &mut String, time: &TimeScale, (top, bottom): (f64, f64)) -> fmt::Result {
    let wide = ticks(time, WIDE);
    let narrow = ticks(time, NARROW);
    for tick in &wide {
        let class = if narrow.contains(tick) {
            "date"
        } else {
            "date wide"
        };
        write_tick(out, time, tick, class, (top, bottom))?;
    }
    for tick in narrow.iter().filter(|tick| !wide.contains(tick)) {
        write_tick(out, time, tick, "date narrow", (top, bottom))?;
    }
    Ok(())
}

fn write_tick(
    out: &mut String,
    time: &TimeScale,
    (date, label): &(NaiveDate, String),
    class: &str,
    (top, bottom): (f64, f64),
) -> fmt::Result {
    let (x, y) = (time.percent(*date), bottom + 15.0);
    // At the edges a label stays within the chart.
    let anchor = match x {
        x if x < 4.0 => " text-anchor=\"start\"",
        x if x > 96.0 => " text-anchor=\"end\"",
        _ => "",
    };
    write!(
        out,
        "<g class=\"{class}\"><line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{top}\" y2=\"{bottom}\"/>\
         <text x=\"{x:.2}%\" y=\"{y}\"{anchor}>{label}</text></g>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(first: &str, last: &str, width: i64) -> Vec<String> {
        let time = TimeScale::new(first.parse().unwrap(), last.parse().unwrap());
        let ticks = ticks(&time, width).into_iter();
        ticks.map(|(_, label)| label).collect()
    }

    #[test]
    fn labelled_dates_are_round() {
        for (first, last, width, expected) in [
            (
                "2024-01-03",
                "2024-01-09",
                WIDE,
                "2024-01-03 2024-01-04 2024-01-05 2024-01-06 2024-01-07 2024-01-08 2024-01-09",
            ),
            (
                "2024-01-03",
                "2024-02-20",
                WIDE,
                "2024-01-08 2024-01-15 2024-01-22 2024-01-29 2024-02-05 2024-02-12 2024-02-19",
            ),
            (
                "2023-11-15",
                "2024-09-03",
                WIDE,
                "2023-12 2024-01 2024-02 2024-03 2024-04 2024-05 2024-06 2024-07 2024-08 2024-09",
            ),
            (
                "2021-02-01",
                "2024-02-01",
                WIDE,
                "2021-04 2021-07 2021-10 2022-01 2022-04 2022-07 2022-10 2023-01 2023-04 2023-07 2023-10 2024-01",
            ),
            (
                "1948-01-01",
                "2024-06-01",
                WIDE,
                "1950 1955 1960 1965 1970 1975 1980 1985 1990 1995 2000 2005 2010 2015 2020",
            ),
            ("1948-01-01", "2024-06-01", NARROW, "1960 1980 2000 2020"),
            ("1859-01-01", "2024-06-01", NARROW, "1900 1950 2000"),
        ] {
            let shown = labels(first, last, width).join(" ");
            assert_eq!(shown, expected, "{first} to {last}");
        }
    }

    #[test]
    fn labels_have_room_whatever_the_time() {
        let first: NaiveDate = "1971-03-19".parse().unwrap();
        for days in 1..2_000_u64 {
            let last = first + Days::new(days * days / 40 + days);
            let time = TimeScale::new(first, last);
            for width in [WIDE, NARROW] {
                let ticks = ticks(&time, width);
                for pair in ticks.windows(2) {
                    let apart = time.percent(pair[1].0) - time.percent(pair[0].0);
                    #[expect(clippy::cast_precision_loss, reason = "they are few")]
                    let (pixels, chars) = (apart * width as f64 / 100.0, pair[0].1.len() as f64);
                    // A figure is at most 7 pixels wide.
                    assert!(pixels > chars * 7.0, "{first} to {last}: {ticks:?}");
                }
            }
        }
    }
}
