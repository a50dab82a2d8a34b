//! The latest time of the events that a filter wants.

use atlas_events::EventFilter;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::LogError;

/// Goes back chunk by chunk until one holds a wanted event: with a filter that wants little, through
/// much of the log.
pub(crate) async fn occurred_at(
    connection: &mut PgConnection,
    filter: &EventFilter,
) -> Result<Option<DateTime<Utc>>, LogError> {
    let latest = sqlx::query_scalar!(
        "select occurred_at from events
         where ($1::text[] is null or event_type = any($1)
                or ($2 and event_type like 'custom:%'))
             and ($3::text[] is null or series_ids && $3)
             and ($4::text[] is null or source_service = any($4))
             and ($5::text[] is null or (series_ids <@ $5 and series_ids <> '{}'))
         order by occurred_at desc
         limit 1",
        filter.event_types(),
        filter.any_custom(),
        filter.series_ids(),
        filter.source_services(),
        filter.series_within(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(latest)
}
