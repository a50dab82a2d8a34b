//! Spans of appends. There is none where no recorded span asked for the append.

use std::ops::RangeInclusive;

use trace_context::{TARGET, TraceContext, count};
use tracing::{Span, field::Empty, info_span};
use uuid::Uuid;

/// A span for a group of batches: within the trace of the first one that is recorded, linked to the
/// others.
pub(crate) fn group(log_id: Uuid, events: usize, causes: &[TraceContext]) -> Span {
    let Some((first, others)) = causes.split_first() else {
        return Span::none();
    };
    let span = append(log_id, events);
    trace_context::set_parent(&span, first);
    trace_context::link(&span, others.iter().cloned());
    span
}

/// A span for what is appended within the caller's transaction, if the caller's is recorded.
pub(crate) fn in_transaction(log_id: Uuid, events: usize) -> Span {
    if !trace_context::is_recorded() {
        return Span::none();
    }
    append(log_id, events)
}

fn append(log_id: Uuid, events: usize) -> Span {
    info_span!(
        target: TARGET,
        "append",
        otel.kind = "producer",
        messaging.system = "atlas",
        messaging.operation.name = "append",
        messaging.operation.type = "send",
        messaging.destination.name = %log_id,
        messaging.batch.message_count = count(events),
        atlas.position.first = Empty,
        atlas.position.last = Empty,
    )
}

/// Notes where the events of a span are.
pub(crate) fn appended(span: &Span, positions: Option<RangeInclusive<u64>>) {
    if let Some(positions) = positions {
        span.record("atlas.position.first", positions.start().cast_signed());
        span.record("atlas.position.last", positions.end().cast_signed());
    }
}
