//! Reading the log: a page of events, or one by its id.

use std::collections::BTreeMap;

use atlas_events::{Violation, WantedEvents, parse_event_id};
use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response as Answer},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tracing::error;
use utoipa::{
    IntoParams, IntoResponses, ToSchema,
    openapi::{RefOr, Response},
};

use service::rest::{
    AnswerBytes, Problem, ProblemKind,
    extract::{self, Caller, Id, Query, check_limit},
    problems,
};

use super::{
    App,
    document::{Always, EventDocument, One, Parameters},
    event_page::{self, Bounds, PAGE_TIME_MAX, Range},
};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only events that occurred at or after this time (`2024-05-01T12:00:00Z`, or a date).
    #[serde(default, deserialize_with = "extract::time")]
    since: Option<DateTime<Utc>>,
    /// Only events that occurred before this time.
    #[serde(default, deserialize_with = "extract::time")]
    until: Option<DateTime<Utc>>,
    /// Only events of this type, such as `SeriesCollectedEvent`, `CustomEvent` for all custom ones,
    /// or `custom:OrderPlaced`. Repeat it for several.
    #[serde(default)]
    event_type: Vec<String>,
    /// Only events about this series. Repeat it for several.
    #[serde(default)]
    series_id: Vec<String>,
    /// Only events behind this position; `next` of the page before.
    #[serde(default, deserialize_with = "extract::parsed")]
    after_position: Option<u64>,
    /// At most this many events, 1 to 1,000.
    #[serde(default, deserialize_with = "extract::parsed")]
    #[param(default = 100, minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
}

/// A page of events, as `event_page` writes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written as text")]
pub(super) struct EventsPage {
    /// In the order of their positions.
    events: Vec<EventDocument>,
    /// `after_position` of the next page; `null` at the end of the log. A page may hold fewer
    /// events than asked for, or none, and still have a next one: it ends after five seconds, and where
    /// it would be too large.
    next: Option<u64>,
    /// Everything up to this position has been considered: `after_position` to ask for what comes
    /// later.
    up_to: u64,
}

/// Problems of cursors.
pub(super) enum Cursors {}

impl IntoResponses for Cursors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ProblemKind::InvalidRequest,
            ProblemKind::BeyondHead,
            ProblemKind::Trimmed,
        ])
    }
}

/// Stored events
///
/// In the order of their positions, a page at a time. A cursor or time from which retention has
/// removed events gets 410 with the first position that remains.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "listEvents", tag = "events",
    security(("token" = ["read"])), params(EventsQuery),
    responses((status = 200, description = "A page", body = EventsPage), Cursors, Always)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    bytes: AnswerBytes,
    Query(query): Query<EventsQuery>,
) -> Result<Answer, Problem> {
    let events_max = check_limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    if let (Some(since), Some(until)) = (query.since, query.until)
        && until < since
    {
        return Err(Problem::field(
            ProblemKind::InvalidRequest,
            "until",
            "lies before since",
        ));
    }
    let filter = WantedEvents::new(query.event_type, query.series_id).map_err(of_parameter)?;
    let filter = access.narrow(filter).map_err(Problem::from)?;
    let range = Range {
        after_position: query.after_position,
        since: query.since,
        until: query.until,
    };
    let bounds = Bounds {
        events_max,
        time_max: PAGE_TIME_MAX,
        bytes,
    };
    let page = event_page::read(&app.log, range, filter, bounds).await?;
    let json = [(CONTENT_TYPE, "application/json")];
    Ok((json, page.text).into_response())
}

/// Filters name their lists in the plural, the parameters that make them do not.
fn of_parameter(violation: Violation) -> Violation {
    let field = violation
        .field
        .replacen("event_types", "event_type", 1)
        .replacen("series_ids", "series_id", 1);
    Violation { field, ..violation }
}

/// The event with an id
#[utoipa::path(
    get, path = "/v1/events/{event_id}", operation_id = "getEvent", tag = "events",
    security(("token" = ["read"])),
    params(("event_id" = String, Path, description = "ULID")),
    responses((status = 200, description = "The event", body = EventDocument), Parameters, One, Always)
)]
pub(super) async fn find(
    State(app): State<App>,
    Caller(access): Caller,
    Id(event_id): Id,
) -> Result<Answer, Problem> {
    let id = parse_event_id(&event_id)?;
    // What is not theirs is not there, in the same words.
    let found = app.log.find(id).await?.filter(|event| access.sees(event));
    let found = found.ok_or_else(|| {
        Problem::field(
            ProblemKind::NotFound,
            "event_id",
            "the log holds no such event, or does not any more",
        )
    })?;
    let mut text = Vec::new();
    app.log
        .types()
        .write_json(&found, &mut text)
        .map_err(|error| {
            error!(position = found.position, %error, "a stored event cannot be written as JSON");
            Problem::new(ProblemKind::Internal, "the answer cannot be encoded")
        })?;
    let json = [(CONTENT_TYPE, "application/json")];
    Ok((json, text).into_response())
}
