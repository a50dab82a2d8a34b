//! What was measured, kept in a file, so that some axes can be measured again without the others.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::report::table::number;

/// All plots, in the order of their names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    /// What decides figures, one line each.
    pub(super) settings: Vec<String>,
    pub(super) plots: Vec<Plot>,
}

/// Lines over the same axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plot {
    /// Of the file, and of the place in the documentation.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) x: String,
    /// With the unit.
    pub(super) y: String,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Plot {
    /// One with lines that have no points yet.
    pub(super) fn new(name: &str, title: &str, (x, y): (&str, &str), lines: &[&str]) -> Self {
        let line = |name: &&str| Line {
            name: (*name).to_owned(),
            points: Vec::new(),
        };
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            x: x.to_owned(),
            y: y.to_owned(),
            lines: lines.iter().map(line).collect(),
        }
    }

    /// Adds a point to each line.
    pub(super) fn add(&mut self, x: f64, values: &[f64]) {
        for (line, value) in self.lines.iter_mut().zip(values) {
            line.points.push((x, *value));
        }
    }

    /// What a line is at a place of the axis.
    pub(super) fn at(&self, line: usize, x: f64) -> Option<f64> {
        let points = &self.lines.get(line)?.points;
        Some(points.iter().find(|point| point.0 == x)?.1)
    }

    /// As a table: a row for each place of the axis.
    pub(super) fn cells(&self) -> Vec<Vec<String>> {
        let mut header = vec![self.x.clone()];
        header.extend(self.lines.iter().map(|l| format!("{}, {}", l.name, self.y)));
        let mut cells = vec![header];
        let places = self.lines.first().map_or(&[][..], |line| &line.points);
        for (index, (x, _)) in places.iter().enumerate() {
            let mut row = vec![whole(*x)];
            row.extend(self.lines.iter().map(|line| match line.points.get(index) {
                Some((_, value)) => number(*value),
                None => String::new(),
            }));
            cells.push(row);
        }
        cells
    }
}

/// A place of an axis: always a count.
pub(super) fn whole(x: f64) -> String {
    number(x).trim_end_matches(".00").to_owned()
}

impl Figures {
    /// Those of a file; none if there is no file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(json) => {
                serde_json::from_slice(&json).with_context(|| format!("{}", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{}", path.display())),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let json = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Adds a plot, instead of the one of its name.
    pub(super) fn put(&mut self, plot: Plot) {
        self.plots.retain(|other| other.name != plot.name);
        self.plots.push(plot);
        self.plots.sort_by(|a, b| a.name.cmp(&b.name));
    }

    pub(super) fn find(&self, name: &str) -> Option<&Plot> {
        self.plots.iter().find(|plot| plot.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_measured_again_replaces_the_other() {
        let mut figures = Figures::default();
        for value in [1.0, 2.5] {
            let mut plot = Plot::new("p", "P", ("events", "ms"), &["a"]);
            plot.add(100.0, &[value]);
            figures.put(plot);
        }
        assert_eq!(figures.plots.len(), 1);
        assert_eq!(figures.find("p").unwrap().at(0, 100.0), Some(2.5));
        assert_eq!(
            figures.plots[0].cells(),
            [["events", "a, ms"], ["100", "2.50"]]
        );
    }
}
