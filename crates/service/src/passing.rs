//! Metrics of what comes and goes under names that clients choose. Each is there for as long as
//! somebody holds its handle, so that names leave nothing behind.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Gauge, Key, KeyName, SharedString};

/// The label that distinguishes such metrics from those that stay.
const CHOSEN_LABEL: &str = "consumer";
/// Handles that nobody holds any more are looked for once there are this many.
const SWEEP_MIN: usize = 1_024;

/// The gauges that somebody holds.
#[derive(Debug, Default)]
pub(crate) struct Passing(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    gauges: HashMap<Key, Weak<AtomicU64>>,
    descriptions: HashMap<KeyName, SharedString>,
    sweep_at: usize,
}

impl Passing {
    /// Whether a metric is to be kept here.
    pub(crate) fn is_meant(key: &Key) -> bool {
        key.labels().any(|label| label.key() == CHOSEN_LABEL)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn describe(&self, name: KeyName, description: SharedString) {
        self.lock().descriptions.insert(name, description);
    }

    /// The gauge of a key, which goes with its last handle.
    pub(crate) fn gauge(&self, key: &Key) -> Gauge {
        let mut held = self.lock();
        if let Some(known) = held.gauges.get(key).and_then(Weak::upgrade) {
            return Gauge::from_arc(known);
        }
        if held.gauges.len() >= held.sweep_at.max(SWEEP_MIN) {
            held.gauges.retain(|_, gauge| gauge.strong_count() > 0);
            held.sweep_at = held.gauges.len() * 2;
        }
        let gauge = Arc::new(AtomicU64::new(0));
        held.gauges.insert(key.clone(), Arc::downgrade(&gauge));
        Gauge::from_arc(gauge)
    }

    /// Those that there are, in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        let mut held = self.lock();
        held.gauges.retain(|_, gauge| gauge.strong_count() > 0);
        let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (key, gauge) in &held.gauges {
            let Some(gauge) = gauge.upgrade() else {
                continue;
            };
            let value = f64::from_bits(gauge.load(Ordering::Acquire));
            let line = format!("{}{{{}}} {value}\n", key.name(), labels(key));
            by_name.entry(key.name()).or_default().push(line);
        }
        let mut text = String::new();
        for (name, mut lines) in by_name {
            if let Some(description) = held.descriptions.get(name) {
                let _ = writeln!(text, "# HELP {name} {description}");
            }
            let _ = writeln!(text, "# TYPE {name} gauge");
            lines.sort_unstable();
            text.extend(lines);
            text.push('\n');
        }
        text
    }
}

fn labels(key: &Key) -> String {
    let escaped = |value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        value.replace('\n', "\\n")
    };
    let labels = key.labels();
    let written = labels.map(|label| format!("{}=\"{}\"", label.key(), escaped(label.value())));
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use metrics::Label;

    use super::*;

    fn key(name: &str) -> Key {
        Key::from_parts("lag", vec![Label::new(CHOSEN_LABEL, name.to_owned())])
    }

    #[test]
    fn a_gauge_is_there_for_as_long_as_it_is_held() {
        let passing = Passing::default();
        passing.describe("lag".into(), "How far behind".into());
        let first = passing.gauge(&key("a"));
        let again = passing.gauge(&key("a"));
        first.set(1.5);
        let other = passing.gauge(&key("a \"b\"\n"));
        assert_eq!(
            passing.render(),
            "# HELP lag How far behind\n# TYPE lag gauge\n\
             lag{consumer=\"a \\\"b\\\"\\n\"} 0\nlag{consumer=\"a\"} 1.5\n\n"
        );
        drop((first, other));
        assert!(passing.render().contains("lag{consumer=\"a\"} 1.5"));
        drop(again);
        assert_eq!(passing.render(), "");
    }

    #[test]
    fn a_hundred_thousand_names_leave_nothing_behind() {
        let passing = Passing::default();
        for n in 0..100_000 {
            passing.gauge(&key(&n.to_string())).set(1.0);
            // Bounded also where nobody looks at them.
            assert!(passing.lock().gauges.len() <= SWEEP_MIN);
        }
        assert_eq!(passing.render(), "");
        assert!(passing.lock().gauges.is_empty());
    }
}
