use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::counter;
use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::mpsc;

/// Spans that may wait for their export; more are dropped.
const SPANS_MAX: usize = 4_096;

/// Takes the spans that have ended, and never waits.
#[derive(Debug)]
pub(super) struct SpanQueue {
    /// `None` once no more are taken.
    waiting: Mutex<Option<mpsc::Sender<SpanData>>>,
}

impl SpanQueue {
    /// A queue, and the other end of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<SpanData>) {
        let (waiting, spans) = mpsc::channel(SPANS_MAX);
        let waiting = Mutex::new(Some(waiting));
        (Self { waiting }, spans)
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.as_ref().is_some_and(|w| w.try_send(span).is_ok());
        if !taken {
            counter!("traces_spans_dropped_total", "reason" => "queue_full").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_nobody_waits() {
        let (queue, mut spans) = SpanQueue::new();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .build();
        let tracer = provider.tracer("test");
        for _ in 0..SPANS_MAX + 10 {
            drop(tracer.start("x"));
        }
        provider.shutdown().unwrap();
        drop(tracer.start("after the end"));
        let taken = std::iter::from_fn(|| spans.blocking_recv()).count();
        assert_eq!(taken, SPANS_MAX);
    }
}
