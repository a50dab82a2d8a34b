//! Figures over runs, as a table.

use std::fmt::Write as _;

use anyhow::Result;
use chrono::Utc;

use crate::{database, message, process};

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Target {
    fn met_by(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", number(bound)),
            Self::AtMost(bound) => format!("<= {}", number(bound)),
            Self::None => String::new(),
        }
    }
}

struct Row {
    workload: String,
    figure: String,
    target: Target,
    values: Vec<f64>,
}

/// All figures, in the order in which they first came.
pub(crate) struct Report {
    settings: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(settings: Vec<String>) -> Self {
        Self {
            settings,
            rows: Vec::new(),
        }
    }

    /// Adds what one run gave. The unit is the end of the figure's name.
    pub(crate) fn add(&mut self, workload: &str, figure: &str, target: Target, value: f64) {
        let known = |row: &&mut Row| row.workload == workload && row.figure == figure;
        match self.rows.iter_mut().find(known) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row {
                workload: workload.to_owned(),
                figure: figure.to_owned(),
                target,
                values: vec![value],
            }),
        }
    }

    /// Adds CPU time per event and the server's memory.
    pub(crate) fn add_cost(&mut self, workload: &str, cpu: process::Cpu, events: u64, pid: u32) {
        let per_event = |seconds: f64| seconds * 1e6 / events.max(1) as f64;
        for (figure, seconds) in [
            ("server CPU, us an event", cpu.server),
            ("load generator CPU, us an event", cpu.client),
            ("database and rest CPU, us an event", cpu.rest),
        ] {
            self.add(workload, figure, Target::None, per_event(seconds));
        }
        let memory = process::resident_mib(pid);
        self.add(workload, "server memory, MiB", Target::None, memory);
    }

    fn cells(&self) -> Vec<[String; 7]> {
        let header = [
            "workload", "figure", "median", "min", "max", "target", "met",
        ];
        let mut cells = vec![header.map(str::to_owned)];
        for row in &self.rows {
            let mut values = row.values.clone();
            values.sort_by(f64::total_cmp);
            let median = median(&values);
            let met = match row.target.met_by(median) {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let bound = |value: Option<&f64>| value.copied().map(number).unwrap_or_default();
            cells.push([
                row.workload.clone(),
                row.figure.clone(),
                number(median),
                bound(values.first()),
                bound(values.last()),
                row.target.text(),
                met.to_owned(),
            ]);
        }
        cells
    }

    /// For a terminal.
    pub(crate) fn table(&self) -> String {
        let cells = self.cells();
        let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut text = String::from("\n");
        for row in &cells {
            let [workload, figure, rest @ ..] = row;
            let _ = write!(text, "{workload:<0$}  {figure:<1$}", widths[0], widths[1]);
            for (cell, width) in rest.iter().zip(&widths[2..]) {
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        }
        text
    }

    /// For a file.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "# Measurements\n\nMade by `make bench`; each figure is the median of its runs, with \
             the least and the greatest. Every workload also proved that each event was \
             acknowledged once, and received once and in order.\n\n",
        );
        for line in &self.settings {
            let _ = writeln!(text, "- {line}");
        }
        text.push('\n');
        for (index, row) in self.cells().iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if index == 0 {
                text.push_str("|---|---|---:|---:|---:|---:|---|\n");
            }
        }
        text
    }
}

/// The middle of sorted values.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// Large numbers whole with separators, small ones with two decimals.
fn number(value: f64) -> String {
    if value.abs() < 1_000.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What decides figures, one line each.
pub(crate) async fn settings(database_url: &str) -> Result<Vec<String>> {
    let database = database::settings(database_url).await?;
    let build = match cfg!(debug_assertions) {
        true => "debug build: these figures say nothing about speed",
        false => "release build",
    };
    Ok(vec![
        format!(
            "atlas {} ({build}), {}",
            env!("CARGO_PKG_VERSION"),
            Utc::now().date_naive()
        ),
        format!(
            "{}, shared_buffers {}",
            database.version, database.shared_buffers
        ),
        format!(
            "fsync {}, synchronous_commit {}",
            database.fsync, database.synchronous_commit
        ),
        format!("machine: {}", process::machine()),
        "server, database and load generator share the machine and talk over loopback".to_owned(),
        format!("event: {}", message::DESCRIPTION),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, expected) in [
            (0.125, "0.12"),
            (999.0, "999.00"),
            (1_000.4, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_row_has_the_median_of_its_runs_and_its_target() {
        let mut report = Report::new(Vec::new());
        for value in [3.0, 1.0, 2.0] {
            report.add("w", "f", Target::AtMost(2.5), value);
        }
        assert_eq!(
            report.cells()[1],
            ["w", "f", "2.00", "1.00", "3.00", "<= 2.50", "yes"]
        );
    }
}
