use chrono::NaiveDate;
use plotters::coord::Shift;
use plotters::coord::types::{RangedCoordf64, RangedDate};
use plotters::prelude::*;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::play::{InputTrace, PatternResult};
use crate::machine::Spell;

const WIDTH: u32 = 960;
const VALUE_HEIGHT: u32 = 260;
const INPUT_HEIGHT: u32 = 130;
/// Of a plot the lines have so many columns of pixels, of which each shows its lowest and highest point.
const COLUMNS: i64 = 880;
const Y_LABELS_WIDTH: u32 = 72;

pub(super) const VALUE: RGBColor = RGBColor(31, 90, 150);
pub(super) const THRESHOLD: RGBColor = RGBColor(200, 60, 40);
pub(super) const INPUT: RGBColor = RGBColor(70, 110, 70);
pub(super) const ACTIVE: RGBColor = RGBColor(240, 170, 60);

pub(super) type PlotError = Box<dyn std::error::Error>;
type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedDate<NaiveDate>, RangedCoordf64>>;
/// Points without a gap between them.
type Segment = Vec<(NaiveDate, f64)>;

/// What a plot shows.
struct Picture<'a> {
    height: u32,
    dates: (NaiveDate, NaiveDate),
    lines: Vec<(Vec<Segment>, RGBColor)>,
    spells: &'a [Spell],
}

/// The value of a pattern over time with its threshold, and the times for which it was active shaded, as
/// SVG. `None` if there is nothing to draw.
pub(super) fn value_svg(result: &PatternResult) -> Option<Result<String, PlotError>> {
    let line = |number: &dyn Fn(usize) -> Option<Decimal>| {
        let trace = result.trace.iter().enumerate();
        segments(trace.map(|(index, point)| (point.date, number(index))))
    };
    Picture {
        height: VALUE_HEIGHT,
        dates: dates(result)?,
        lines: vec![
            (line(&|index| result.trace[index].threshold), THRESHOLD),
            (line(&|index| result.trace[index].value), VALUE),
        ],
        spells: &result.spells,
    }
    .svg()
}

/// An input of a pattern as it was observed, over the same time.
pub(super) fn input_svg(
    result: &PatternResult,
    input: &InputTrace,
) -> Option<Result<String, PlotError>> {
    let mut observed = Vec::new();
    for (index, (date, value)) in input.observations.iter().enumerate() {
        let before = index
            .checked_sub(1)
            .map(|index| input.observations[index].0);
        // Where it was too old to count there is a gap.
        if let Some(before) = before.filter(|before| (*date - *before).num_days() > input.gap_days)
        {
            observed.push((before, None));
        }
        observed.push((*date, Some(*value)));
    }
    Picture {
        height: INPUT_HEIGHT,
        dates: dates(result)?,
        lines: vec![(segments(observed), INPUT)],
        spells: &result.spells,
    }
    .svg()
}

fn dates(result: &PatternResult) -> Option<(NaiveDate, NaiveDate)> {
    let first = result.trace.first()?.date;
    let last = result.trace.last()?.date;
    Some((first, last.max(first.succ_opt().unwrap_or(first))))
}

fn segments(points: impl IntoIterator<Item = (NaiveDate, Option<Decimal>)>) -> Vec<Segment> {
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
    segments
}

/// Of each column of the picture the lowest and the highest point, in order: what can be seen of more.
fn thinned(segment: &[(NaiveDate, f64)], (first, last): (NaiveDate, NaiveDate)) -> Segment {
    let days = (last - first).num_days().max(1);
    let column = |date: NaiveDate| (date - first).num_days() * COLUMNS / days;
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

impl Picture<'_> {
    fn svg(&self) -> Option<Result<String, PlotError>> {
        let bounds = self.bounds()?;
        let mut svg = String::new();
        let drawn = {
            let size = (WIDTH, self.height);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw(&area, bounds)
        };
        Some(drawn.map(|()| svg))
    }

    fn bounds(&self) -> Option<(f64, f64)> {
        let segments = self.lines.iter().flat_map(|(segments, _)| segments);
        let numbers = segments.flatten().map(|(_, number)| *number);
        let (low, high) = numbers.fold((f64::MAX, f64::MIN), |(low, high), number| {
            (low.min(number), high.max(number))
        });
        if low > high {
            return None;
        }
        let margin = ((high - low) * 0.05).max(high.abs().max(1.0) * 1e-3);
        Some((low - margin, high + margin))
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        (low, high): (f64, f64),
    ) -> Result<(), PlotError> {
        let (first, last) = self.dates;
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(24)
            .y_label_area_size(Y_LABELS_WIDTH)
            .build_cartesian_2d(first..last, low..high)?;
        let days = (last - first).num_days();
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.08))
            .axis_style(BLACK.mix(0.4))
            .x_labels(10)
            .y_labels(self.height as usize / 45)
            .x_label_formatter(&|date| date_label(*date, days))
            .y_label_formatter(&|number| number_label(*number, high - low))
            .label_style(("sans-serif", 12))
            .draw()?;
        for spell in self.spells {
            self.draw_spell(&mut chart, *spell, (low, high))?;
        }
        for (segments, color) in &self.lines {
            for segment in segments {
                let style = color.stroke_width(1);
                let segment = thinned(segment, self.dates);
                // A line of one point is none.
                if let [point] = segment.as_slice() {
                    chart.draw_series([Circle::new(*point, 1, color.filled())])?;
                }
                chart.draw_series(LineSeries::new(segment, style))?;
            }
        }
        area.present()?;
        Ok(())
    }

    fn draw_spell(
        &self,
        chart: &mut Chart<'_, '_>,
        spell: Spell,
        (low, high): (f64, f64),
    ) -> Result<(), PlotError> {
        let (first, last) = self.dates;
        let from = spell.entered.max(first);
        let to = spell.cleared.unwrap_or(last).min(last);
        let shade = Rectangle::new([(from, low), (to, high)], ACTIVE.mix(0.45).filled());
        // Also a spell of one day is to be seen.
        let edge = PathElement::new([(from, low), (from, high)], ACTIVE.stroke_width(1));
        chart.draw_series([shade])?;
        chart.draw_series([edge])?;
        Ok(())
    }
}

fn date_label(date: NaiveDate, days: i64) -> String {
    let format = match days {
        0..=120 => "%Y-%m-%d",
        121..=6_000 => "%Y-%m",
        _ => "%Y",
    };
    date.format(format).to_string()
}

/// With as many decimals as tell one label from the next, and thousands apart.
fn number_label(number: f64, range: f64) -> String {
    let decimals = match range {
        range if range > 20.0 => 0,
        range if range > 2.0 => 1,
        range if range > 0.2 => 2,
        _ => 4,
    };
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

    fn day(number: u64) -> NaiveDate {
        NaiveDate::default() + chrono::Days::new(number)
    }

    #[test]
    fn a_spike_is_seen_however_many_points_there_are() {
        let points = 20_000;
        let of = |index| if index == 9_999 { 80.0 } else { 10.0 };
        let segment: Segment = (0..points).map(|index| (day(index), of(index))).collect();
        let kept = thinned(&segment, (day(0), day(points - 1)));
        assert!(kept.len() <= 2 * (COLUMNS as usize + 1), "{}", kept.len());
        assert!(kept.contains(&(day(9_999), 80.0)));
        assert!(kept.is_sorted_by_key(|point| point.0));
    }

    #[test]
    fn labels_are_short_and_differ() {
        for (number, range, label) in [
            (1_234_567.8, 500_000.0, "1,234,568"),
            (-1_000.0, 5_000.0, "-1,000"),
            (-0.001, 30.0, "0"),
            (4.25, 12.0, "4.2"),
            (-0.5, 1.5, "-0.50"),
            (0.0125, 0.1, "0.0125"),
            (999.0, 900.0, "999"),
        ] {
            assert_eq!(number_label(number, range), label);
        }
    }
}
