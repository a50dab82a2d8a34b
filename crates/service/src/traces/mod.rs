//! Traces: spans of this process, sampled, kept in a bounded queue, and exported with OTLP by a
//! thread of its own. Whatever becomes of the receiver, nothing else waits for it.

mod export;
mod queue;
mod sampler;

use std::time::Duration;

use metrics::{Unit, describe_counter};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use ulid::Ulid;

use self::{export::Exporting, queue::SpanQueue, sampler::CauseBased};
use crate::config::TracesConfig;

/// How long the end of the process may wait for the last spans.
const LAST_SPANS_PATIENCE: Duration = Duration::from_secs(2);

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint is not usable.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The system gives no thread, or no runtime for it.
    #[error("traces cannot be exported: {0}")]
    Thread(#[from] std::io::Error),
}

/// Exports spans until it is dropped, which takes two seconds at most.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    exporting: Exporting,
}

impl Traces {
    /// Begins to export; `None` if no endpoint is configured.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn begin(config: &TracesConfig, program: &str) -> Result<Option<Self>, TracesError> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let resource = resource(config, program);
        let (queue, spans) = SpanQueue::new();
        let exporting = Exporting::begin(endpoint.clone(), resource.clone(), spans)?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .with_sampler(CauseBased::new(config.sampler))
            .with_resource(resource)
            .build();
        Ok(Some(Self {
            provider,
            exporting,
        }))
    }

    /// What makes the spans.
    pub fn tracer(&self) -> Tracer {
        self.provider.tracer("atlas")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Closes the queue.
        let _ = self.provider.shutdown();
        self.exporting.end(LAST_SPANS_PATIENCE);
    }
}

fn resource(config: &TracesConfig, program: &str) -> Resource {
    let name = config.service_name.as_deref().unwrap_or(program);
    let instance = config.service_instance.clone();
    let instance = instance.unwrap_or_else(|| Ulid::generate().to_string());
    // `OTEL_RESOURCE_ATTRIBUTES` is read by the library.
    Resource::builder()
        .with_service_name(name.to_owned())
        .with_attributes([
            KeyValue::new("service.namespace", "atlas"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .build()
}

/// Describes the metrics of the export.
pub(crate) fn describe() {
    describe_counter!(
        "traces_spans_exported_total",
        Unit::Count,
        "Spans that the receiver of traces has taken"
    );
    describe_counter!(
        "traces_spans_dropped_total",
        Unit::Count,
        "Spans that were dropped, by reason: queue_full, export_failed"
    );
}
