//! The ids of events whose effects are committed. All SQL on `processed_events` is here.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use tracing::warn;

use crate::{
    ConsumerConfig, SourcedEvent,
    database::{position, stored},
    source::Source,
};

/// Rows that one statement prunes.
const PRUNED_AT_ONCE_MAX: i64 = 10_000;

/// Records events as processed by this transaction. Returns the positions of those that were
/// before; waits for another transaction that is about to record the same ones.
pub(crate) async fn record(
    connection: &mut PgConnection,
    service: &str,
    source: &str,
    events: impl Iterator<Item = &SourcedEvent>,
) -> Result<HashSet<u64>, sqlx::Error> {
    let (mut ids, mut positions, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        ids.push(event.event.event_id.clone());
        positions.push(stored(event.position()));
        times.push(event.occurred_at());
    }
    let known = sqlx::query_scalar!(
        r#"with given as (
               select * from unnest($3::text[], $4::bigint[], $5::timestamptz[])
                   as given (event_id, position, occurred_at)
           ), fresh as (
               insert into processed_events (service, source, event_id, position, occurred_at)
               select $1, $2, event_id, position, occurred_at from given
               on conflict do nothing
               returning position
           )
           select position as "position!" from given
           where position not in (select position from fresh)"#,
        service,
        source,
        &ids,
        &positions,
        &times,
    )
    .fetch_all(connection)
    .await?;
    Ok(known.into_iter().map(position).collect())
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
