//! Spans of publishing and delivering, and the contexts that events are stored with.

use std::time::{Duration, Instant};

use atlas_events::Event;
use event_log::Delivery;
use http::HeaderMap;
use trace_context::{Pace, TARGET, TraceContext, count};
use tracing::{Span, info_span};
use uuid::Uuid;

/// Publishes that no trace asks for are given a span at most this often.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);
/// Deliveries of one stream are given a span at most this often.
const STREAM_INTERVAL: Duration = Duration::from_millis(100);
/// And those of all streams of a server.
const DELIVERY_INTERVAL: Duration = Duration::from_millis(10);
/// A delivery is searched this far for events of recorded traces.
const EVENTS_SEARCHED_MAX: usize = 64;

/// Bounds how often the server makes spans.
#[derive(Debug)]
pub(crate) struct Tracing {
    log_id: Uuid,
    publishes: Pace,
    deliveries: Pace,
}

impl Tracing {
    pub(crate) fn new(log_id: Uuid) -> Self {
        Self {
            log_id,
            publishes: Pace::one_in(PUBLISH_INTERVAL),
            deliveries: Pace::one_in(DELIVERY_INTERVAL),
        }
    }

    /// A span for a call to publish; none where nobody asked for one and there were others just
    /// now.
    pub(crate) fn publish(&self, cause: Option<&TraceContext>, events: usize) -> Span {
        if !trace_context::is_asked_for(cause, &self.publishes) {
            return Span::none();
        }
        self.publish_span(cause, events)
    }

    /// A span for a request of a publish stream. The stream has one context for all its requests,
    /// so that being asked for does not make them few.
    pub(crate) fn publish_of_stream(&self, cause: Option<&TraceContext>, events: usize) -> Span {
        let is_recorded = cause.is_none_or(TraceContext::is_sampled);
        if !trace_context::is_on() || !is_recorded || !self.publishes.allows() {
            return Span::none();
        }
        self.publish_span(cause, events)
    }

    fn publish_span(&self, cause: Option<&TraceContext>, events: usize) -> Span {
        let span = info_span!(
            target: TARGET,
            parent: None,
            "publish",
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.service = "atlas.events.EventPublisher",
            messaging.system = "atlas",
            messaging.operation.name = "publish",
            messaging.operation.type = "create",
            messaging.destination.name = %self.log_id,
            messaging.batch.message_count = count(events),
        );
        if let Some(cause) = cause {
            trace_context::set_parent(&span, cause);
        }
        span
    }

    /// A span for a delivery to a subscriber, if it holds events of recorded traces, to which it
    /// links. It ends once the connection asks for more.
    fn deliver(&self, consumer: &str, delivery: &Delivery) -> Span {
        if !trace_context::is_on() || !self.deliveries.allows() {
            return Span::none();
        }
        let causes: Vec<_> = recorded(delivery).collect();
        if causes.is_empty() {
            return Span::none();
        }
        let span = info_span!(
            target: TARGET,
            parent: None,
            "deliver",
            otel.kind = "producer",
            messaging.system = "atlas",
            messaging.operation.name = "deliver",
            messaging.operation.type = "send",
            messaging.destination.name = %self.log_id,
            messaging.consumer.group.name = consumer,
            messaging.batch.message_count = count(delivery.count),
            atlas.position.last = delivery.up_to.cast_signed(),
        );
        trace_context::link(&span, causes);
        span
    }
}

/// The contexts of events whose traces are recorded.
fn recorded(delivery: &Delivery) -> impl Iterator<Item = TraceContext> {
    let events = delivery.events().take(EVENTS_SEARCHED_MAX);
    events
        .filter_map(|event| TraceContext::parse(&event.ok()?.traceparent))
        .filter(TraceContext::is_sampled)
}

/// The span of the latest delivery of a stream.
#[derive(Debug)]
pub(crate) struct Delivering {
    consumer: String,
    span: Span,
    latest: Option<Instant>,
}

impl Delivering {
    pub(crate) fn to(consumer: String) -> Self {
        Self {
            consumer,
            span: Span::none(),
            latest: None,
        }
    }

    /// The connection has taken what was delivered.
    pub(crate) fn done(&mut self) {
        if !self.span.is_none() {
            self.span = Span::none();
        }
    }

    pub(crate) fn begin(&mut self, tracing: &Tracing, delivery: &Delivery) {
        if !trace_context::is_on() {
            return;
        }
        let now = Instant::now();
        let too_soon = |latest: Instant| now.duration_since(latest) < STREAM_INTERVAL;
        if self.latest.is_some_and(too_soon) {
            return;
        }
        self.span = tracing.deliver(&self.consumer, delivery);
        if !self.span.is_none() {
            self.latest = Some(now);
        }
    }
}

/// What events of a request are stored with that bring no context of their own: that of the
/// request, else that of the span which `span` is, if it is recorded.
pub(crate) fn stored_context(cause: Option<&TraceContext>, span: &Span) -> Option<String> {
    let own = || span.in_scope(TraceContext::current);
    cause
        .cloned()
        .or_else(own)
        .map(|context| context.to_string())
}

/// The context that a request came with.
pub(crate) fn cause_of(metadata: &tonic::metadata::MetadataMap) -> Option<TraceContext> {
    let headers: &HeaderMap = metadata.as_ref();
    TraceContext::of_headers(headers)
}

/// Gives a context to those events that have none.
pub(crate) fn complete(events: &mut [Event], context: Option<&str>) {
    let Some(context) = context else {
        return;
    };
    for event in events
        .iter_mut()
        .filter(|event| event.traceparent.is_empty())
    {
        context.clone_into(&mut event.traceparent);
    }
}
