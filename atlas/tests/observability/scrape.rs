//! What the services export, in the text format of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

/// The last word of a metric's name says what is counted or measured in which unit.
const UNITS: [(&str, &str); 21] = [
    ("_seconds", "seconds"),
    ("_bytes", "bytes"),
    ("_info", "none"),
    ("_up", "yes or no"),
    ("_connected", "yes or no"),
    ("_stopped", "yes or no"),
    ("_intact", "yes or no"),
    ("_durable", "yes or no"),
    ("_copy_path", "yes or no"),
    ("_state", "state"),
    ("_position", "position"),
    ("_events", "events"),
    ("_chunks", "chunks"),
    ("_jobs", "jobs"),
    ("_failures", "runs"),
    ("_readers", "readers"),
    ("_readers_behind", "readers"),
    ("_subscriptions", "streams"),
    ("_connections", "connections"),
    ("_connections_max", "connections"),
    ("_series", "series"),
];
/// The same, of what only some services or the process itself have.
const MORE_UNITS: [(&str, &str); 10] = [
    ("_patterns", "patterns"),
    ("_pattern_states", "patterns"),
    ("_mistakes", "mistakes"),
    ("_conflicts", "conflicts"),
    ("_definitions", "definitions"),
    ("_tokens", "tokens"),
    ("_deliveries", "deliveries"),
    ("_destinations_paused", "destinations"),
    ("_fds", "files"),
    ("_threads", "threads"),
];

#[derive(Debug, Default)]
pub(crate) struct Metric {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) labels: BTreeSet<String>,
}

impl Metric {
    /// The unit that its name ends in.
    pub(crate) fn unit(name: &str) -> Option<String> {
        let counted = name.strip_suffix("_total").unwrap_or(name);
        let units = UNITS.iter().chain(&MORE_UNITS);
        let mut known = units.filter(|(suffix, _)| counted.ends_with(suffix));
        match known.next() {
            Some((_, unit)) => Some((*unit).to_owned()),
            // A counter counts what its last word says.
            None if name != counted => counted.rsplit('_').next().map(str::to_owned),
            None => None,
        }
    }
}

/// Everything exported, by name.
#[derive(Debug, Default)]
pub(crate) struct Metrics(pub(crate) BTreeMap<String, Metric>);

pub(crate) async fn get(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

impl Metrics {
    pub(crate) fn read(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# HELP ") {
                let (name, help) = comment.split_once(' ').unwrap();
                help.clone_into(&mut self.metric(name).help);
            } else if let Some(comment) = line.strip_prefix("# TYPE ") {
                let (name, kind) = comment.split_once(' ').unwrap();
                kind.clone_into(&mut self.metric(name).kind);
            } else if !line.is_empty() {
                self.read_sample(line);
            }
        }
    }

    fn metric(&mut self, name: &str) -> &mut Metric {
        self.0.entry(name.to_owned()).or_default()
    }

    fn read_sample(&mut self, line: &str) {
        let end = line.find(['{', ' ']).unwrap();
        let name = self.name_of_sample(&line[..end]);
        let labels = line[end..].strip_prefix('{').unwrap_or_default();
        let (labels, _) = labels.split_once('}').unwrap_or_default();
        let labels = labels
            .split("\",")
            .filter_map(|label| label.split_once('='))
            .map(|(label, _)| label.to_owned())
            .filter(|label| label != "le");
        self.metric(&name).labels.extend(labels);
    }

    /// A histogram's samples have endings of their own.
    fn name_of_sample(&self, sample: &str) -> String {
        let ends = ["_bucket", "_sum", "_count"].iter();
        ends.filter_map(|end| sample.strip_suffix(end))
            .find(|name| {
                self.0
                    .get(*name)
                    .is_some_and(|metric| metric.kind == "histogram")
            })
            .unwrap_or(sample)
            .to_owned()
    }

    /// Every metric has a help text and a type, its unit is in its name, and its labels are bounded.
    pub(crate) fn check(&self) {
        let mut wrong = Vec::new();
        for (name, metric) in &self.0 {
            let is_total = name.ends_with("_total");
            let unbounded = ["series", "series_id", "event_id", "position", "path"];
            let checks = [
                (!metric.help.is_empty(), "has no help text"),
                (!metric.kind.is_empty(), "has no type"),
                (metric.kind != "summary", "has no buckets"),
                (
                    (metric.kind == "counter") == is_total,
                    "is a counter or not",
                ),
                (Metric::unit(name).is_some(), "does not end in its unit"),
                (
                    !unbounded.iter().any(|label| metric.labels.contains(*label)),
                    "has a label without bounds",
                ),
            ];
            let failed = checks.iter().filter(|(holds, _)| !holds);
            wrong.extend(failed.map(|(_, problem)| format!("{name} {problem}")));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// What dashboards ask for is exported. Of the engine only what it has of its own is asked for
    /// here: what it shares with the collector is counted only where it is used.
    pub(crate) fn has_all(&self, names: &BTreeSet<String>) {
        for name in names {
            let shared = name.replace("thresholdengine_", "fredcollector_");
            let shared = shared.replace("alertservice_", "fredcollector_");
            let exported = self.0.contains_key(name) || self.0.contains_key(&shared);
            assert!(exported, "{name} is not exported");
        }
    }
}

/// The names of metrics in a query.
pub(crate) fn names_in(query: &str) -> Vec<String> {
    const PREFIXES: [&str; 5] = [
        "fredcollector_",
        "thresholdengine_",
        "alertservice_",
        "event_log_",
        "process_",
    ];
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}
