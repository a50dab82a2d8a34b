//! Charts of the report, as SVG with texts in pixels whatever the width: places along the time axis are
//! percentages, and only lines are stretched.

mod bands;
mod lines;
mod readout;
mod scale;
mod ticks;

use std::fmt::{self, Write};

use chrono::NaiveDate;

use self::lines::Line;
use self::readout::Reading;
use self::scale::{TimeScale, ValueScale};
use super::result::{BacktestResult, InputTrace, PatternResult};
use evaluation::machine::Spell;

pub(super) use bands::{regime_chart, states};

const VALUE_HEIGHT: f64 = 210.0;
const INPUT_HEIGHT: f64 = 96.0;
/// The row above a chart that shows the value under the pointer.
const READOUT_HEIGHT: f64 = 20.0;
/// The row below it with dates.
const DATES_HEIGHT: f64 = 22.0;
/// The column beside it with values.
pub(super) const AXIS_WIDTH: f64 = 64.0;

/// What is drawn behind the lines of every chart of a pattern.
pub(super) struct Background<'a> {
    pub(super) result: &'a BacktestResult,
    pub(super) pattern: &'a PatternResult,
}

impl<'a> Background<'a> {
    /// The value of the pattern over time with its threshold, below the regimes. `None`: there is nothing
    /// to draw.
    pub(super) fn value_chart(&self) -> Option<String> {
        let trace = &self.pattern.trace;
        let lines = vec![
            Line::new("threshold", trace.iter().map(|t| (t.date, t.threshold))),
            Line::new("value", trace.iter().map(|t| (t.date, t.value))),
        ];
        let readings = trace.iter().map(|point| Reading {
            date: point.date,
            value: point.value,
            threshold: point.threshold,
        });
        let chart = Chart {
            label: format!("Value of {}", self.pattern.name),
            height: VALUE_HEIGHT,
            time: self.time()?,
            values: ValueScale::of(&lines, VALUE_HEIGHT)?,
            lines,
            readings: readings.collect(),
        };
        Some(self.svg(&chart, true))
    }

    /// An input as it was observed, over the same time.
    pub(super) fn input_chart(&self, input: &InputTrace) -> Option<String> {
        let lines = vec![Line::new("input", lines::with_gaps(input))];
        let observed = input.observations.iter();
        let readings = observed.map(|(date, value)| Reading {
            date: *date,
            value: Some(*value),
            threshold: None,
        });
        let chart = Chart {
            label: format!("Observations of {}", input.series),
            height: INPUT_HEIGHT,
            time: self.time()?,
            values: ValueScale::of(&lines, INPUT_HEIGHT)?,
            lines,
            readings: readings.collect(),
        };
        Some(self.svg(&chart, false))
    }

    fn time(&self) -> Option<TimeScale> {
        let trace = &self.pattern.trace;
        Some(TimeScale::new(trace.first()?.date, trace.last()?.date))
    }

    fn svg(&self, chart: &Chart, with_regimes: bool) -> String {
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut svg, chart, with_regimes);
        svg
    }

    fn write(&self, out: &mut String, chart: &Chart, with_regimes: bool) -> fmt::Result {
        let regimes = if with_regimes {
            self.result.regimes.as_slice()
        } else {
            &[]
        };
        let top = READOUT_HEIGHT + bands::height(regimes);
        let full = top + chart.height + DATES_HEIGHT;
        chart.write_axis(out, top, full)?;
        write!(
            out,
            "<svg class=\"plot\" width=\"100%\" height=\"{full}\" role=\"img\" aria-label=\"{}\">",
            super::report::escape(&chart.label)
        )?;
        bands::write(out, regimes, &chart.time, READOUT_HEIGHT)?;
        for recession in &self.result.recessions {
            let (from, until) = (recession.from, recession.until);
            chart.write_shade(out, "recession", (from, until), top)?;
        }
        for spell in &self.pattern.spells {
            let until = spell.cleared.unwrap_or(chart.time.last());
            let class = format!("spell {}", self.pattern.severity.name());
            chart.write_shade(out, &class, (spell.entered, until), top)?;
        }
        chart.write_grid(out, top)?;
        chart.write_lines(out, top)?;
        readout::write(out, chart, &self.pattern.spells, top)?;
        out.write_str("</svg>")
    }
}

/// One chart: lines over time.
struct Chart {
    /// For those who do not see it.
    label: String,
    height: f64,
    time: TimeScale,
    values: ValueScale,
    lines: Vec<Line>,
    readings: Vec<Reading>,
}

impl Chart {
    fn write_axis(&self, out: &mut String, top: f64, full: f64) -> fmt::Result {
        let (width, right) = (AXIS_WIDTH, AXIS_WIDTH - 6.0);
        write!(
            out,
            "<svg class=\"axis\" width=\"{width}\" height=\"{full}\" aria-hidden=\"true\">"
        )?;
        for (value, label) in self.values.ticks() {
            let y = top + self.values.y(value) + 4.0;
            write!(out, "<text x=\"{right}\" y=\"{y:.1}\">{label}</text>")?;
        }
        out.write_str("</svg>")
    }

    fn write_grid(&self, out: &mut String, top: f64) -> fmt::Result {
        for (value, _) in self.values.ticks() {
            let y = top + self.values.y(value);
            write!(
                out,
                "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            )?;
        }
        let bottom = top + self.height;
        ticks::write(out, &self.time, (top, bottom))
    }

    fn write_lines(&self, out: &mut String, top: f64) -> fmt::Result {
        let (width, height) = (lines::WIDTH, self.height);
        write!(
            out,
            "<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" y=\"{top}\" \
             width=\"100%\" height=\"{height}\">"
        )?;
        for line in &self.lines {
            line.write(out, &self.time, &self.values)?;
        }
        out.write_str("</svg>")
    }

    /// A time, the whole height. Also one of a day is to be seen, by its edge.
    fn write_shade(
        &self,
        out: &mut String,
        class: &str,
        (from, until): (NaiveDate, NaiveDate),
        top: f64,
    ) -> fmt::Result {
        let Some((x, width)) = self.time.range(from, until) else {
            return Ok(());
        };
        let (height, bottom) = (self.height, top + self.height);
        write!(
            out,
            "<g class=\"{class}\"><rect x=\"{x:.2}%\" y=\"{top}\" width=\"{width:.2}%\" \
             height=\"{height}\"/><line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{top}\" y2=\"{bottom}\"/></g>"
        )
    }
}

/// Whether a pattern was active at a date.
fn is_active(spells: &[Spell], date: NaiveDate) -> bool {
    spells
        .iter()
        .any(|spell| spell.entered <= date && spell.cleared.is_none_or(|cleared| date < cleared))
}
