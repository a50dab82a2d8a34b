use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Decides as the cause did, so that an observation is recorded on all of its way or not at all: a
/// span within a trace as that trace, and one that begins a trace as what it links to. Where there
/// is no cause, by ratio.
#[derive(Debug, Clone)]
pub(super) struct CauseBased {
    without_cause: Sampler,
}

impl CauseBased {
    pub(super) fn new(ratio: f64) -> Self {
        Self {
            without_cause: Sampler::TraceIdRatioBased(ratio),
        }
    }
}

impl ShouldSample for CauseBased {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent_context = parent.map(|parent| parent.span().span_context().clone());
        let recorded = match parent_context.filter(|context| context.is_valid()) {
            Some(context) => Some(context.is_sampled()),
            None => links
                .iter()
                .any(|link| link.span_context.is_sampled())
                .then_some(true),
        };
        let without_cause = &self.without_cause;
        let by_ratio =
            || without_cause.should_sample(None, trace_id, name, kind, attributes, links);
        match recorded {
            Some(recorded) => SamplingResult {
                decision: match recorded {
                    true => SamplingDecision::RecordAndSample,
                    false => SamplingDecision::Drop,
                },
                attributes: Vec::new(),
                trace_state: Default::default(),
            },
            None => by_ratio(),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn context(sampled: bool) -> SpanContext {
        let flags = TraceFlags::NOT_SAMPLED.with_sampled(sampled);
        let (trace, span) = (TraceId::from(7), SpanId::from(7));
        SpanContext::new(trace, span, flags, true, TraceState::NONE)
    }

    /// Whether a span is recorded, by the decisions of its parent and of what it links to.
    fn check(ratio: f64, parent: Option<bool>, links: &[bool]) -> bool {
        let parent =
            parent.map(|sampled| Context::new().with_remote_span_context(context(sampled)));
        let links: Vec<_> = links
            .iter()
            .map(|sampled| Link::with_context(context(*sampled)))
            .collect();
        let kind = SpanKind::Internal;
        let sampler = CauseBased::new(ratio);
        let result =
            sampler.should_sample(parent.as_ref(), TraceId::from(9), "x", &kind, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn the_cause_decides_and_the_ratio_where_there_is_none() {
        assert!(check(0.0, Some(true), &[]));
        assert!(!check(1.0, Some(false), &[true]), "the parent comes first");
        assert!(check(0.0, None, &[false, true]));
        assert!(!check(0.0, None, &[false]));
        assert!(check(1.0, None, &[false]));
        assert!(check(1.0, None, &[]));
        assert!(!check(0.0, None, &[]));
    }
}
