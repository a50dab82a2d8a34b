use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use metrics::counter;
use opentelemetry_otlp::{
    WithExportConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter},
};
use tokio::{sync::mpsc, time::timeout};
use tracing::{info, warn};

use super::TracesError;

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// How long a batch waits for more spans.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// A receiver that takes longer has failed.
const EXPORT_PATIENCE: Duration = Duration::from_secs(5);

/// The thread that exports. It has a runtime of its own, so that it neither takes time from the
/// service nor ends with its runtime.
#[derive(Debug)]
pub(super) struct Exporting {
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

impl Exporting {
    /// Begins to export what comes from `spans`.
    pub(super) fn begin(
        endpoint: String,
        resource: Resource,
        spans: mpsc::Receiver<SpanData>,
    ) -> Result<Self, TracesError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut exporter = {
            // The connection is made later, by a task that this spawns.
            let _entered = runtime.enter();
            let tonic = opentelemetry_otlp::SpanExporter::builder().with_tonic();
            let tonic = match endpoint.starts_with("https:") {
                true => tonic.with_tls_config(ClientTlsConfig::new().with_enabled_roots()),
                false => tonic,
            };
            tonic
                .with_endpoint(endpoint.as_str())
                .with_timeout(EXPORT_PATIENCE)
                .build()?
        };
        exporter.set_resource(&resource);
        let (end, ended) = channel();
        let export = Export {
            exporter,
            endpoint,
            is_failing: false,
        };
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                let _end: Sender<()> = end;
                runtime.block_on(export.run(spans));
            })?;
        Ok(Self { ended })
    }

    /// Waits until the last spans are exported, once the queue is closed; not for longer than
    /// `patience`.
    pub(super) fn end(&self, patience: Duration) {
        let _ = self.ended.recv_timeout(patience);
    }
}

struct Export<E> {
    exporter: E,
    endpoint: String,
    is_failing: bool,
}

impl<E: SpanExporter> Export<E> {
    async fn run(mut self, mut spans: mpsc::Receiver<SpanData>) {
        while let Some(batch) = next_batch(&mut spans).await {
            self.export(batch).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let failure = match timeout(EXPORT_PATIENCE, self.exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {EXPORT_PATIENCE:?}")),
        };
        match failure {
            None => counter!("traces_spans_exported_total").increment(count),
            Some(_) => {
                counter!("traces_spans_dropped_total", "reason" => "export_failed").increment(count)
            }
        }
        self.report(failure);
    }

    /// A line when it begins to fail and one when it works again, not one for each batch.
    fn report(&mut self, failure: Option<String>) {
        let endpoint = &self.endpoint;
        match failure {
            Some(error) if !self.is_failing => {
                warn!(
                    endpoint,
                    error, "traces cannot be exported; spans are dropped until export works again"
                );
                self.is_failing = true;
            }
            None if self.is_failing => {
                info!(endpoint, "traces are exported again");
                self.is_failing = false;
            }
            Some(_) | None => {}
        }
    }
}

/// Spans that have gathered; `None` once the queue is closed and empty.
async fn next_batch(spans: &mut mpsc::Receiver<SpanData>) -> Option<Vec<SpanData>> {
    let mut batch = vec![spans.recv().await?];
    let gathering = async {
        while batch.len() < BATCH_SPANS_MAX {
            match spans.recv().await {
                Some(span) => batch.push(span),
                None => return,
            }
        }
    };
    // Full, closed, or long enough.
    let _ = timeout(BATCH_WAIT, gathering).await;
    Some(batch)
}
