//! The page that lists every metric: as exported, no more and no less.

use std::{fmt::Write, fs};

use crate::{
    repository,
    scrape::{Metric, Metrics},
};

/// Set to anything, it has the page written anew.
const UPDATE: &str = "ATLAS_UPDATE_METRICS_PAGE";
const FILE: &str = "docs/metrics.md";
const BEGIN: &str = "<!-- metrics: written by the test of them -->\n";

/// Sections of the page, each with the prefix of its metrics.
const SECTIONS: [(&str, &str); 6] = [
    ("Collector", "fredcollector_"),
    ("Threshold engine", "thresholdengine_"),
    ("Alert service", "alertservice_"),
    ("Logs", "event_log_"),
    ("Processes", "process_"),
    ("Traces and what else all services have", ""),
];

fn section_of(name: &str) -> usize {
    let prefixes = SECTIONS.iter();
    prefixes
        .map(|(_, prefix)| prefix)
        .position(|prefix| name.starts_with(prefix))
        .unwrap()
}

fn tables(metrics: &Metrics) -> String {
    let mut page = String::new();
    for (section, (title, _)) in SECTIONS.iter().enumerate() {
        let of_section = metrics
            .0
            .iter()
            .filter(|(name, _)| section_of(name) == section);
        let rows: Vec<_> = of_section.collect();
        if rows.is_empty() {
            continue;
        }
        write!(page, "\n## {title}\n\n").unwrap();
        page += "| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n";
        for (name, metric) in rows {
            let labels: Vec<_> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            let (labels, unit) = (labels.join(", "), Metric::unit(name).unwrap());
            let Metric { kind, help, .. } = metric;
            writeln!(page, "| `{name}` | {kind} | {labels} | {unit} | {help} |").unwrap();
        }
    }
    page
}

pub(crate) fn check(metrics: &Metrics) {
    let path = repository(FILE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, listed) = page.split_once(BEGIN).unwrap();
    let exported = tables(metrics);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}{exported}")).unwrap();
        return;
    }
    let differs = |of: &str, other: &str| {
        let lines = of.lines().filter(|line| !other.lines().any(|o| o == *line));
        lines.map(|line| format!("\n{line}")).collect::<String>()
    };
    assert!(
        listed == exported,
        "{FILE} is not what is exported; {UPDATE}=1 has this test write it anew.\nExported only:{}\n\
         On the page only:{}",
        differs(&exported, listed),
        differs(listed, &exported),
    );
}
