//! The log as a whole.

use atlas_events::{KNOWN_EVENT_TYPES, WantedEvents};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use service::rest::{Problem, extract::Caller};

use super::{App, document::Always};

/// What the log is and holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogInfo {
    /// Identity of the log, a UUID; cursors belong to it.
    #[schema(example = "0190c8b0-6f3e-4a53-9f0f-0a3c51c3a1de")]
    log_id: String,
    /// The first position that is kept; `last_position + 1` if none is.
    first_position: u64,
    /// The last position; 0 if nothing was ever stored.
    last_position: u64,
    /// The greatest `occurredAt` ever stored. For a limited caller the greatest of its own among the
    /// newest 65,536 positions, up to a second old; `null` if none of these are its own.
    latest_occurred_at: Option<DateTime<Utc>>,
    /// When the event at `last_position` was stored.
    latest_recorded_at: Option<DateTime<Utc>>,
    /// The oldest `occurredAt` that a publish may have.
    earliest_accepted: DateTime<Utc>,
    /// Version and licence of TimescaleDB.
    #[schema(example = "2.19.3 apache")]
    edition: String,
    /// The event types that filters know, besides `custom:<type>`.
    event_types: &'static [&'static str],
    /// Whether the caller's token is limited: its pages leave other events out, and the times above
    /// are those of its own.
    limited: bool,
}

/// Identity, bounds and storage of the log
#[utoipa::path(
    get, path = "/v1/log", operation_id = "getLog", tag = "events",
    security(("token" = ["read"])),
    responses((status = 200, description = "The log", body = LogInfo), Always)
)]
pub(super) async fn info(
    State(app): State<App>,
    Caller(access): Caller,
) -> Result<Json<LogInfo>, Problem> {
    let mut head = app.log.head().await?;
    if access.is_limited() {
        let own = access.narrow(WantedEvents::default())?;
        head.latest_occurred_at = app.log.latest_occurred_at(&own).await?;
        head.latest_recorded_at = None;
    }
    Ok(Json(LogInfo {
        log_id: head.log_id.to_string(),
        first_position: head.first_position,
        last_position: head.last_position,
        latest_occurred_at: head.latest_occurred_at,
        latest_recorded_at: head.latest_recorded_at,
        earliest_accepted: app.log.earliest_accepted(&head),
        edition: app.log.edition().to_owned(),
        event_types: &KNOWN_EVENT_TYPES,
        limited: access.is_limited(),
    }))
}
