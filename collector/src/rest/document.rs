//! The OpenAPI document: what the routes have in common.

use std::collections::BTreeMap;

pub(super) use service::rest::{Always, Body, One, Parameters};
use service::rest::{ProblemDetails, ProblemKind, problems};
use utoipa::{
    IntoResponses, OpenApi, ToSchema,
    openapi::{self, RefOr, Response},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ATLAS collector",
        description = "Collected series and their observations, the log of events, and publishing \
                       to it.\n\nExact decimals are strings. Times are UTC (RFC 3339), dates \
                       calendar days. Events are in the proto3 JSON mapping of `atlas.events.Event`. \
                       Every error is a problem (RFC 9457) whose `type` is stable, with the fields \
                       at fault in `errors`; 503 and 504 say in `retry-after` when to try again. \
                       Streams of events are served over gRPC."
    ),
    tags(
        (name = "series", description = "What is collected, and how"),
        (name = "observations", description = "Values of series, as known now or then"),
        (name = "events", description = "The log of events"),
        (name = "operation", description = "Health, metrics, this document")
    ),
    components(schemas(ProblemDetails, EventDocument))
)]
struct Base;

/// The document without any route.
pub(super) fn base() -> openapi::OpenApi {
    Base::openapi()
}

/// An event, in the proto3 JSON mapping of `atlas.events.Event`: names in camelCase (publishing
/// takes snake_case too), 64-bit numbers as strings. The contract documents each payload.
#[derive(ToSchema)]
#[schema(as = Event, rename_all = "camelCase")]
#[schema(example = json!({
    "eventId": "01JBCN5D3ZP0Z1T1Q0BQ5P9XQ7", "occurredAt": "2024-10-29T12:30:00Z",
    "sourceService": "FredCollector", "position": "42", "recordedAt": "2024-10-29T12:30:00.004Z",
    "seriesCollected": {"seriesId": "UNRATE", "dataPoints": [
        {"date": "2024-09-01", "value": "4.1", "knownFrom": "2024-10-04T00:00:00Z"}]}
}))]
#[expect(
    dead_code,
    reason = "describes what is served; the contract's own types are what is"
)]
pub(super) struct EventDocument {
    /// ULID. Made from `occurredAt` if absent in a publish.
    event_id: Option<String>,
    /// When it happened; within an hour of the time embedded in the id.
    #[schema(format = DateTime)]
    occurred_at: Option<String>,
    /// Who published it, 1 to 100 characters.
    source_service: String,
    /// Place in the log: 1, 2, 3, …; given by the log, ignored in a publish.
    position: Option<String>,
    /// When the log stored it; ignored in a publish.
    #[schema(format = DateTime)]
    recorded_at: Option<String>,
    /// W3C trace context; if absent in a publish, that of the request, or of the span of it that the
    /// server records.
    traceparent: Option<String>,
    /// Observations of a series. An event has exactly one of this and the following.
    #[schema(value_type = Option<Object>)]
    series_collected: Option<()>,
    /// A collection was given up.
    #[schema(value_type = Option<Object>)]
    collection_failed: Option<()>,
    /// A pattern's condition changed.
    #[schema(value_type = Option<Object>)]
    threshold_crossed: Option<()>,
    /// A regime changed.
    #[schema(value_type = Option<Object>)]
    regime_transition: Option<()>,
    /// Anything else: `{"type": "OrderPlaced", "data": {…}}`.
    #[schema(value_type = Option<Object>)]
    custom: Option<()>,
    /// An event of a registered type: `{"@type": "type.googleapis.com/bank.v1.Deposited", …}` with the fields of the
    /// message in the proto3 JSON mapping. Of a type that is not registered: `@type`, and `value` in base64.
    #[schema(value_type = Option<Object>)]
    typed: Option<()>,
}

/// Problems of routes that add something.
pub(super) enum Exists {}
/// Problems of routes that ask the source.
pub(super) enum Source {}

impl IntoResponses for Exists {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[ProblemKind::SeriesExists])
    }
}

impl IntoResponses for Source {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ProblemKind::Conflict,
            ProblemKind::SourceFailed,
            ProblemKind::NotCollecting,
            ProblemKind::DatabaseUnavailable,
            ProblemKind::ShuttingDown,
        ])
    }
}
