//! A plot as SVG: a logarithmic axis to the right, what it costs upwards from zero.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use super::figures::{Plot, whole};
use crate::report::table::number;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 320;
const MARGIN: u32 = 14;
const Y_LABELS_WIDTH: u32 = 84;
const X_LABELS_HEIGHT: u32 = 40;
const POINT_RADIUS: i32 = 4;
const COLOURS: [RGBColor; 4] = [
    RGBColor(31, 90, 150),
    RGBColor(200, 60, 40),
    RGBColor(70, 110, 70),
    RGBColor(150, 100, 20),
];

/// Writes it into the folder, under its name.
pub(super) fn write(plot: &Plot, folder: &Path) -> Result<()> {
    let path = folder.join(format!("{}.svg", plot.name));
    let svg = draw(plot).map_err(|error| anyhow!("cannot draw {}: {error}", plot.name))?;
    fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))
}

fn draw(plot: &Plot) -> Result<String, Box<dyn std::error::Error>> {
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points().map(|point| point.0).fold(least, f64::max);
    let top = points().map(|point| point.1).fold(0.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        let x = ((least * 0.9)..(most * 1.1)).log_scale();
        let mut chart = ChartBuilder::on(&area)
            .caption(&plot.title, ("sans-serif", 16))
            .margin(MARGIN)
            .set_label_area_size(LabelAreaPosition::Left, Y_LABELS_WIDTH)
            .set_label_area_size(LabelAreaPosition::Bottom, X_LABELS_HEIGHT)
            .build_cartesian_2d(x, 0.0..(top * 1.1).max(f64::MIN_POSITIVE))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(&plot.x)
            .y_desc(&plot.y)
            .x_label_formatter(&|x| whole(*x))
            .y_label_formatter(&|y| label(*y))
            .draw()?;
        for (line, colour) in plot.lines.iter().zip(COLOURS) {
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(series)?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            let dots = line.points.iter();
            let dot = |point: &(f64, f64)| Circle::new(*point, POINT_RADIUS, colour.filled());
            chart.draw_series(dots.map(dot))?;
        }
        if plot.lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// Without digits behind the point that say nothing.
fn label(y: f64) -> String {
    let text = number(y);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_drawn_and_named() {
        let mut plot = Plot::new("p", "Title", ("subscribers", "ms"), &["first", "second"]);
        plot.add(1.0, &[1.0, 2.0]);
        plot.add(1_000.0, &[3.0, 4.0]);
        let svg = draw(&plot).unwrap();
        for text in ["Title", "subscribers", "ms", "first", "second"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
    }
}
