//! Bounds of `occurred_at` for runs of positions: what lets a read by position open only the chunks
//! that it needs.

use std::{collections::HashMap, sync::RwLock};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::{
    LogError,
    columns::{position, stored},
};

/// Positions in a segment. Stored data depends on it: it never changes.
pub(crate) const SEGMENT_POSITIONS: u64 = 4_096;
/// Segments that are looked up at once.
const LOOKAHEAD: u64 = 256;

/// Bounds of `occurred_at`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) earliest: DateTime<Utc>,
    pub(crate) latest: DateTime<Utc>,
}

impl Bounds {
    pub(crate) fn at(time: DateTime<Utc>) -> Self {
        Self {
            earliest: time,
            latest: time,
        }
    }

    /// As two columns hold them.
    pub(crate) fn unzip(bounds: Option<Self>) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        bounds
            .map(|bounds| (bounds.earliest, bounds.latest))
            .unzip()
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
        }
    }

    /// What both have in common; `None` if nothing.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        let earliest = self.earliest.max(other.earliest);
        let latest = self.latest.min(other.latest);
        (earliest <= latest).then_some(Self { earliest, latest })
    }
}

/// A run of positions that can be read at once, and the times that its events may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) up_to: u64,
    pub(crate) bounds: Bounds,
}

/// The segment that a position (1, 2, …) belongs to.
pub(crate) fn segment_of(position: u64) -> u64 {
    (position - 1) / SEGMENT_POSITIONS
}

/// Collects the bounds of segments while positions are given out.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    open: Option<Bounds>,
    full: Vec<(u64, Bounds)>,
}

impl SegmentWriter {
    pub(crate) fn resume(open: Option<Bounds>) -> Self {
        Self {
            open,
            full: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, position: u64, occurred_at: DateTime<Utc>) {
        let time = Bounds::at(occurred_at);
        let bounds = self.open.map_or(time, |open| open.union(time));
        if position.is_multiple_of(SEGMENT_POSITIONS) {
            self.full.push((segment_of(position), bounds));
            self.open = None;
        } else {
            self.open = Some(bounds);
        }
    }

    /// The segments that became full, and the bounds of the open one.
    pub(crate) fn finish(self) -> (Vec<(u64, Bounds)>, Option<Bounds>) {
        (self.full, self.open)
    }
}

/// Stores segments that became full.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    full: &[(u64, Bounds)],
) -> Result<(), LogError> {
    if full.is_empty() {
        return Ok(());
    }
    let segments: Vec<i64> = full.iter().map(|(segment, _)| stored(*segment)).collect();
    let earliest: Vec<_> = full.iter().map(|(_, bounds)| bounds.earliest).collect();
    let latest: Vec<_> = full.iter().map(|(_, bounds)| bounds.latest).collect();
    sqlx::query!(
        "insert into segments (segment, earliest, latest)
         select * from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[])",
        &segments,
        &earliest,
        &latest,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds windows. Full segments never change, so they are remembered: 32 bytes for 4,096 events.
#[derive(Debug, Default)]
pub(crate) struct SegmentIndex {
    full: RwLock<HashMap<u64, Bounds>>,
}

impl SegmentIndex {
    /// The window of at most `positions` after a cursor; `None` if nothing is stored after it.
    pub(crate) async fn window(
        &self,
        executor: impl PgExecutor<'_>,
        after: u64,
        positions: u64,
    ) -> Result<Option<Window>, LogError> {
        let last_wanted = after.saturating_add(positions);
        if let Some(window) = self.remembered(after, last_wanted) {
            return Ok(Some(window));
        }
        let first = segment_of(after + 1);
        let rows = load(executor, first, first + LOOKAHEAD).await?;
        if let Ok(mut full) = self.full.write() {
            full.extend(
                rows.iter()
                    .filter(|row| !row.open)
                    .map(|row| (row.segment, row.bounds)),
            );
        }
        let window = rows
            .iter()
            .filter(|row| row.segment >= first && row.segment <= segment_of(last_wanted))
            .map(|row| Window {
                up_to: row.last_position,
                bounds: row.bounds,
            })
            .reduce(|a, b| Window {
                up_to: a.up_to.max(b.up_to),
                bounds: a.bounds.union(b.bounds),
            });
        Ok(window
            .map(|window| Window {
                up_to: window.up_to.min(last_wanted),
                ..window
            })
            .filter(|window| window.up_to > after))
    }

    fn remembered(&self, after: u64, last_wanted: u64) -> Option<Window> {
        let full = self.full.read().ok()?;
        let bounds = (segment_of(after + 1)..=segment_of(last_wanted))
            .map(|segment| full.get(&segment).copied())
            .reduce(|a, b| Some(a?.union(b?)))??;
        Some(Window {
            up_to: last_wanted,
            bounds,
        })
    }
}

struct StoredSegment {
    segment: u64,
    bounds: Bounds,
    open: bool,
    last_position: u64,
}

/// Segments in order, the open one last if it is within reach.
async fn load(
    executor: impl PgExecutor<'_>,
    first: u64,
    last: u64,
) -> Result<Vec<StoredSegment>, LogError> {
    let rows = sqlx::query!(
        r#"select segment as "segment!", earliest as "earliest!", latest as "latest!",
                  open as "open!", last_position as "last_position!"
           from (
               select segment, earliest, latest, false as open,
                      (segment + 1) * 4096 as last_position
               from segments where segment between $1 and $2
               union all
               select last_position / 4096, segment_earliest, segment_latest, true, last_position
               from (select * from log_head order by last_position desc limit 1) as head
               where segment_earliest is not null
           ) as known
           where segment between $1 and $2
           order by segment"#,
        stored(first),
        stored(last),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StoredSegment {
            segment: position(row.segment),
            bounds: Bounds {
                earliest: row.earliest,
                latest: row.latest,
            },
            open: row.open,
            last_position: position(row.last_position),
        })
        .collect())
}

/// The cursor before the first position, at or after `first_position`, whose event occurred at or
/// after `since`; the last position if there is none.
pub(crate) async fn cursor_at(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
    first_position: u64,
    last_position: u64,
) -> Result<u64, LogError> {
    let Some((first, window)) =
        first_segment_since(&mut *connection, since, first_position).await?
    else {
        return Ok(last_position);
    };
    let found = sqlx::query_scalar!(
        "select min(position) from events
         where position between $1 and $2 and occurred_at between $3 and $4",
        stored(first.max(first_position)),
        stored(window.up_to),
        since,
        window.bounds.latest,
    )
    .fetch_one(connection)
    .await?;
    Ok(found.map_or(last_position, |found| position(found) - 1))
}

/// The first segment that holds an event of `since` or later, with its first position.
async fn first_segment_since(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
    first_position: u64,
) -> Result<Option<(u64, Window)>, LogError> {
    let row = sqlx::query!(
        r#"select segment as "segment!", earliest as "earliest!", latest as "latest!",
                  last_position as "last_position!"
           from (
               select segment, earliest, latest, (segment + 1) * 4096 as last_position
               from segments
               union all
               select last_position / 4096, segment_earliest, segment_latest, last_position
               from (select * from log_head order by last_position desc limit 1) as head
               where segment_earliest is not null
           ) as known
           where latest >= $1 and segment >= $2
           order by segment limit 1"#,
        since,
        stored(segment_of(first_position)),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let bounds = Bounds {
            earliest: row.earliest,
            latest: row.latest,
        };
        let window = Window {
            up_to: position(row.last_position),
            bounds,
        };
        (position(row.segment) * SEGMENT_POSITIONS + 1, window)
    }))
}
