//! The OpenAPI document: what the routes have in common.

use service::rest::ProblemDetails;
use utoipa::{OpenApi, openapi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ATLAS alert service",
        description = "Rules that make alerts of crossings and regime transitions, channels that they are sent \
                       by, and what became of each delivery.\n\nA token sees and changes what was made with it \
                       (scopes `alerts:read` and `alerts:write`); one that also has the scope `admin` sees \
                       everything. Times are UTC (RFC 3339). Every error is a problem (RFC 9457) whose `type` is \
                       stable, with the fields at fault in `errors`; 503 and 504 say in `retry-after` when to \
                       try again. Changes of alerts and deliveries are streamed over gRPC."
    ),
    tags(
        (name = "channels", description = "Where messages are sent"),
        (name = "rules", description = "What makes an alert"),
        (name = "intake", description = "Alerts that other programs send"),
        (name = "alerts", description = "What fires, and what did"),
        (name = "silences", description = "Alerts that are not to be notified for a time"),
        (name = "preferences", description = "Quiet hours, limits, routes and more, of the caller"),
        (name = "links", description = "What links in messages lead to, without a token"),
        (name = "deliveries", description = "What was sent, what waits, and why"),
        (name = "operation", description = "Health, metrics, this document")
    ),
    components(schemas(ProblemDetails))
)]
struct Base;

/// The document without any route.
pub(super) fn base() -> openapi::OpenApi {
    Base::openapi()
}
