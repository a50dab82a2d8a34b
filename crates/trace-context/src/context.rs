use std::fmt;

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};

/// Name of the header, of the gRPC metadata, and of the field of events.
const HEADER: &str = "traceparent";

/// Which span of which trace something belongs to, in the form `00-<trace>-<span>-<flags>`.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceContext(pub(crate) SpanContext);

impl TraceContext {
    /// Reads a `traceparent`. `None` if it is not one: what others sent for a trace is no reason to
    /// refuse their request.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |length| parts.next().filter(|part| is_lower_hex(part, length));
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may have more behind, this one has not.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let context = SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(flags) & TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        context.is_valid().then_some(Self(context))
    }

    /// The context that a request came with.
    pub fn of_headers(headers: &HeaderMap<HeaderValue>) -> Option<Self> {
        Self::parse(headers.get(HEADER)?.to_str().ok()?)
    }

    /// That of the span under way, if it is recorded.
    pub fn current() -> Option<Self> {
        if !crate::is_on() {
            return None;
        }
        Context::map_current(|context| {
            let context = context.span().span_context().clone();
            context.is_sampled().then_some(Self(context))
        })
    }

    /// Whether those who made it record its trace.
    pub fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (self.0.trace_id(), self.0.span_id());
        write!(f, "00-{trace}-{span}-{:02x}", self.0.trace_flags())
    }
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_alike() {
        for text in [SAMPLED, &SAMPLED.replace("-01", "-00")] {
            assert_eq!(TraceContext::parse(text).unwrap().to_string(), text);
        }
        assert!(TraceContext::parse(SAMPLED).unwrap().is_sampled());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("01{}-and-more", &SAMPLED[2..]);
        assert_eq!(
            TraceContext::parse(&later).unwrap().to_string(),
            SAMPLED,
            "unknown flags and parts are left out"
        );
    }

    #[test]
    fn what_is_no_context_is_none() {
        let zero_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let zero_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let upper = SAMPLED.to_uppercase();
        let longer = format!("{SAMPLED}-x");
        let forbidden = format!("ff{}", &SAMPLED[2..]);
        for text in [
            "",
            "00",
            "x",
            zero_trace,
            zero_span,
            &upper,
            &longer,
            &forbidden,
            &SAMPLED[1..],
            "00-é-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn headers_are_asked_by_name() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of_headers(&headers), None);
        headers.insert(HEADER, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(TraceContext::of_headers(&headers), None);
        headers.insert(HEADER, HeaderValue::from_static(SAMPLED));
        assert_eq!(
            TraceContext::of_headers(&headers),
            TraceContext::parse(SAMPLED)
        );
    }
}
