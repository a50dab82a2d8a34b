//! The OpenAPI document: what all routes have in common, and serving it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, http::header, response::IntoResponse};
use utoipa::{
    IntoResponses, OpenApi, ToSchema,
    openapi::{self, Content, RefOr, Response, ResponseBuilder},
};

use super::problem::{PROBLEM_JSON, ProblemDetails, ProblemKind};

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

/// The finished document, as it is served.
#[derive(Clone)]
pub(super) struct Document(Arc<str>);

impl Document {
    pub(super) fn new(api: openapi::OpenApi) -> Self {
        let json = api.to_pretty_json();
        // It is made of maps with text keys, which JSON always has a form for.
        Self(json.unwrap_or_default().into())
    }
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, document.0.to_string())
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
    /// W3C trace context; that of the request if absent in a publish.
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
}

/// Problems of every route.
pub(super) enum Always {}
/// Problems of routes that have parameters.
pub(super) enum Parameters {}
/// Problems of routes that take a body.
pub(super) enum Body {}
/// Problems of routes about one thing, which may not be there.
pub(super) enum One {}
/// Problems of routes that add something.
pub(super) enum Exists {}
/// Problems of routes that ask the source.
pub(super) enum Source {}

impl IntoResponses for Always {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[
            ProblemKind::Internal,
            ProblemKind::DatabaseUnavailable,
            ProblemKind::ShuttingDown,
            ProblemKind::TimedOut,
        ])
    }
}

impl IntoResponses for Parameters {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[ProblemKind::InvalidRequest])
    }
}

impl IntoResponses for Body {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[
            ProblemKind::InvalidRequest,
            ProblemKind::TooLarge,
            ProblemKind::UnsupportedMediaType,
        ])
    }
}

impl IntoResponses for One {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[ProblemKind::NotFound])
    }
}

impl IntoResponses for Exists {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[ProblemKind::SeriesExists])
    }
}

impl IntoResponses for Source {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[
            ProblemKind::Conflict,
            ProblemKind::SourceFailed,
            ProblemKind::NotCollecting,
            ProblemKind::DatabaseUnavailable,
            ProblemKind::ShuttingDown,
        ])
    }
}

/// The responses that tell of these kinds, by status.
pub(super) fn of(kinds: &[ProblemKind]) -> BTreeMap<String, RefOr<Response>> {
    let mut names: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        names
            .entry(kind.status().as_u16())
            .or_default()
            .push(kind.name());
    }
    names
        .into_iter()
        .map(|(status, names)| {
            let response = ResponseBuilder::new()
                .description(format!("Problem of type `{}`", names.join("`, `")))
                .content(PROBLEM_JSON, Content::new(Some(problem_reference())))
                .build();
            (status.to_string(), response.into())
        })
        .collect()
}

fn problem_reference() -> RefOr<openapi::Schema> {
    openapi::Ref::from_schema_name(ProblemDetails::name()).into()
}
