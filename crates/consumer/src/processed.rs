//! The ids of events whose effects are committed. All SQL on `processed_events` is here.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use tracing::warn;

use crate::{
    ConsumerConfig, SourcedEvent,
    attempt::Place,
    database::{position, stored},
    source::Source,
};

/// Rows that one statement prunes.
const PRUNED_AT_ONCE_MAX: i64 = 10_000;

/// Records events as processed by this transaction, and keeps the checkpoint from being moved by
/// another. Returns the positions of those that were processed before; `None` if the checkpoint is
/// not where it was left, and then nothing is recorded.
///
/// One statement, as each costs a round trip. It waits for another transaction that holds the
/// checkpoint, and sees where that has left it.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    place: Place<'_>,
    events: impl Iterator<Item = &SourcedEvent>,
) -> Result<Option<HashSet<u64>>, sqlx::Error> {
    let (mut ids, mut positions, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        ids.push(event.event.event_id.as_str());
        positions.push(stored(event.position()));
        times.push(event.occurred_at());
    }
    let left = place.checkpoint;
    let row = sqlx::query!(
        r#"with held as materialized (
               select log_id, position, last_processed from checkpoint
               where service = $1 and source = $2 for update
           ), as_left as materialized (
               select from held
               where log_id is not distinct from $3 and position is not distinct from $4
                   and (position is not null or last_processed is not distinct from $5)
           ), fresh as (
               insert into processed_events (service, source, event_id, position, occurred_at)
               select $1, $2, event_id, position, occurred_at
               from unnest($6::text[], $7::bigint[], $8::timestamptz[])
                   as given (event_id, position, occurred_at)
               where exists (select from as_left)
               on conflict do nothing
               returning position
           )
           select exists (select from as_left) as "as_left!",
                  case when (select count(*) from fresh) = cardinality($7) then '{}'::bigint[]
                       else array(select position from unnest($7) as position
                                  where position not in (select position from fresh))
                  end as "known!""#,
        place.service,
        place.source,
        left.and_then(|left| left.log_id),
        left.and_then(|left| left.position).map(stored),
        left.and_then(|left| left.last_processed),
        &ids as &[&str],
        &positions,
        &times,
    )
    .fetch_one(connection)
    .await?;
    let known = row.known.into_iter().map(position).collect();
    Ok(row.as_left.then_some(known))
}

/// Forgets, from time to time, what no replay can reach any more: ids that were processed long
/// enough ago, of events that their log has removed.
pub(crate) async fn prune_regularly(pool: PgPool, config: ConsumerConfig, sources: Arc<[Source]>) {
    let keep = TimeDelta::from_std(config.processed_keep).unwrap_or(TimeDelta::MAX);
    loop {
        tokio::time::sleep(config.prune_interval).await;
        let Some(processed_before) = config.clock.now().checked_sub_signed(keep) else {
            continue;
        };
        for source in sources.iter() {
            let pruned = prune(&pool, &config.service, source, processed_before).await;
            if let Err(reason) = pruned {
                warn!(
                    source = source.name(),
                    reason, "cannot prune processed ids; trying again later"
                );
            }
        }
    }
}

async fn prune(
    pool: &PgPool,
    service: &str,
    source: &Source,
    processed_before: DateTime<Utc>,
) -> Result<(), String> {
    let log = source.origin.state().await;
    let log = log.map_err(|fault| format!("{fault:?}"))?;
    loop {
        let pruned = delete(
            pool,
            service,
            &source.name,
            log.first_position,
            processed_before,
        )
        .await
        .map_err(|error| error.to_string())?;
        if pruned < PRUNED_AT_ONCE_MAX.unsigned_abs() {
            return Ok(());
        }
    }
}

async fn delete(
    pool: &PgPool,
    service: &str,
    source: &str,
    first_position: u64,
    processed_before: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from processed_events
         where ctid = any(array(
             select ctid from processed_events
             where service = $1 and source = $2 and position < $3 and processed_at < $4
             limit $5))",
        service,
        source,
        stored(first_position),
        processed_before,
        PRUNED_AT_ONCE_MAX,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
