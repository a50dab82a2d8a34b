//! How far the engine has come in its sources.

use axum::extract::State;
use chrono::{DateTime, Utc};
use consumer::Reset;
use serde::{Deserialize, Serialize};
use service::rest::{Always, Body, One, Problem, ProblemKind, extract::Json};
use utoipa::ToSchema;

use super::{App, parked::failed};

/// Where the engine stands in all sources.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckpointList {
    checkpoints: Vec<CheckpointView>,
}

/// Where the engine stands in a source.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckpointView {
    source: String,
    /// Identity of the log that the position belongs to.
    log_id: Option<String>,
    /// Everything up to here is processed. Absent: it seeks by `last_processed`.
    position: Option<u64>,
    /// When the last processed event occurred, or the time to seek.
    last_processed: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    /// Whether events are being received.
    connected: bool,
    /// The last position of the log, as last told.
    head_position: Option<u64>,
    /// How many positions are still to be processed.
    lag_events: Option<u64>,
    /// How long ago the moment was up to which everything is processed.
    lag_seconds: Option<f64>,
}

/// Where to send the engine: exactly one of `time`, `position` and `beginning`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetRequest {
    /// All sources if absent.
    source: Option<String>,
    /// To the first event that occurred at or after this time.
    time: Option<DateTime<Utc>>,
    /// Behind this position.
    position: Option<u64>,
    /// To the first event that the log keeps.
    #[serde(default)]
    beginning: bool,
}

/// Where the engine stands in its sources
#[utoipa::path(
    get, path = "/v1/checkpoints", operation_id = "listCheckpoints", tag = "consumption",
    security(("token" = ["admin", "unlimited"])),
    responses((status = 200, description = "All sources", body = CheckpointList), Always)
)]
pub(super) async fn list(State(app): State<App>) -> Result<axum::Json<CheckpointList>, Problem> {
    let stored = app.admin.checkpoints().await.map_err(failed)?;
    let sources = app.status.sources().into_iter().map(|lag| {
        let found = stored
            .iter()
            .find(|checkpoint| checkpoint.source == lag.source);
        let log_id = found.and_then(|checkpoint| checkpoint.log_id);
        CheckpointView {
            log_id: log_id.or(lag.log_id).map(|id| id.to_string()),
            position: found.and_then(|checkpoint| checkpoint.position),
            last_processed: found.and_then(|checkpoint| checkpoint.last_processed),
            updated_at: found.map(|checkpoint| checkpoint.updated_at),
            source: lag.source,
            connected: lag.connected,
            head_position: lag.head_position,
            lag_events: lag.lag_events,
            lag_seconds: lag.lag_seconds,
        }
    });
    Ok(axum::Json(CheckpointList {
        checkpoints: sources.collect(),
    }))
}

/// Send the engine elsewhere in its sources
///
/// Events whose effects are committed are skipped there.
#[utoipa::path(
    post, path = "/v1/checkpoints/reset", operation_id = "resetCheckpoint", tag = "consumption",
    security(("token" = ["admin", "unlimited"])),
    request_body = ResetRequest,
    responses((status = 200, description = "Where it stands then", body = CheckpointList),
        Always, Body, One)
)]
pub(super) async fn reset(
    State(app): State<App>,
    Json(request): Json<ResetRequest>,
) -> Result<axum::Json<CheckpointList>, Problem> {
    let to = match (request.time, request.position, request.beginning) {
        (Some(time), None, false) => Reset::Time(time),
        (None, Some(position), false) => Reset::Position(position),
        (None, None, true) => Reset::Beginning,
        _ => {
            let problem = "is to hold exactly one of time, position and beginning";
            return Err(Problem::field(ProblemKind::InvalidRequest, "body", problem));
        }
    };
    let reset = app.admin.reset(request.source.as_deref(), to).await;
    reset.map_err(failed)?;
    list(State(app)).await
}
