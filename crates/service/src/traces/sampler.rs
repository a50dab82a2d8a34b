use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

use crate::config::TracesSampler;

/// The samplers of the specification. Those that decide as the parent did go by what a span links to
/// where it has no parent, so that an observation is recorded on all of its way or not at all: who
/// reads an event links to the span that published it.
#[derive(Debug, Clone)]
pub(super) struct CauseBased {
    sampler: Sampler,
    /// Whether a recorded cause has a span recorded.
    goes_by_cause: bool,
}

impl CauseBased {
    pub(super) fn new(sampler: TracesSampler) -> Self {
        let parent_based = |without_parent| (Sampler::ParentBased(Box::new(without_parent)), true);
        let (sampler, goes_by_cause) = match sampler {
            TracesSampler::AlwaysOn => (Sampler::AlwaysOn, false),
            TracesSampler::AlwaysOff => (Sampler::AlwaysOff, false),
            TracesSampler::TraceIdRatio(ratio) => (Sampler::TraceIdRatioBased(ratio), false),
            TracesSampler::ParentBasedAlwaysOn => parent_based(Sampler::AlwaysOn),
            TracesSampler::ParentBasedAlwaysOff => parent_based(Sampler::AlwaysOff),
            TracesSampler::ParentBasedTraceIdRatio(ratio) => {
                parent_based(Sampler::TraceIdRatioBased(ratio))
            }
        };
        Self {
            sampler,
            goes_by_cause,
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
        let parent = parent.filter(|parent| parent.span().span_context().is_valid());
        let is_caused = self.goes_by_cause
            && parent.is_none()
            && links.iter().any(|link| link.span_context.is_sampled());
        let sampler = match is_caused {
            true => &Sampler::AlwaysOn,
            false => &self.sampler,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn context(sampled: bool) -> SpanContext {
        let flags = TraceFlags::NOT_SAMPLED.with_sampled(sampled);
        let (trace, span) = (TraceId::from(7), SpanId::from(7));
        SpanContext::new(trace, span, flags, true, TraceState::NONE)
    }

    /// Whether a span is recorded, by the decisions of its parent and of what it links to.
    fn is_recorded(sampler: TracesSampler, parent: Option<bool>, links: &[bool]) -> bool {
        let parent =
            parent.map(|sampled| Context::new().with_remote_span_context(context(sampled)));
        let links: Vec<_> = links
            .iter()
            .map(|sampled| Link::with_context(context(*sampled)))
            .collect();
        let kind = SpanKind::Internal;
        let sampler = CauseBased::new(sampler);
        let result =
            sampler.should_sample(parent.as_ref(), TraceId::from(9), "x", &kind, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn the_cause_decides_and_the_ratio_where_there_is_none() {
        let check = |ratio, parent, links: &[bool]| {
            is_recorded(TracesSampler::ParentBasedTraceIdRatio(ratio), parent, links)
        };
        assert!(check(0.0, Some(true), &[]));
        assert!(!check(1.0, Some(false), &[true]), "the parent comes first");
        assert!(check(0.0, None, &[false, true]));
        assert!(!check(0.0, None, &[false]));
        assert!(check(1.0, None, &[false]));
        assert!(check(1.0, None, &[]));
        assert!(!check(0.0, None, &[]));
    }

    /// Recorded: with a recorded parent, with one that is not, with none, with a recorded link.
    #[track_caller]
    fn check(sampler: TracesSampler, expected: [bool; 4]) {
        let found = [
            (Some(true), &[][..]),
            (Some(false), &[]),
            (None, &[]),
            (None, &[true]),
        ]
        .map(|(parent, links)| is_recorded(sampler, parent, links));
        assert_eq!(found, expected, "{sampler:?}");
    }

    #[test]
    fn the_samplers_of_the_specification() {
        check(TracesSampler::AlwaysOn, [true; 4]);
        check(TracesSampler::AlwaysOff, [false; 4]);
        check(TracesSampler::TraceIdRatio(1.0), [true; 4]);
        check(TracesSampler::TraceIdRatio(0.0), [false; 4]);
        check(
            TracesSampler::ParentBasedAlwaysOn,
            [true, false, true, true],
        );
        check(
            TracesSampler::ParentBasedAlwaysOff,
            [true, false, false, true],
        );
        check(
            TracesSampler::ParentBasedTraceIdRatio(0.0),
            [true, false, false, true],
        );
    }
}
