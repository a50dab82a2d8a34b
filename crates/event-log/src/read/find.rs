//! An event by its id.

use atlas_events::ID_TIME_TOLERANCE;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use ulid::Ulid;

use crate::LogError;

pub(crate) struct FoundEvent {
    pub(crate) position: i64,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) encoded: Vec<u8>,
}

pub(crate) async fn by_id(
    connection: &mut PgConnection,
    event_id: Ulid,
) -> Result<Option<FoundEvent>, LogError> {
    // An id whose time no stored event can be near is not stored.
    let milliseconds = i64::try_from(event_id.timestamp_ms()).unwrap_or(i64::MAX);
    let Some(time) = DateTime::from_timestamp_millis(milliseconds) else {
        return Ok(None);
    };
    let (Some(earliest), Some(latest)) = (
        time.checked_sub_signed(ID_TIME_TOLERANCE),
        time.checked_add_signed(ID_TIME_TOLERANCE + chrono::TimeDelta::milliseconds(1)),
    ) else {
        return Ok(None);
    };
    let found = sqlx::query_as!(
        FoundEvent,
        "select position, recorded_at, encoded from events
         where event_id = $1 and occurred_at between $2 and $3",
        event_id.to_string(),
        earliest,
        latest,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}
