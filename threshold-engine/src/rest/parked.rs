//! Events that could not be processed.

use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use consumer::{AdminError, ParkedEvent, ParkedFilter};
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, Parameters, Problem, ProblemKind,
    extract::{Json, Query, check_limit},
};
use utoipa::{IntoParams, ToSchema};

use super::App;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// How long a retry is waited for.
const RETRY_PATIENCE: Duration = Duration::from_secs(10);

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ParkedQuery {
    /// Only `parked`, `retrying`, `resolved` or `discarded` ones; all if absent.
    state: Option<String>,
    /// Those after this number.
    after: Option<u64>,
    /// At most this many, 1 to 1000; 100 if absent.
    limit: Option<u32>,
}

/// A page of parked events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ParkedPage {
    events: Vec<ParkedView>,
    /// What to give as `after` for the next page; absent at the end.
    next: Option<u64>,
}

/// An event that could not be processed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ParkedView {
    id: u64,
    source: String,
    /// Position in the log of the source.
    position: u64,
    event_id: String,
    /// What failed: the service, or a pattern.
    handler: String,
    reason: String,
    attempts: u64,
    parked_at: DateTime<Utc>,
    attempted_at: DateTime<Utc>,
    /// `parked`, `retrying`, `resolved` or `discarded`.
    state: &'static str,
    /// The event, in the proto3 JSON mapping; absent if it has no form in JSON.
    #[schema(value_type = Option<Object>)]
    event: Option<serde_json::Value>,
}

/// Which parked events; all conditions have to hold, and none means all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParkedSelection {
    /// Any of these.
    ids: Option<Vec<u64>>,
    source: Option<String>,
    /// Such as `SeriesCollectedEvent`.
    event_type: Option<String>,
    reason_contains: Option<String>,
}

/// What became of retried events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RetriedView {
    /// How many were handed to the consumer.
    marked: u64,
    /// How many of them were processed; those that were neither are still to be tried.
    resolved: u64,
    /// How many failed again.
    failed: u64,
}

/// How many were given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DiscardedView {
    discarded: u64,
}

impl From<ParkedEvent> for ParkedView {
    fn from(parked: ParkedEvent) -> Self {
        Self {
            id: parked.id,
            source: parked.source,
            position: parked.event.position,
            event_id: parked.event.event_id.clone(),
            handler: parked.handler,
            reason: parked.reason,
            attempts: parked.attempts,
            parked_at: parked.parked_at,
            attempted_at: parked.attempted_at,
            state: parked.state.as_str(),
            event: serde_json::to_value(&parked.event).ok(),
        }
    }
}

impl From<ParkedSelection> for ParkedFilter {
    fn from(selection: ParkedSelection) -> Self {
        Self {
            ids: selection.ids,
            source: selection.source,
            event_type: selection.event_type,
            reason_contains: selection.reason_contains,
            ..Self::default()
        }
    }
}

/// Events that could not be processed
#[utoipa::path(
    get, path = "/v1/parked", operation_id = "listParked", tag = "consumption",
    security(("token" = ["admin", "unlimited"])),
    params(ParkedQuery),
    responses((status = 200, description = "A page", body = ParkedPage), Always, Parameters)
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ParkedQuery>,
) -> Result<axum::Json<ParkedPage>, Problem> {
    let limit = check_limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let states = query.state.map(|state| state.parse()).transpose();
    let states = states
        .map_err(|problem: String| Problem::field(ProblemKind::InvalidRequest, "state", problem))?;
    let filter = ParkedFilter {
        states: states.map(|state| vec![state]),
        ..ParkedFilter::default()
    };
    let after = query.after.unwrap_or(0);
    // One more than asked for shows whether there is a next page.
    let probe = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut events = app
        .admin
        .parked(&filter, after, probe)
        .await
        .map_err(failed)?;
    let has_more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| has_more).map(|last| last.id);
    let events = events.into_iter().map(Into::into).collect();
    Ok(axum::Json(ParkedPage { events, next }))
}

/// Process parked events once more
#[utoipa::path(
    post, path = "/v1/parked/retry", operation_id = "retryParked", tag = "consumption",
    security(("token" = ["admin", "unlimited"])),
    request_body = ParkedSelection,
    responses((status = 200, description = "What became of them", body = RetriedView), Always, Body)
)]
pub(super) async fn retry(
    State(app): State<App>,
    Json(selection): Json<ParkedSelection>,
) -> Result<axum::Json<RetriedView>, Problem> {
    let retried = app.admin.retry(&selection.into(), RETRY_PATIENCE).await;
    let retried = retried.map_err(failed)?;
    Ok(axum::Json(RetriedView {
        marked: retried.marked,
        resolved: retried.resolved,
        failed: retried.failed,
    }))
}

/// Give parked events up
#[utoipa::path(
    post, path = "/v1/parked/discard", operation_id = "discardParked", tag = "consumption",
    security(("token" = ["admin", "unlimited"])),
    request_body = ParkedSelection,
    responses((status = 200, description = "How many", body = DiscardedView), Always, Body)
)]
pub(super) async fn discard(
    State(app): State<App>,
    Json(selection): Json<ParkedSelection>,
) -> Result<axum::Json<DiscardedView>, Problem> {
    let discarded = app.admin.discard(&selection.into()).await.map_err(failed)?;
    Ok(axum::Json(DiscardedView { discarded }))
}

/// Which problem a failure of the consumer's administration is.
pub(super) fn failed(error: AdminError) -> Problem {
    match error {
        AdminError::NoCheckpoint { .. } => {
            Problem::field(ProblemKind::NotFound, "source", error.to_string())
        }
        AdminError::Invalid(violation) => Problem::field(
            ProblemKind::InvalidRequest,
            violation.field,
            violation.problem,
        ),
        AdminError::NoLog => Problem::new(ProblemKind::Conflict, error.to_string()),
        AdminError::Database(error) => error.into(),
    }
}
