//! Forgetting the ids of events whose effects are committed.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use event_log::within;
use sqlx::PgPool;
use tracing::warn;

use crate::{ConsumerConfig, database::stored, source::Source};

/// Rows that one statement prunes.
const PRUNED_AT_ONCE_MAX: i64 = 10_000;
/// Longer than the server lets a statement run, so that it says itself why it ended one.
const PRUNING_MAX: Duration = Duration::from_secs(75);

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
        let deleting = delete(
            pool,
            service,
            &source.name,
            log.first_position,
            processed_before,
        );
        let pruned = within(PRUNING_MAX, deleting).await;
        let pruned = pruned.map_err(|error| error.to_string())?;
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
