//! Log lines, traces and metrics of the process.

use std::sync::Arc;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    describe_counter, describe_gauge, describe_histogram, gauge,
};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::passing::Passing;
pub use crate::{
    logs::begin,
    traces::{Traces, TracesError},
};

/// Upper bounds of times, in seconds: from what a read from memory takes to what nobody waits for.
const SECONDS_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];
/// Upper bounds of numbers of events.
const EVENTS_BUCKETS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0,
];

/// Why metrics cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The buckets are not usable.
    #[error("metrics cannot be set up: {0}")]
    Build(#[from] BuildError),
    /// The process keeps metrics elsewhere already.
    #[error("another metrics recorder is installed already")]
    Installed,
}

/// The metrics of a process.
#[derive(Debug, Clone)]
pub struct Metrics {
    lasting: PrometheusHandle,
    passing: Arc<Passing>,
}

impl Metrics {
    /// All of them, in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.lasting.render() + &self.passing.render()
    }

    /// Tidies up; to be called every few seconds.
    pub fn run_upkeep(&self) {
        self.lasting.run_upkeep();
    }
}

/// Keeps most metrics for good, and those whose names clients choose for as long as they are held.
#[derive(Debug)]
struct Keeper {
    lasting: PrometheusRecorder,
    passing: Arc<Passing>,
}

impl Recorder for Keeper {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.lasting.describe_counter(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.passing.describe(name.clone(), description.clone());
        self.lasting.describe_gauge(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.lasting.describe_histogram(name, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.lasting.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        match Passing::is_meant(key) {
            true => self.passing.gauge(key),
            false => self.lasting.register_gauge(key, metadata),
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.lasting.register_histogram(key, metadata)
    }
}

/// Keeps the metrics of the process, for `/metrics`. Once for each process.
///
/// # Errors
/// [`MetricsError`].
pub fn keep_metrics() -> Result<Metrics, MetricsError> {
    let events = Matcher::Suffix("_events".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS_BUCKETS)?
        .set_buckets_for_metric(events, &EVENTS_BUCKETS)?
        .build_recorder();
    let passing = Arc::<Passing>::default();
    let metrics = Metrics {
        lasting: recorder.handle(),
        passing: Arc::clone(&passing),
    };
    let keeper = Keeper {
        lasting: recorder,
        passing,
    };
    metrics::set_global_recorder(keeper).map_err(|_| MetricsError::Installed)?;
    Ok(metrics)
}

/// Describes the metrics that every service keeps: those of its process, its log, its gRPC and
/// its REST. `prefix` is the first part of the names of its own.
pub fn describe(prefix: &str, version: &'static str) {
    metrics_process::Collector::default().describe();
    event_log::describe_metrics();
    event_stream::describe_metrics(prefix);
    crate::traces::describe();
    crate::security::describe(prefix);
    describe_gauge!(
        format!("{prefix}_build_info"),
        "Always 1; the label is the version of the service"
    );
    gauge!(format!("{prefix}_build_info"), "version" => version).set(1.0);
    describe_counter!(
        format!("{prefix}_rest_requests_total"),
        "REST requests, by method, route and status"
    );
    describe_histogram!(
        format!("{prefix}_rest_request_seconds"),
        Unit::Seconds,
        "From a REST request to its answer, by route"
    );
}
