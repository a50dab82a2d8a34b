use std::fmt::{self, Write};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::super::result::InputTrace;
use super::scale::{TimeScale, ValueScale};

/// The width of the space that lines are drawn in, before it is stretched to that of the page.
pub(super) const WIDTH: f64 = 1_000.0;
/// A line has so many columns, of which each shows its lowest and highest point.
const COLUMNS: i64 = 880;

/// Points without a gap between them.
type Segment = Vec<(NaiveDate, f64)>;

/// A line over time, with gaps.
pub(super) struct Line {
    /// By which the page styles it.
    class: &'static str,
    segments: Vec<Segment>,
}

impl Line {
    /// A point without a value is a gap.
    pub(super) fn new(
        class: &'static str,
        points: impl IntoIterator<Item = (NaiveDate, Option<Decimal>)>,
    ) -> Self {
        let mut segments = vec![Vec::new()];
        for (date, number) in points {
            match number.and_then(|number| number.to_f64()) {
                Some(number) => {
                    let open = segments.len() - 1;
                    segments[open].push((date, number));
                }
                None => segments.push(Vec::new()),
            }
        }
        segments.retain(|segment| !segment.is_empty());
        Self { class, segments }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.segments.iter().flatten().map(|(_, value)| *value)
    }

    pub(super) fn write(
        &self,
        out: &mut String,
        time: &TimeScale,
        values: &ValueScale,
    ) -> fmt::Result {
        write!(out, "<path class=\"{}\" d=\"", self.class)?;
        for segment in &self.segments {
            let points = thinned(segment, time);
            for (index, (date, value)) in points.iter().enumerate() {
                let x = time.percent(*date) * WIDTH / 100.0;
                let y = values.y(*value);
                let command = if index == 0 { "M" } else { "L" };
                write!(out, "{command}{x:.1} {y:.1}")?;
            }
            // A line of one point would be none; one without length is a dot.
            if points.len() == 1 {
                out.write_str("h0")?;
            }
        }
        out.write_str("\"/>")
    }
}

/// The observations of an input, with a gap where one was too old to count.
pub(super) fn with_gaps(input: &InputTrace) -> Vec<(NaiveDate, Option<Decimal>)> {
    let mut points = Vec::new();
    let mut before: Option<NaiveDate> = None;
    for (date, value) in &input.observations {
        if let Some(before) = before.filter(|b| (*date - *b).num_days() > input.gap_days) {
            points.push((before, None));
        }
        points.push((*date, Some(*value)));
        before = Some(*date);
    }
    points
}

/// Of each column the lowest and the highest point, in order: what can be seen of more.
fn thinned(segment: &[(NaiveDate, f64)], time: &TimeScale) -> Segment {
    let column = |date: NaiveDate| (date - time.first()).num_days() * COLUMNS / time.days();
    let mut kept = Segment::new();
    for run in segment.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let by_value = |a: &&(NaiveDate, f64), b: &&(NaiveDate, f64)| a.1.total_cmp(&b.1);
        let ends = [run.iter().min_by(by_value), run.iter().max_by(by_value)];
        let mut ends: Vec<_> = ends.into_iter().flatten().copied().collect();
        ends.sort_by_key(|point| point.0);
        ends.dedup();
        kept.extend(ends);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::default() + chrono::Days::new(number)
    }

    #[test]
    fn a_spike_is_seen_however_many_points_there_are() {
        let points = 20_000;
        let of = |index| if index == 9_999 { 80.0 } else { 10.0 };
        let segment: Segment = (0..points).map(|index| (day(index), of(index))).collect();
        let time = TimeScale::new(day(0), day(points - 1));
        let kept = thinned(&segment, &time);
        assert!(kept.len() <= 2 * (COLUMNS as usize + 1), "{}", kept.len());
        assert!(kept.contains(&(day(9_999), 80.0)));
        assert!(kept.is_sorted_by_key(|point| point.0));
    }
}
