//! The one statement with which a transaction takes a batch: it takes a turn, moves the checkpoint and
//! records the events as processed.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::{
    SourcedEvent,
    checkpoint::{Advance, Checkpoint, Row},
    database::{position, stored},
    processing::turn::Turn,
};

/// Whose events these are, and where its checkpoint is for all this consumer knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceContext<'a> {
    pub(crate) service: &'a str,
    pub(crate) source: &'a str,
    pub(crate) checkpoint: Option<&'a Checkpoint>,
}

/// What a transaction took.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) turn: Turn,
    /// Where the checkpoint is once it commits.
    pub(crate) checkpoint: Checkpoint,
    /// Positions of the events that were processed before.
    pub(crate) known: HashSet<u64>,
}

/// Takes a turn, moves the checkpoint and records events as processed, for this transaction; `None`
/// if the checkpoint is not where it was left, and then the transaction is to be undone.
///
/// One statement, as each costs a round trip. It waits for another transaction that has its turn, and
/// sees where that has left the checkpoint; from here on others wait for this one.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    context: SourceContext<'_>,
    advance: &Advance,
    events: impl Iterator<Item = &SourcedEvent>,
) -> Result<Option<Claimed>, sqlx::Error> {
    let (mut ids, mut positions, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: Option<&SourcedEvent> = None;
    for event in events {
        ids.push(event.event.event_id.as_str());
        positions.push(stored(event.position()));
        times.push(event.occurred_at());
        last = last
            .filter(|last| last.position() > event.position())
            .or(Some(event));
    }
    let left = context.checkpoint;
    let row = sqlx::query!(
        r#"with taken as (
               insert into handler_turn (service, turn) values ($1, 1)
               on conflict (service) do update set turn = handler_turn.turn + 1
               returning turn
           ), moved as (
               update checkpoint
               set log_id = $6, position = $7, last_processed = coalesce($8, last_processed),
                   event_id = coalesce($12, event_id),
                   event_position = coalesce($13, event_position), updated_at = now()
               where exists (select from taken) and service = $1 and source = $2
                   and log_id is not distinct from $3 and position is not distinct from $4
                   and (position is not null or last_processed is not distinct from $5)
                   and stopped_at is null
               returning source, log_id, position, last_processed, updated_at, event_id,
                         event_position
           ), fresh as (
               insert into processed_events (service, source, event_id, position, occurred_at)
               select $1, $2, event_id, position, occurred_at
               from unnest($9::text[], $10::bigint[], $11::timestamptz[])
                   as given (event_id, position, occurred_at)
               where exists (select from moved)
               on conflict do nothing
               returning position
           )
           select turn, source, log_id, position, last_processed, updated_at, event_id,
                  event_position,
                  case when (select count(*) from fresh) = cardinality($10) then '{}'::bigint[]
                       else array(select position from unnest($10) as position
                                  where position not in (select position from fresh))
                  end as "known!"
           from moved, taken"#,
        context.service,
        context.source,
        left.and_then(|left| left.log_id),
        left.and_then(|left| left.position).map(stored),
        left.and_then(|left| left.last_processed),
        advance.log_id,
        stored(advance.to),
        advance.last_processed,
        &ids as &[&str],
        &positions,
        &times,
        last.map(|last| last.event.event_id.as_str()),
        last.map(|last| stored(last.position())),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Claimed {
        turn: Turn(row.turn),
        known: row.known.into_iter().map(position).collect(),
        checkpoint: Checkpoint::from(Row {
            source: row.source,
            log_id: row.log_id,
            position: row.position,
            last_processed: row.last_processed,
            updated_at: row.updated_at,
            event_id: row.event_id,
            event_position: row.event_position,
            stopped_reason: None,
            stopped_at: None,
            seek_log_id: None,
            seek_position: None,
        }),
    }))
}
