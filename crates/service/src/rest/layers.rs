//! What happens around every request: an id, a span, a time limit, metrics, and the last touch on
//! problems.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics::{counter, histogram};
use trace_context::{Pace, TARGET, TraceContext};
use tracing::{Instrument, Span, debug, error, field::Empty, info_span};
use ulid::Ulid;

use super::problem::{Problem, ProblemKind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 100;
/// Requests that no trace asks for are given a span at most this often.
const TRACE_INTERVAL: Duration = Duration::from_millis(100);

/// Names of the metrics of requests.
#[derive(Debug, Clone)]
pub(super) struct RequestMetrics {
    requests_total: Arc<str>,
    request_seconds: Arc<str>,
    /// How often requests are given a span that no trace asks for.
    pace: Arc<Pace>,
}

impl RequestMetrics {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            requests_total: format!("{prefix}_rest_requests_total").into(),
            request_seconds: format!("{prefix}_rest_request_seconds").into(),
            pace: Arc::new(Pace::one_in(TRACE_INTERVAL)),
        }
    }
}

/// The outermost layer.
pub(super) async fn around(
    State(names): State<RequestMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    // The route, not the path: a metric for each series would be one too many.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let span = info_span!("request", %method, path, request_id);
    let traced = traced(&names.pace, request.headers(), &method, &route);
    let answering = async {
        let mut response = next.run(request).await;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            let allow = response.headers_mut().remove(header::ALLOW);
            response = problem.render(&path, &request_id);
            if let Some(allow) = allow {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        debug!(status = response.status().as_u16(), seconds, "answered");
        response
    };
    let mut response = answering.instrument(span).instrument(traced.clone()).await;
    if response.status().is_server_error() {
        trace_context::failed(&traced, &response.status());
    }
    let status = response.status().as_u16();
    traced.record("http.response.status_code", i64::from(status));
    let status = status.to_string();
    counter!(names.requests_total,
        "method" => method_label(&method), "route" => route.clone(), "status" => status)
    .increment(1);
    histogram!(names.request_seconds, "route" => route).record(started.elapsed());
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// A span for a request, within the trace that it came with. What asks for health and metrics has
/// one only if it brings a trace.
fn traced(pace: &Pace, headers: &HeaderMap, method: &Method, route: &str) -> Span {
    let cause = TraceContext::of_headers(headers);
    let is_of_interest = cause.is_some() || route.starts_with("/v1");
    if !is_of_interest || !trace_context::is_asked_for(cause.as_ref(), pace) {
        return Span::none();
    }
    let method = method_label(method);
    let span = info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if let Some(cause) = &cause {
        trace_context::set_parent(&span, cause);
    }
    span
}

/// The methods that a client makes up are one, or each would be a metric.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Headers that keep browsers from doing more with an answer than showing it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecurityHeaders {
    /// Whether answers travel over TLS.
    pub(super) encrypted: bool,
}

/// Adds the headers that an answer has none of its own of.
pub(super) async fn protect(
    State(SecurityHeaders { encrypted }): State<SecurityHeaders>,
    mut response: Response,
) -> Response {
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    let over_tls = (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    for (name, value) in always.into_iter().chain(encrypted.then_some(over_tls)) {
        let value = HeaderValue::from_static(value);
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Answers for a handler that takes too long; the state is how long it may take.
pub async fn limit_time(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(timeout, next.run(request))
        .await
        .unwrap_or_else(|_| timed_out(timeout).into_response())
}

/// The id that the client gave, if it can be repeated, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()))
        .map_or_else(|| Ulid::generate().to_string(), ToOwned::to_owned)
}

fn timed_out(timeout: Duration) -> Problem {
    Problem::new(
        ProblemKind::TimedOut,
        format!(
            "no answer within {} s; what was to be stored may have been: publish again with the \
             same event ids to find out",
            timeout.as_secs_f32()
        ),
    )
}

/// A handler panicked. What it said was logged where it happened and stays there.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    error!("the handler of a request panicked");
    Problem::new(
        ProblemKind::Internal,
        "something went wrong in the service; its log holds more under this request_id",
    )
    .into_response()
}

/// No route has this path.
pub(super) async fn not_found(request: Request) -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        format!(
            "there is nothing at {}; GET / lists what there is",
            request.uri().path()
        ),
    )
}

/// The route of this path has no such method.
pub(super) async fn method_not_allowed(request: Request) -> Problem {
    Problem::new(
        ProblemKind::MethodNotAllowed,
        format!(
            "{} is not possible at {}; the header allow lists what is",
            request.method(),
            request.uri().path()
        ),
    )
}
