//! Figures over runs, as a table.

pub(crate) mod table;

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::Result;
use chrono::Utc;
use clap::ValueEnum;

use crate::{
    load::message,
    stage::{
        database,
        process::{self, Cpu},
    },
    systems::System,
    workloads::{catch_up, fan_out, latency, publish},
};
use table::number;

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

/// A figure of a workload, over all systems and runs.
pub(crate) struct Row {
    workload: String,
    figure: String,
    target: Target,
    /// Whether it is about CPU and memory.
    is_cost: bool,
    values: BTreeMap<System, Vec<f64>>,
}

impl Row {
    /// Sorted.
    fn of(&self, system: System) -> Option<Vec<f64>> {
        let mut values = self.values.get(&system)?.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }

    /// How ATLAS compares: the median of what each run gives.
    fn ratio(&self, than: System) -> Option<f64> {
        let (atlas, other) = (self.values.get(&System::Atlas)?, self.values.get(&than)?);
        let ratios = atlas.iter().zip(other).map(|(atlas, other)| atlas / other);
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        Some(median(&ratios))
    }
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

    /// Another line of what decides figures.
    pub(crate) fn note(&mut self, line: String) {
        self.settings.push(line);
    }

    /// Adds what one run of ATLAS gave. The unit is the end of the figure's name.
    pub(crate) fn add(&mut self, workload: &str, figure: &str, target: Target, value: f64) {
        self.add_of(System::Atlas, workload, figure, target, value);
    }

    /// Adds what one run of a system gave. The target is that of ATLAS.
    pub(crate) fn add_of(
        &mut self,
        system: System,
        workload: &str,
        figure: &str,
        target: Target,
        value: f64,
    ) {
        self.row(workload, figure, target)
            .values
            .entry(system)
            .or_default()
            .push(value);
    }

    fn row(&mut self, workload: &str, figure: &str, target: Target) -> &mut Row {
        let known = |row: &Row| row.workload == workload && row.figure == figure;
        let index = self.rows.iter().position(known).unwrap_or_else(|| {
            self.rows.push(Row {
                workload: workload.to_owned(),
                figure: figure.to_owned(),
                target,
                is_cost: false,
                values: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    /// Adds CPU time per event and the server's memory.
    pub(crate) fn add_cost(&mut self, workload: &str, cpu: Cpu, events: u64, pid: u32) {
        self.add_cost_of(System::Atlas, workload, cpu, events, pid);
    }

    /// Adds CPU time per event and the memory of the server, if it has a process.
    pub(crate) fn add_cost_of(
        &mut self,
        system: System,
        workload: &str,
        cpu: Cpu,
        events: u64,
        pid: u32,
    ) {
        let per_event = |seconds: f64| seconds * 1e6 / events.max(1) as f64;
        let mut costs = vec![
            ("load generator CPU, us an event", per_event(cpu.client)),
            ("database and rest CPU, us an event", per_event(cpu.rest)),
        ];
        if pid != 0 {
            costs.push(("server CPU, us an event", per_event(cpu.server)));
            costs.push(("server memory, MiB", process::resident_mib(pid)));
        }
        for (figure, value) in costs {
            let row = self.row(workload, figure, Target::None);
            row.is_cost = true;
            row.values.entry(system).or_default().push(value);
        }
    }

    /// The figure of a workload whose name begins so.
    pub(crate) fn find(&self, workload: &str, figure: &str) -> Option<&Row> {
        let is = |row: &&Row| row.workload.starts_with(workload) && row.figure == figure;
        self.rows.iter().find(is)
    }

    /// The systems that were measured.
    fn systems(&self) -> Vec<System> {
        let all = System::value_variants().iter().copied();
        let measured = |system: &System| self.rows.iter().any(|r| r.values.contains_key(system));
        all.filter(measured).collect()
    }

    /// Systems side by side, with how ATLAS compares to each.
    fn side_by_side(&self, costs: bool) -> Vec<Vec<String>> {
        let systems = self.systems();
        let mut header = vec!["workload".to_owned(), "figure".to_owned()];
        header.extend(systems.iter().map(|system| system.title().to_owned()));
        let mut cells = vec![header];
        let mut last_workload = "";
        for row in self.rows.iter().filter(|row| row.is_cost == costs) {
            let workload = if row.workload == last_workload {
                ""
            } else {
                &row.workload
            };
            last_workload = &row.workload;
            let mut line = vec![workload.to_owned(), row.figure.clone()];
            line.extend(systems.iter().map(|system| {
                let Some(values) = row.of(*system) else {
                    return String::new();
                };
                let value = number(median(&values));
                match row.ratio(*system) {
                    Some(ratio) if *system != System::Atlas && !costs => {
                        format!("{value} ({ratio:.2}x)")
                    }
                    _ => value,
                }
            }));
            cells.push(line);
        }
        cells
    }

    /// What ATLAS is to reach, and whether it does.
    fn targets(&self) -> Vec<Vec<String>> {
        let header = ["workload", "figure", "target", "measured", "met"];
        let mut cells = vec![header.map(str::to_owned).to_vec()];
        let mut add = |row: &Row, target: Target, than: &str, value: f64| {
            let met = match target.met_by(value) {
                Some(true) => "yes",
                Some(false) => "NO",
                None => return,
            };
            let bound = format!("{}{than}", target.text());
            let (workload, figure) = (row.workload.clone(), row.figure.clone());
            cells.push(vec![workload, figure, bound, number(value), met.to_owned()]);
        };
        for row in &self.rows {
            if let Some(values) = row.of(System::Atlas) {
                add(row, row.target, "", median(&values));
            }
        }
        for (workload, figure, than, target) in TARGET_RATIOS {
            let row = self.find(workload, figure);
            if let Some((row, ratio)) = row.and_then(|row| Some((row, row.ratio(than)?))) {
                add(row, target, &format!(" times {}", than.title()), ratio);
            }
        }
        cells
    }

    /// Every figure with its range over the runs.
    fn ranges(&self) -> Vec<Vec<String>> {
        let header = ["workload", "figure", "system", "median", "min", "max"];
        let mut cells = vec![header.map(str::to_owned).to_vec()];
        for row in &self.rows {
            for system in row.values.keys() {
                let values = row.of(*system).unwrap_or_default();
                let bound = |value: Option<&f64>| value.copied().map(number).unwrap_or_default();
                cells.push(vec![
                    row.workload.clone(),
                    row.figure.clone(),
                    system.title().to_owned(),
                    number(median(&values)),
                    bound(values.first()),
                    bound(values.last()),
                ]);
            }
        }
        cells
    }

    /// How many runs the figures are of.
    fn runs(&self) -> usize {
        let values = self.rows.iter().flat_map(|row| row.values.values());
        values.map(Vec::len).max().unwrap_or_default()
    }

    /// For a terminal.
    pub(crate) fn table(&self) -> String {
        let tables = [self.side_by_side(false), self.targets()];
        tables.map(|cells| table::plain(&cells)).join("")
    }

    /// For a file.
    pub(crate) fn markdown(&self, command: &str) -> String {
        let mut text = format!("{TITLE}\n{HOW_TO_READ}\n");
        for line in &self.settings {
            let _ = writeln!(text, "- {line}");
        }
        let _ = writeln!(text, "- command: `{command}`; runs: {}", self.runs());
        for (title, cells) in [
            ("Side by side", self.side_by_side(false)),
            ("Targets", self.targets()),
            ("What it costs", self.side_by_side(true)),
        ] {
            let _ = writeln!(
                text,
                "\n## {title}\n\n{}",
                table::markdown(&cells).trim_end()
            );
        }
        if self.runs() > 1 {
            let ranges = table::markdown(&self.ranges());
            let _ = writeln!(text, "\n## Ranges over the runs\n\n{}", ranges.trim_end());
        }
        text
    }
}

const TITLE: &str = "# Measurements\n";
const HOW_TO_READ: &str = "\
Made by `make bench`. Every system gets the same events from the same load generator on the same \
machine, in turns within each run; each figure is the median over the runs. In parentheses: the \
figure of ATLAS divided by this one, within one run (for rates, more is better; for times and \
memory, less). Every workload also proved that each event was acknowledged once, and received once \
and in order.

Durable systems (ATLAS, NATS durable, Redis always, the database) acknowledge what is on the disk; \
the others acknowledge what a crash of the machine loses. A latency at a fixed rate counts from when \
the event was due. `limit: database` is binary COPY into and out of the very table of a log (a \
prepared row where one event is in flight); `limit: gRPC` is a server that streams bytes which lie \
framed in memory. The memory is that of the server's process: ATLAS has its database beside it, \
Redis holds the whole log.
";

/// What ATLAS is to reach compared with others in the same run.
const TARGET_RATIOS: [(&str, &str, System, Target); 6] = [
    (
        publish::PIPELINED,
        publish::RATE,
        System::NatsDurable,
        Target::AtLeast(12.0),
    ),
    (
        publish::PIPELINED,
        publish::RATE,
        System::Database,
        Target::AtLeast(0.6),
    ),
    (
        publish::ONE_AT_A_TIME,
        publish::P50,
        System::Database,
        Target::AtMost(1.5),
    ),
    (
        fan_out::PACED,
        latency::RECEIVED_P99,
        System::NatsDurable,
        Target::AtMost(1.0),
    ),
    (
        catch_up::NAME,
        catch_up::RATE,
        System::NatsDurable,
        Target::AtLeast(0.65),
    ),
    (
        catch_up::NAME,
        catch_up::RATE,
        System::NatsRelaxed,
        Target::AtLeast(0.65),
    ),
];

/// The middle of sorted values.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
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
    fn ratios_are_of_one_run_and_targets_of_the_median() {
        let mut report = Report::new(Vec::new());
        for (atlas, peer) in [(30.0, 10.0), (10.0, 10.0), (20.0, 5.0)] {
            report.add("w", "f", Target::AtMost(15.0), atlas);
            report.add_of(System::NatsDurable, "w", "f", Target::None, peer);
        }
        let cells = report.side_by_side(false);
        assert_eq!(cells[0], ["workload", "figure", "ATLAS", "NATS durable"]);
        assert_eq!(cells[1], ["w", "f", "20.00", "10.00 (3.00x)"]);
        assert_eq!(report.targets()[1], ["w", "f", "<= 15.00", "20.00", "NO"]);
        assert_eq!(
            report.ranges()[1],
            ["w", "f", "ATLAS", "20.00", "10.00", "30.00"]
        );
    }
}
