//! Spans of processing.

use std::time::Duration;

use trace_context::{Pace, TARGET, TraceContext, count};
use tracing::{Span, info_span};

use crate::processing::{batch::Batch, claim::SourceContext};

/// Batches that no recorded trace led to are given a span at most this often.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// A span for an attempt to process a batch. It begins a trace of its own and links to those that
/// the events carry: a span that continued those traces would make them grow without end.
pub(crate) fn process(context: SourceContext<'_>, batch: &Batch, pace: &Pace) -> Span {
    if !trace_context::is_on() {
        return Span::none();
    }
    let all = batch.parking.iter().map(|parking| &parking.event);
    let recorded: Vec<_> = all
        .chain(&batch.events)
        .filter_map(|event| TraceContext::parse(&event.event.traceparent))
        .filter(TraceContext::is_sampled)
        .collect();
    if recorded.is_empty() && !pace.allows() {
        return Span::none();
    }
    let span = info_span!(
        target: TARGET,
        parent: None,
        "process",
        otel.kind = "consumer",
        messaging.system = "atlas",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = %batch.advance.log_id,
        messaging.consumer.group.name = context.service,
        messaging.batch.message_count = count(batch.events.len()),
        atlas.source = context.source,
        atlas.position.last = batch.advance.to.cast_signed(),
        atlas.attempt = i64::try_from(batch.attempts).unwrap_or(i64::MAX),
    );
    trace_context::link(&span, recorded);
    span
}
