//! Appending within a transaction: the one place where positions are given.

use std::collections::HashMap;

use atlas_events::{Draft, ID_TIME_TOLERANCE};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use ulid::Ulid;

use crate::{
    LogError,
    columns::position,
    head::{
        self, HeadState, LockedHead,
        segments::{self, Bounds, SegmentIndex},
    },
    history::History,
    write::{
        appended::{Appended, Projection, Receipt},
        rows::insert,
    },
};

/// Ids closer than this are looked for at once: the length of a chunk, 7 days.
const NEAR_MILLISECONDS: u64 = 7 * 24 * 3_600 * 1_000;

/// Appends drafts inside the caller's transaction: by COPY if their rows are given. From here until
/// the transaction ends, no other process can append: call it last.
pub(crate) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    rows: Option<&[&[u8]]>,
    channel: &str,
    projection: Option<&dyn Projection>,
    check: HistoryCheck<'_>,
) -> Result<Appended, LogError> {
    let before = check.history.mark();
    let locked = head::lock(connection).await?;
    check
        .history
        .verify(connection, check.segments, before, locked.view())
        .await?;
    refuse_dropped(&locked.state, drafts)?;
    let known = find_stored(connection, drafts).await?;
    let mut appended = number(&locked, drafts, known);
    if appended.fresh.is_empty() {
        return Ok(appended);
    }
    let fresh: Vec<&Draft> = appended.fresh.iter().map(|index| &drafts[*index]).collect();
    match rows {
        Some(rows) => {
            let rows = appended.fresh.iter().map(|index| rows[*index]);
            insert::copy(connection, rows, appended.first_position, locked.now).await?;
        }
        None => insert::insert(connection, &fresh, appended.first_position, locked.now).await?,
    }
    let occurred_at = fresh.iter().map(|draft| draft.occurred_at);
    let (left, full_segments) = locked.state.behind(occurred_at, locked.now);
    if let Some(projection) = projection {
        let numbered: Vec<_> = (appended.first_position..).zip(fresh).collect();
        projection.apply(connection, &numbered).await?;
    }
    segments::insert(connection, &full_segments).await?;
    head::advance(connection, locked.state.last_position, &left, channel).await?;
    appended.left = left;
    Ok(appended)
}

/// What a locked head is compared with before anything is appended behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryCheck<'a> {
    pub(crate) history: &'a History,
    pub(crate) segments: &'a SegmentIndex,
}

fn refuse_dropped(state: &HeadState, drafts: &[Draft]) -> Result<(), LogError> {
    match state.first_too_old(drafts).zip(state.earliest_distinct()) {
        Some((index, earliest)) => Err(LogError::TooOld { index, earliest }),
        None => Ok(()),
    }
}

/// When the twins of ids may have occurred, the ids being in order: within an hour of the times in
/// them. `None` if there are none.
fn twin_bounds(ids: &[Ulid]) -> Option<Bounds> {
    let (first, last) = (ids.first()?.timestamp_ms(), ids.last()?.timestamp_ms());
    let time = |milliseconds: u64| {
        let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(milliseconds).unwrap_or(DateTime::<Utc>::MAX_UTC)
    };
    Some(Bounds {
        earliest: time(first) - ID_TIME_TOLERANCE,
        // An id's time is in whole milliseconds.
        latest: time(last + 1) + ID_TIME_TOLERANCE,
    })
}

/// Ids in order as runs, each of which is looked for at once: no two ids of a run that follow each
/// other are a chunk's length apart, so that no chunk between two runs is looked into.
fn runs_of_near_ids(ids: &[Ulid]) -> impl Iterator<Item = &[Ulid]> {
    ids.chunk_by(|before, id| id.timestamp_ms() - before.timestamp_ms() < NEAR_MILLISECONDS)
}

/// The drafts that the log holds already. Those of near times are in one or two chunks.
async fn find_stored(
    connection: &mut PgConnection,
    drafts: &[Draft],
) -> Result<HashMap<String, (u64, DateTime<Utc>)>, LogError> {
    let mut ids: Vec<Ulid> = drafts.iter().map(|draft| draft.event_id).collect();
    ids.sort_unstable();
    let mut stored = HashMap::new();
    for run in runs_of_near_ids(&ids) {
        stored.extend(find_stored_ids(connection, run).await?);
    }
    Ok(stored)
}

async fn find_stored_ids(
    connection: &mut PgConnection,
    ids: &[Ulid],
) -> Result<HashMap<String, (u64, DateTime<Utc>)>, LogError> {
    let Some(bounds) = twin_bounds(ids) else {
        return Ok(HashMap::new());
    };
    let ids: Vec<String> = ids.iter().map(Ulid::to_string).collect();
    let rows = sqlx::query!(
        "select event_id, position, recorded_at from events
         where event_id = any($1) and occurred_at between $2 and $3",
        &ids,
        bounds.earliest,
        bounds.latest,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.event_id, (position(row.position), row.recorded_at)))
        .collect())
}

/// Gives consecutive positions to the drafts that are new, and to each of the others the position
/// of its first appearance, be that in the log or earlier in the batch.
fn number(
    locked: &LockedHead,
    drafts: &[Draft],
    stored: HashMap<String, (u64, DateTime<Utc>)>,
) -> Appended {
    let first_position = locked.state.last_position + 1;
    let mut known: HashMap<_, _> = stored
        .into_iter()
        .filter_map(|(id, place)| Some((Ulid::from_string(&id).ok()?, place)))
        .collect();
    let mut fresh = Vec::with_capacity(drafts.len());
    let mut next = first_position;
    let mut receipts = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let place = known.get(&draft.event_id).copied();
        let duplicate = place.is_some();
        let (position, recorded_at) = place.unwrap_or_else(|| {
            let place = (next, locked.now);
            known.insert(draft.event_id, place);
            fresh.push(index);
            next += 1;
            place
        });
        receipts.push(Receipt {
            event_id: draft.event_id,
            position,
            recorded_at,
            duplicate,
        });
    }
    Appended {
        receipts,
        fresh,
        first_position,
        recorded_at: locked.now,
        found: locked.state,
        left: locked.state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_far_apart_are_looked_for_apart() {
        let day = 24 * 3_600 * 1_000;
        let ids = [0, 1, 6, 12, 19, 40, 40].map(|days| Ulid::from_parts(days * day, 0));
        let runs: Vec<usize> = runs_of_near_ids(&ids).map(<[Ulid]>::len).collect();
        assert_eq!(runs, [4, 1, 2]);
        assert_eq!(runs_of_near_ids(&[]).count(), 0);
    }
}
