//! How far the engine has come in its sources.

use axum::extract::State;
use chrono::{DateTime, Utc};
use consumer::Reset;
use serde::{Deserialize, Serialize};
use service::rest::{Always, Body, One, Problem, ProblemKind, extract::Json};
use utoipa::ToSchema;
use uuid::Uuid;

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
    /// Id of the last event that was processed, if known.
    last_event_id: Option<String>,
    /// Its position.
    last_event_position: Option<u64>,
    /// Why nothing more is consumed until the checkpoint is reset, over restarts and by all engines.
    /// Absent: it is not stopped.
    stopped_reason: Option<String>,
    /// Since when.
    stopped_at: Option<DateTime<Utc>>,
    /// Whether events are being received.
    connected: bool,
    /// The last position of the log, as last reported.
    head_position: Option<u64>,
    /// How many positions are still to be processed.
    lag_events: Option<u64>,
    /// How long ago the moment was up to which everything is processed.
    lag_seconds: Option<f64>,
}

/// Where to send the engine: exactly one of `time`, `position`, `beginning` and `continue_in`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetRequest {
    /// All sources if absent.
    source: Option<String>,
    /// To the first event that occurred at or after this time; in the log of the checkpoint never beyond
    /// it, in another log to the events of 24 hours before. There, what was stored later than that after
    /// it occurred may be left out, and `continue_in` is safe.
    time: Option<DateTime<Utc>>,
    /// Behind this position of the log of the checkpoint, or of `log_id`. What lies before and was not
    /// processed is left out.
    position: Option<u64>,
    /// For `position`: a log other than the one of the checkpoint.
    log_id: Option<String>,
    /// On in a log that went back or got a new identity; leaves out nothing.
    continue_in: Option<ContinueIn>,
    /// To the first event that the log keeps.
    #[serde(default)]
    beginning: bool,
}

/// A log whose history agrees with that of the checkpoint up to a position: from there, or from the
/// checkpoint if that is before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContinueIn {
    /// The log as it is now.
    log_id: String,
    /// Where the log ended right after it was restored, or failed over.
    common_position: u64,
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
        let last_event = found.and_then(|checkpoint| checkpoint.last_event.as_ref());
        let stop = found.and_then(|checkpoint| checkpoint.stop.as_ref());
        CheckpointView {
            log_id: log_id.or(lag.log_id).map(|id| id.to_string()),
            position: found.and_then(|checkpoint| checkpoint.position),
            last_processed: found.and_then(|checkpoint| checkpoint.last_processed),
            updated_at: found.map(|checkpoint| checkpoint.updated_at),
            last_event_id: last_event.map(|last| last.event_id.clone()),
            last_event_position: last_event.map(|last| last.position),
            stopped_reason: stop.map(|stop| stop.reason.clone()).or(lag.stopped),
            stopped_at: stop.map(|stop| stop.at),
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
    let source = request.source.clone();
    let to = target(request)?;
    let reset = app.admin.reset(source.as_deref(), to).await;
    reset.map_err(failed)?;
    list(State(app)).await
}

fn target(request: ResetRequest) -> Result<Reset, Problem> {
    let ResetRequest {
        time,
        position,
        log_id,
        continue_in,
        beginning,
        source: _,
    } = request;
    match (time, position, log_id, continue_in, beginning) {
        (Some(time), None, None, None, false) => Ok(Reset::Time(time)),
        (None, Some(position), None, None, false) => Ok(Reset::Position(position)),
        (None, Some(position), Some(log_id), None, false) => Ok(Reset::PositionIn {
            log_id: uuid("log_id", &log_id)?,
            position,
        }),
        (None, None, None, Some(on), false) => Ok(Reset::ContinueIn {
            log_id: uuid("continue_in.log_id", &on.log_id)?,
            common_position: on.common_position,
        }),
        (None, None, None, None, true) => Ok(Reset::Beginning),
        _ => {
            let problem = "is to hold exactly one of time, position (with log_id or without), \
                           beginning and continue_in";
            Err(Problem::field(ProblemKind::InvalidRequest, "body", problem))
        }
    }
}

fn uuid(field: &str, given: &str) -> Result<Uuid, Problem> {
    given
        .parse()
        .map_err(|_| Problem::field(ProblemKind::InvalidRequest, field, "is no UUID of a log"))
}
