//! Even pacing of requests, across restarts and across every collector on one database.

use std::time::Duration;

use event_log::within;
use metrics::histogram;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::{sync::Mutex, time::Instant};
use tracing::debug;

use crate::ANSWER_MAX;

/// Lets one request through after another, an interval apart.
///
/// A request arrives some time after it was made, the first one on a connection much later than the
/// next. So the one after the next waits until two intervals after the time at which this one can
/// have arrived at the latest, which is known when its answer begins: no three requests arrive
/// within two intervals.
#[derive(Debug)]
pub(crate) struct Pace {
    pool: PgPool,
    /// The key itself never leaves the process but to the source.
    key_hash: [u8; 32],
    interval_seconds: f64,
    /// Held while waiting, so that the requests of a process take turns.
    gate: Mutex<()>,
}

/// Leave to make one request.
#[derive(Debug)]
pub(crate) struct Turn {
    sequence: i64,
}

impl Pace {
    pub(crate) fn new(pool: PgPool, key: &SecretString, interval: Duration) -> Self {
        Self {
            pool,
            key_hash: Sha256::digest(key.expose_secret()).into(),
            interval_seconds: interval.as_secs_f64(),
            gate: Mutex::new(()),
        }
    }

    /// Waits until the next request may be made.
    pub(crate) async fn wait(&self) -> Result<Turn, sqlx::Error> {
        let asked = Instant::now();
        let gate = self.gate.lock().await;
        let sequence = loop {
            if let Some(sequence) = self.take().await? {
                break sequence;
            }
            tokio::time::sleep(self.remaining().await?).await;
        };
        drop(gate);
        histogram!("fredcollector_source_pacing_wait_seconds", "source" => "fred")
            .record(asked.elapsed());
        Ok(Turn { sequence })
    }

    /// Takes the turn if it has come, by the clock of the database. One that lies more than a minute
    /// ahead is there by a clock that was set back, and does not count.
    async fn take(&self) -> Result<Option<i64>, sqlx::Error> {
        let taking = sqlx::query_scalar!(
            "insert into source_pace as pace (key_hash, sequence, last_at, before_last_at)
             values ($1, 1, clock_timestamp(), '-infinity')
             on conflict (key_hash) do update
             set sequence = pace.sequence + 1, last_at = clock_timestamp(),
                 before_last_at = pace.last_at
             where clock_timestamp() >= greatest(
                       pace.last_at + make_interval(secs => $2),
                       pace.before_last_at + 2 * make_interval(secs => $2))
                or pace.last_at > clock_timestamp() + interval '1 minute'
             returning sequence",
            &self.key_hash,
            self.interval_seconds,
        )
        .fetch_optional(&self.pool);
        within(ANSWER_MAX, taking).await
    }

    /// How far ahead the turn is.
    async fn remaining(&self) -> Result<Duration, sqlx::Error> {
        let asking = sqlx::query_scalar!(
            r#"select extract(epoch from greatest(
                          last_at + make_interval(secs => $2),
                          before_last_at + 2 * make_interval(secs => $2)
                      ) - clock_timestamp())::float8 as "seconds!"
               from source_pace where key_hash = $1"#,
            &self.key_hash,
            self.interval_seconds,
        )
        .fetch_one(&self.pool);
        let seconds = within(ANSWER_MAX, asking).await?;
        Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
    }

    /// Notes that a request has arrived by now, if its time still matters.
    pub(crate) async fn arrived(&self, turn: Turn) {
        let noting = sqlx::query!(
            "update source_pace
             set last_at = case when sequence = $2 then clock_timestamp() else last_at end,
                 before_last_at =
                     case when sequence = $2 + 1 then clock_timestamp() else before_last_at end
             where key_hash = $1 and sequence - $2 in (0, 1)",
            &self.key_hash,
            turn.sequence,
        )
        .execute(&self.pool);
        if let Err(error) = within(ANSWER_MAX, noting).await {
            // The next request then goes by when this one was made.
            debug!(%error, "the arrival of a request could not be noted");
        }
    }
}
