//! Pages of stored events by position.

use atlas_events::{EventFilter, EventType};
use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::{
    LogError, Unverified,
    columns::{position, stored},
    head::{
        self,
        segments::{Bounds, Window},
    },
    history::Mark,
    live::batch::{BATCH_BYTES_MAX, Batch, BatchBuilder, Delivery, Frames},
};

/// Events in a page at the most.
pub(crate) const PAGE_EVENTS_MAX: u64 = 1_000;
/// Positions that a filtered page looks through at the most.
pub(crate) const SCAN_POSITIONS_MAX: u64 = 16 * 4_096;

/// What a reader gets of one page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The wanted events; `None` if there were none.
    pub(crate) delivery: Option<Delivery>,
    /// Everything up to here has been considered.
    pub(crate) up_to: u64,
    /// The length of the largest of them.
    pub(crate) event_bytes_max: usize,
    /// How many of them stand in for one that cannot be delivered.
    pub(crate) undeliverable: u64,
}

/// Who finds fewer than one event in so many positions searches.
const SPARSE_POSITIONS: u64 = 64;

impl Page {
    /// Whether it holds next to nothing of what it was to hold, behind this cursor.
    pub(crate) fn is_sparse(&self, after: u64) -> bool {
        let wanted = self.delivery.as_ref().map_or(0, |page| page.count as u64);
        wanted * SPARSE_POSITIONS < self.up_to - after
    }
}

struct StoredEvent {
    position: i64,
    recorded_at: chrono::DateTime<chrono::Utc>,
    encoded: Vec<u8>,
}

impl StoredEvent {
    fn place(&self) -> (i64, usize) {
        (self.position, self.encoded.len())
    }
}

/// Reads the wanted events after a cursor within a window.
///
/// # Errors
/// [`LogError::Trimmed`] if retention has removed what the page would have held, and
/// [`LogError::Hole`] if an unfiltered page is not gapless.
pub(crate) async fn page(
    connection: &mut PgConnection,
    after: u64,
    window: Window,
    filter: &EventFilter,
) -> Result<Page, LogError> {
    let rows = select(&mut *connection, after, window, filter).await?;
    let up_to = considered_up_to(rows.iter().map(StoredEvent::place), window);
    if !filter.is_unfiltered() {
        check_kept(connection, after).await?;
    } else if !is_gapless(after, up_to, rows.iter().map(|row| row.position)) {
        check_kept(connection, after).await?;
        return Err(LogError::Hole { after });
    }
    Ok(into_page(&rows, after, up_to))
}

/// Reads the wanted events that occurred within `bounds`, after a cursor, within a window.
pub(crate) async fn page_between(
    connection: &mut PgConnection,
    after: u64,
    window: Window,
    bounds: Bounds,
    filter: &EventFilter,
) -> Result<Page, LogError> {
    let Some(bounds) = window.bounds.intersection(bounds) else {
        return Ok(Page {
            delivery: None,
            up_to: window.up_to,
            event_bytes_max: 0,
            undeliverable: 0,
        });
    };
    let rows = select(&mut *connection, after, Window { bounds, ..window }, filter).await?;
    check_kept(connection, after).await?;
    let up_to = considered_up_to(rows.iter().map(StoredEvent::place), window);
    Ok(into_page(&rows, after, up_to))
}

/// Only what is sent, for most of what a page costs is what is taken out of the database.
async fn select(
    executor: impl PgExecutor<'_>,
    after: u64,
    window: Window,
    filter: &EventFilter,
) -> Result<Vec<StoredEvent>, LogError> {
    let rows = sqlx::query_as!(
        StoredEvent,
        r#"select position, recorded_at, encoded
           from (
               select position, recorded_at, encoded,
                      sum(octet_length(encoded)) over (order by position rows unbounded preceding)
                          - octet_length(encoded) as bytes_before
               from events
               where position > $1 and position <= $2 and occurred_at between $3 and $4
                   and ($5::text[] is null or event_type = any($5)
                        or ($6 and event_type like 'custom:%'))
                   and ($7::text[] is null or series_ids && $7)
                   and ($10::text[] is null or source_service = any($10))
                   and ($11::text[] is null or (series_ids <@ $11 and series_ids <> '{}'))
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
        filter.source_services(),
        filter.series_within(),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows)
}

/// How far rows, each a position and a length, reach within a window: to the last where the page is
/// full, to the end of the window where it is not.
fn considered_up_to(rows: impl Iterator<Item = (i64, usize)>, window: Window) -> u64 {
    let (mut count, mut bytes, mut up_to) = (0, 0, window.up_to);
    for (at, length) in rows {
        count += 1;
        bytes += length;
        up_to = position(at);
    }
    match count >= PAGE_EVENTS_MAX || bytes >= BATCH_BYTES_MAX {
        true => up_to,
        false => window.up_to,
    }
}

fn into_page(rows: &[StoredEvent], after: u64, up_to: u64) -> Page {
    let mut frames = Frames::default();
    for row in rows {
        frames.push(position(row.position), row.recorded_at, &row.encoded);
    }
    Page {
        undeliverable: frames.undeliverable(),
        delivery: frames.into_delivery(after, up_to),
        up_to,
        event_bytes_max: rows.iter().map(|row| row.encoded.len()).max().unwrap_or(0),
    }
}

/// Reads the events behind a mark within a window for all readers, whatever they want of them. The
/// window begins with the event at the mark, which is read too and compared; `is_trimmed`: retention
/// has removed it, and the window begins behind it.
///
/// # Errors
/// As [`page`], and [`LogError::Unverified`] if another event is at the mark.
pub(crate) async fn batch(
    pool: &PgPool,
    mark: Mark,
    is_trimmed: bool,
    window: Window,
) -> Result<Option<Batch>, LogError> {
    let is_compared = mark.position > 0 && !is_trimmed;
    let after = mark.position - u64::from(is_compared);
    let rows = sqlx::query!(
        r#"select position, recorded_at, event_type, source_service, series_ids, encoded
           from (
               select position, recorded_at, event_type, source_service, series_ids, encoded,
                      sum(octet_length(encoded)) over (order by position rows unbounded preceding)
                          - octet_length(encoded) as bytes_before
               from events
               where position > $1 and position <= $2 and occurred_at between $3 and $4
               order by position
               limit $5
           ) as next
           where bytes_before < $6
           order by position"#,
        stored(after),
        stored(window.up_to),
        window.bounds.earliest,
        window.bounds.latest,
        stored(PAGE_EVENTS_MAX),
        BATCH_BYTES_MAX as i64,
    )
    .fetch_all(pool)
    .await?;
    let at_mark = rows
        .first()
        .filter(|row| position(row.position) == mark.position);
    if is_compared && at_mark.map(|row| row.recorded_at) != mark.recorded_at {
        check_kept(pool, after).await?;
        return Err(LogError::Unverified(Unverified::WentBack {
            position: mark.position,
            last_position: rows.last().map_or(after, |row| position(row.position)),
        }));
    }
    let places = rows.iter().map(|row| (row.position, row.encoded.len()));
    let up_to = considered_up_to(places.clone(), window);
    if !is_gapless(after, up_to, places.map(|(position, _)| position)) {
        check_kept(pool, after).await?;
        return Err(LogError::Hole { after });
    }
    let mut builder = BatchBuilder::default();
    for row in rows.into_iter().skip(usize::from(is_compared)) {
        builder.push(
            position(row.position),
            row.recorded_at,
            &row.encoded,
            (EventType::from_stored(&row.event_type), &row.source_service),
            row.series_ids.as_deref().unwrap_or_default(),
        );
    }
    Ok(builder.finish())
}

/// Whether rows hold every position after a cursor and up to another.
fn is_gapless(after: u64, up_to: u64, positions: impl Iterator<Item = i64>) -> bool {
    positions.map(position).eq(after + 1..=up_to)
}

/// Checks, once a page has been read, that retention had not removed a part of it before.
async fn check_kept(executor: impl PgExecutor<'_>, after: u64) -> Result<(), LogError> {
    let first_position = head::read(executor).await?.first_position;
    if first_position > after + 1 {
        return Err(LogError::Trimmed {
            after,
            first_position,
        });
    }
    Ok(())
}
