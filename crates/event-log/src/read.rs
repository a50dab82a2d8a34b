//! Pages of stored events by position.

use atlas_events::{EventFilter, EventType};
use sqlx::PgPool;

use crate::{
    LogError,
    batch::{BATCH_BYTES_MAX, Batch, BatchBuilder},
    head::{self, position, stored},
    segment::{Bounds, Window},
};

/// Events in a page at the most.
pub(crate) const PAGE_EVENTS_MAX: u64 = 1_000;
/// Positions that a filtered page looks through at the most.
pub(crate) const SCAN_POSITIONS_MAX: u64 = 16 * 4_096;

/// What one page held.
#[derive(Debug)]
pub(crate) struct Page {
    /// The wanted events; `None` if there were none.
    pub(crate) batch: Option<Batch>,
    /// Everything up to here has been considered.
    pub(crate) up_to: u64,
}

struct StoredEvent {
    position: i64,
    recorded_at: chrono::DateTime<chrono::Utc>,
    event_type: String,
    series_ids: Option<Vec<String>>,
    encoded: Vec<u8>,
}

/// Reads the wanted events after a cursor within a window.
///
/// # Errors
/// [`LogError::Trimmed`] if retention has removed what the page would have held, and
/// [`LogError::Hole`] if an unfiltered page is not gapless.
pub(crate) async fn page(
    pool: &PgPool,
    after: u64,
    window: Window,
    filter: &EventFilter,
) -> Result<Page, LogError> {
    let rows = select(pool, after, window, filter).await?;
    if !filter.is_unfiltered() {
        check_kept(pool, after).await?;
    } else if !is_gapless(after, considered_up_to(&rows, window), &rows) {
        check_kept(pool, after).await?;
        return Err(LogError::Hole { after });
    }
    Ok(into_page(rows, window))
}

/// Reads the wanted events that occurred within `bounds`, after a cursor, within a window.
pub(crate) async fn page_between(
    pool: &PgPool,
    after: u64,
    window: Window,
    bounds: Bounds,
    filter: &EventFilter,
) -> Result<Page, LogError> {
    let Some(bounds) = window.bounds.intersection(bounds) else {
        return Ok(Page {
            batch: None,
            up_to: window.up_to,
        });
    };
    let rows = select(pool, after, Window { bounds, ..window }, filter).await?;
    check_kept(pool, after).await?;
    Ok(into_page(rows, window))
}

async fn select(
    pool: &PgPool,
    after: u64,
    window: Window,
    filter: &EventFilter,
) -> Result<Vec<StoredEvent>, LogError> {
    let rows = sqlx::query_as!(
        StoredEvent,
        r#"select position, recorded_at, event_type, series_ids, encoded
           from (
               select position, recorded_at, event_type, series_ids, encoded,
                      sum(octet_length(encoded)) over (order by position) - octet_length(encoded)
                          as bytes_before
               from events
               where position > $1 and position <= $2 and occurred_at between $3 and $4
                   and ($5::text[] is null or event_type = any($5)
                        or ($6 and event_type like 'custom:%'))
                   and ($7::text[] is null or series_ids && $7)
               order by position
               limit $8
           ) as wanted
           where bytes_before < $9
           order by position"#,
        stored(after),
        stored(window.up_to),
        window.bounds.earliest,
        window.bounds.latest,
        filter.event_types(),
        filter.any_custom(),
        filter.series_ids(),
        stored(PAGE_EVENTS_MAX),
        BATCH_BYTES_MAX as i64,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// A page that is full ends with its last row, any other with the window.
fn considered_up_to(rows: &[StoredEvent], window: Window) -> u64 {
    let bytes: usize = rows.iter().map(|row| row.encoded.len()).sum();
    let full = rows.len() as u64 >= PAGE_EVENTS_MAX || bytes >= BATCH_BYTES_MAX;
    match rows.last() {
        Some(last) if full => position(last.position),
        _ => window.up_to,
    }
}

fn into_page(rows: Vec<StoredEvent>, window: Window) -> Page {
    let up_to = considered_up_to(&rows, window);
    let mut builder = BatchBuilder::default();
    for row in rows {
        builder.push(
            position(row.position),
            row.recorded_at,
            &row.encoded,
            EventType::from_stored(&row.event_type),
            row.series_ids.unwrap_or_default(),
        );
    }
    Page {
        batch: builder.finish(),
        up_to,
    }
}

/// Whether rows hold every position after a cursor and up to another.
fn is_gapless(after: u64, up_to: u64, rows: &[StoredEvent]) -> bool {
    let positions = rows.iter().map(|row| position(row.position));
    positions.eq(after + 1..=up_to)
}

/// Checks, once a page has been read, that retention had not removed a part of it before.
async fn check_kept(pool: &PgPool, after: u64) -> Result<(), LogError> {
    let first_position = head::read(pool).await?.first_position;
    if first_position > after + 1 {
        return Err(LogError::Trimmed {
            after,
            first_position,
        });
    }
    Ok(())
}
