use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use opentelemetry::{
    Context,
    trace::{Status, TraceContextExt},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{Pace, TraceContext};

/// Target of the spans that are exported.
pub const TARGET: &str = "atlas::trace";

/// One span names at most this many contexts; who handles a batch of thousands links to the first.
const LINKS_MAX: usize = 64;

/// Whether this process exports spans.
static ON: AtomicBool = AtomicBool::new(false);

/// Says that this process exports spans from now on.
pub fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Whether spans are exported at all. A flag of our own: asking `tracing` (`span_enabled!`) disturbs
/// the filters of the thread.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Whether the span under way is recorded.
pub fn is_recorded() -> bool {
    is_on() && Context::map_current(|context| context.span().span_context().is_sampled())
}

/// Whether something is to have a span: who caused it has one that is recorded or, where nobody is
/// known to have caused it, `pace` allows.
pub fn is_asked_for(cause: Option<&TraceContext>, pace: &Pace) -> bool {
    is_on() && cause.map_or_else(|| pace.allows(), TraceContext::is_sampled)
}

/// Makes a span part of the trace of a request. To be called before the span is entered.
pub fn set_parent(span: &Span, context: &TraceContext) {
    // It fails only where spans are not exported.
    let _ = span.set_parent(Context::new().with_remote_span_context(context.0.clone()));
}

/// Links a span to what caused it, each once. To be called before the span is entered, as a span is
/// recorded if one that it links to is.
pub fn link(span: &Span, causes: impl IntoIterator<Item = TraceContext>) {
    if span.is_disabled() {
        return;
    }
    let mut linked: Vec<TraceContext> = Vec::new();
    for cause in causes {
        if linked.len() == LINKS_MAX {
            return;
        }
        if !linked.contains(&cause) {
            span.add_link(cause.0.clone());
            linked.push(cause);
        }
    }
}

/// Notes on a span that what it stands for failed.
pub fn failed(span: &Span, reason: &dyn fmt::Display) {
    if !span.is_disabled() {
        span.set_status(Status::error(reason.to_string()));
    }
}

/// A number as an attribute of a span.
pub fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A span within the one under way, if that is recorded; none otherwise. Takes a name and fields.
#[macro_export]
macro_rules! child {
    ($name:literal, $($fields:tt)*) => {
        if $crate::is_recorded() {
            $crate::tracing::info_span!(target: $crate::TARGET, $name, $($fields)*)
        } else {
            $crate::tracing::Span::none()
        }
    };
}

/// A span for a commit, within one that is recorded.
pub fn commit() -> Span {
    child!(
        "commit",
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = "COMMIT",
    )
}
