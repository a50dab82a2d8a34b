//! Even pacing of requests, across restarts and across every collector on one database.

use std::time::Duration;

use metrics::histogram;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::{sync::Mutex, time::Instant};

/// Hands out slots for requests, one after another.
#[derive(Debug)]
pub(crate) struct Pace {
    pool: PgPool,
    /// The key itself never leaves the process but to the source.
    key_hash: [u8; 32],
    interval: Duration,
    /// When this process made its last request. Held while waiting, so that a process reserves one
    /// slot at a time and its requests take turns.
    last: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(pool: PgPool, key: &SecretString, interval: Duration) -> Self {
        Self {
            pool,
            key_hash: Sha256::digest(key.expose_secret()).into(),
            interval,
            last: Mutex::new(None),
        }
    }

    /// Waits until the next request may be made.
    pub(crate) async fn wait(&self) -> Result<(), sqlx::Error> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        let slot = Instant::now() + self.reserve().await?;
        // A request that was late must not be followed too soon by one that is on time.
        let earliest = last.map_or(slot, |last| slot.max(last + self.interval));
        tokio::time::sleep_until(earliest).await;
        *last = Some(Instant::now());
        histogram!("fredcollector_source_pacing_wait_seconds", "source" => "fred")
            .record(asked.elapsed());
        Ok(())
    }

    /// Takes the next free slot and tells how far ahead it is, by the clock of the database. A slot
    /// is never more than a minute ahead, so that a clock set back does not stop collection.
    async fn reserve(&self) -> Result<Duration, sqlx::Error> {
        let wait_seconds = sqlx::query_scalar!(
            r#"insert into source_pace as pace (key_hash, next_slot)
               values ($1, clock_timestamp() + make_interval(secs => $2))
               on conflict (key_hash) do update
               set next_slot = make_interval(secs => $2) + least(
                   greatest(pace.next_slot, clock_timestamp()),
                   clock_timestamp() + interval '1 minute'
               )
               returning extract(
                   epoch from next_slot - make_interval(secs => $2) - clock_timestamp()
               )::float8 as "wait_seconds!""#,
            &self.key_hash,
            self.interval.as_secs_f64(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Duration::try_from_secs_f64(wait_seconds.max(0.0)).unwrap_or_default())
    }
}
