use chrono::NaiveDate;
use plotters::coord::Shift;
use plotters::coord::types::{RangedCoordf64, RangedDate};
use plotters::prelude::*;
use rust_decimal::prelude::ToPrimitive;

use super::play::{PatternResult, TracePoint};
use crate::machine::Spell;

const SIZE: (u32, u32) = (960, 260);
const LINE: RGBColor = RGBColor(31, 90, 150);
const THRESHOLD: RGBColor = RGBColor(200, 60, 40);
const SPELL: RGBColor = RGBColor(240, 170, 60);
/// At most this many points of a line: more than a picture has columns for.
const POINTS_MAX: usize = 4_000;

type PlotError = Box<dyn std::error::Error>;
type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedDate<NaiveDate>, RangedCoordf64>>;

/// The value of a pattern over time with its threshold, and the times for which it was active shaded, as
/// SVG. `None` if there is nothing to draw.
pub(super) fn svg(result: &PatternResult) -> Option<Result<String, PlotError>> {
    let first = result.trace.first()?.date;
    let last = result.trace.last()?.date;
    let (low, high) = bounds(&result.trace)?;
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area, result, (first, last), (low, high))
    };
    Some(drawn.map(|()| svg))
}

fn bounds(trace: &[TracePoint]) -> Option<(f64, f64)> {
    let numbers = trace
        .iter()
        .flat_map(|point| [point.value, point.threshold]);
    let numbers = numbers.flatten().filter_map(|number| number.to_f64());
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
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    result: &PatternResult,
    (first, last): (NaiveDate, NaiveDate),
    (low, high): (f64, f64),
) -> Result<(), PlotError> {
    area.fill(&WHITE)?;
    let last = last.max(first.succ_opt().unwrap_or(first));
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(64)
        .build_cartesian_2d(first..last, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.08))
        .axis_style(BLACK.mix(0.4))
        .x_labels(12)
        .y_labels(6)
        .x_label_formatter(&|date| date.format("%Y-%m").to_string())
        .label_style(("sans-serif", 12))
        .draw()?;
    for spell in &result.spells {
        draw_spell(&mut chart, *spell, (first, last), (low, high))?;
    }
    for segment in segments(&result.trace, |point| point.threshold) {
        let style = ShapeStyle::from(THRESHOLD).stroke_width(1);
        chart.draw_series(LineSeries::new(segment, style))?;
    }
    for segment in segments(&result.trace, |point| point.value) {
        let style = ShapeStyle::from(LINE).stroke_width(1);
        chart.draw_series(LineSeries::new(segment, style))?;
    }
    area.present()?;
    Ok(())
}

fn draw_spell(
    chart: &mut Chart<'_, '_>,
    spell: Spell,
    (first, last): (NaiveDate, NaiveDate),
    (low, high): (f64, f64),
) -> Result<(), PlotError> {
    let from = spell.entered.max(first);
    let to = spell.cleared.unwrap_or(last).min(last);
    let shade = Rectangle::new([(from, low), (to, high)], SPELL.mix(0.45).filled());
    // Also a spell of one day is to be seen.
    let edge = PathElement::new([(from, low), (from, high)], SPELL.stroke_width(1));
    chart.draw_series([shade])?;
    chart.draw_series([edge])?;
    Ok(())
}

/// Lines between dates that have data one after the other; thinned where there are more points than
/// a picture can show.
fn segments(
    trace: &[TracePoint],
    number: impl Fn(&TracePoint) -> Option<rust_decimal::Decimal>,
) -> Vec<Vec<(NaiveDate, f64)>> {
    let every = trace.len().div_ceil(POINTS_MAX).max(1);
    let mut segments = vec![Vec::new()];
    for (index, point) in trace.iter().enumerate() {
        match number(point).and_then(|number| number.to_f64()) {
            Some(number) if index % every == 0 || index + 1 == trace.len() => {
                let open = segments.len() - 1;
                segments[open].push((point.date, number));
            }
            Some(_) => {}
            None => segments.push(Vec::new()),
        }
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}
