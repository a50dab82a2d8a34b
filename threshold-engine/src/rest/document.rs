//! The OpenAPI document: what the routes have in common.

use service::rest::ProblemDetails;
use utoipa::{OpenApi, openapi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ATLAS threshold engine",
        description = "Patterns and regimes, what they are now and why, and how far the engine has \
                       come.\n\nExact decimals are strings. Times are UTC (RFC 3339), dates calendar \
                       days. Every error is a problem (RFC 9457) whose `type` is stable, with the \
                       fields at fault in `errors`; 503 and 504 say in `retry-after` when to try \
                       again. Crossings and transitions are streamed over gRPC."
    ),
    tags(
        (name = "patterns", description = "What is evaluated, and what it is now"),
        (name = "regimes", description = "Which regime holds, and which ones did"),
        (name = "consumption", description = "Checkpoints, and events that could not be processed"),
        (name = "operation", description = "Health, metrics, this document")
    ),
    components(schemas(ProblemDetails))
)]
struct Base;

/// The document without any route.
pub(super) fn base() -> openapi::OpenApi {
    Base::openapi()
}
