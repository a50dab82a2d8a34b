//! Retention: whole chunks are dropped, oldest positions first, and never silently.
//!
//! Only a prefix of the log is ever removed, so what remains stays gapless: a chunk whose time has
//! come is kept while it holds a position behind one that must stay. An event is therefore removed
//! no earlier than the configured time after it occurred, and no later than (a chunk's length after)
//! that time after it was stored.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};
use tracing::info;

use crate::{
    LogError,
    columns::{position, stored},
    head::{self, TWIN_MARGIN},
};

/// How long dropping may wait for a reader of the chunk before it gives up and tries again later.
/// Short, because whoever comes after it in the queue of the lock waits too.
const LOCK_TIMEOUT: &str = "500ms";

/// What one run of retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// Chunks dropped.
    pub chunks: usize,
    /// The first position that remains.
    pub first_position: u64,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    /// Bounds of its positions; `None` if it is empty.
    positions: Option<(u64, u64)>,
}

/// Drops the chunks that hold only events from before `cutoff` and only positions before every
/// other event.
///
/// Appends wait while the head is locked, so the chunks are examined before that, and outside of the
/// transaction: what it had read of them, another process that drops them would wait for. What was
/// appended in between lies behind all that was found: it only keeps the chunks that it went into.
pub(crate) async fn trim(pool: &PgPool, cutoff: DateTime<Utc>) -> Result<Trimmed, LogError> {
    let cutoff = cutoff - TWIN_MARGIN;
    let mut connection = pool.acquire().await?;
    let seen = head::read(&mut *connection).await?;
    let nothing = |first_position| Trimmed {
        chunks: 0,
        first_position,
    };
    let ranges = ranges(&mut connection).await?;
    if !ranges.iter().any(|(_, end)| *end <= cutoff) {
        return Ok(nothing(seen.first_position));
    }
    let chunks = chunks(&mut connection, ranges).await?;
    let mut transaction = connection.begin().await?;
    set_lock_timeout(&mut transaction).await?;
    let head = head::lock(&mut transaction).await?;
    if head.first_position != seen.first_position {
        // Another process was faster.
        return Ok(nothing(head.first_position));
    }
    let late = appended_before(&mut transaction, seen.last_position, cutoff).await?;
    let expired = expired_prefix(chunks, cutoff, &late);
    let Some(dropped_before) = expired.iter().map(|chunk| chunk.end).max() else {
        return Ok(nothing(head.first_position));
    };
    let last_dropped = expired
        .iter()
        .filter_map(|chunk| chunk.positions)
        .map(|(_, last)| last)
        .max();
    let first_position = last_dropped.map_or(head.first_position, |last| last + 1);
    for chunk in &expired {
        drop_chunk(&mut transaction, chunk).await?;
    }
    let at = head.state.last_position;
    head::trim(&mut transaction, at, first_position, dropped_before).await?;
    transaction.commit().await?;
    info!(chunks = expired.len(), first_position, %dropped_before, "retention dropped chunks");
    Ok(Trimmed {
        chunks: expired.len(),
        first_position,
    })
}

/// The chunks that end before the cutoff, less those that an event of a `late` time went into
/// meanwhile and those that hold a position behind one that stays.
fn expired_prefix(chunks: Vec<Chunk>, cutoff: DateTime<Utc>, late: &[DateTime<Utc>]) -> Vec<Chunk> {
    let is_late = |chunk: &Chunk| late.iter().any(|at| (chunk.start..chunk.end).contains(at));
    let (mut expired, mut kept): (Vec<_>, Vec<_>) = chunks
        .into_iter()
        .partition(|chunk| chunk.end <= cutoff && !is_late(chunk));
    loop {
        let first_kept = kept
            .iter()
            .filter_map(|chunk| chunk.positions)
            .map(|(first, _)| first)
            .min();
        let overlaps = |chunk: &Chunk| match (chunk.positions, first_kept) {
            (Some((_, last)), Some(first_kept)) => last > first_kept,
            _ => false,
        };
        let (overlapping, rest): (Vec<_>, Vec<_>) = expired.into_iter().partition(overlaps);
        expired = rest;
        if overlapping.is_empty() {
            return expired;
        }
        kept.extend(overlapping);
    }
}

async fn chunks(
    connection: &mut PgConnection,
    ranges: Vec<(DateTime<Utc>, DateTime<Utc>)>,
) -> Result<Vec<Chunk>, LogError> {
    let mut chunks = Vec::new();
    for (start, end) in ranges {
        let positions = positions_between(connection, start, end).await?;
        chunks.push(Chunk {
            start,
            end,
            positions,
        });
    }
    Ok(chunks)
}

/// Where each chunk begins and ends, the oldest first.
async fn ranges(
    connection: &mut PgConnection,
) -> Result<Vec<(DateTime<Utc>, DateTime<Utc>)>, LogError> {
    let ranges = sqlx::query!(
        r#"select range_start as "start!", range_end as "end!"
           from timescaledb_information.chunks
           where hypertable_schema = current_schema and hypertable_name = 'events'
           order by range_start"#
    )
    .fetch_all(connection)
    .await?;
    Ok(ranges
        .into_iter()
        .map(|range| (range.start, range.end))
        .collect())
}

async fn positions_between(
    connection: &mut PgConnection,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<Option<(u64, u64)>, LogError> {
    let row = sqlx::query!(
        "select min(position) as first, max(position) as last from events
         where occurred_at >= $1 and occurred_at < $2",
        start,
        end,
    )
    .fetch_one(connection)
    .await?;
    Ok(row
        .first
        .zip(row.last)
        .map(|(first, last)| (position(first), position(last))))
}

/// Times of the events that were appended after a position and occurred before a time.
async fn appended_before(
    connection: &mut PgConnection,
    after: u64,
    time: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, LogError> {
    let times = sqlx::query_scalar!(
        "select distinct occurred_at from events where position > $1 and occurred_at < $2",
        stored(after),
        time,
    )
    .fetch_all(connection)
    .await?;
    Ok(times)
}

async fn set_lock_timeout(connection: &mut PgConnection) -> Result<(), LogError> {
    sqlx::query_scalar!("select set_config('lock_timeout', $1, true)", LOCK_TIMEOUT)
        .fetch_one(connection)
        .await?;
    Ok(())
}

async fn drop_chunk(connection: &mut PgConnection, chunk: &Chunk) -> Result<(), LogError> {
    sqlx::query_scalar!(
        r#"select drop_chunks(
               format('%I.events', current_schema)::regclass,
               older_than => $1::timestamptz, newer_than => $2::timestamptz
           )::text as "name!""#,
        chunk.end,
        chunk.start,
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}
