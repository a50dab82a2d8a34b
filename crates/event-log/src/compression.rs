//! Compression of old chunks, where TimescaleDB has it.

use std::fmt;

use sqlx::PgPool;
use tracing::{info, warn};

use crate::LogError;

/// A chunk is compressed once it is older than this. Late events still go into it.
const COMPRESS_AFTER: &str = "7 days";
const LOCK_TIMEOUT: &str = "500ms";

/// Which TimescaleDB a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edition {
    /// Such as `2.19.3`.
    pub(crate) version: String,
    /// `apache` or `timescale`.
    pub(crate) license: String,
}

impl Edition {
    /// Compression and the jobs that do it are of the community edition.
    pub(crate) fn compresses(&self) -> bool {
        self.license == "timescale"
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.license)
    }
}

/// Lets chunks be compressed by a job of the database, where it can. A log works as well without,
/// so what keeps this from being done is told and no more.
pub(crate) async fn ensure(pool: &PgPool, edition: &Edition) {
    if !edition.compresses() {
        info!(%edition, "chunks stay as they are: this edition of TimescaleDB does not compress");
        return;
    }
    match ensure_policy(pool).await {
        Ok(true) => info!(%edition, after = COMPRESS_AFTER, "old chunks will be compressed"),
        Ok(false) => info!(%edition, "old chunks are compressed"),
        Err(error) => warn!(%edition, %error, "old chunks cannot be compressed"),
    }
}

/// Whether the policy is new.
async fn ensure_policy(pool: &PgPool) -> Result<bool, LogError> {
    let mut transaction = pool.begin().await?;
    let enabled = sqlx::query_scalar!(
        r#"select compression_enabled as "enabled!" from timescaledb_information.hypertables
           where hypertable_schema = current_schema and hypertable_name = 'events'"#
    )
    .fetch_one(&mut *transaction)
    .await?;
    if enabled {
        return Ok(false);
    }
    sqlx::query_scalar!("select set_config('lock_timeout', $1, true)", LOCK_TIMEOUT)
        .fetch_one(&mut *transaction)
        .await?;
    // By position, so that a page by position reads the batches that hold it and no others.
    sqlx::query(
        "alter table events set
             (timescaledb.compress = true, timescaledb.compress_orderby = 'position')",
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query_scalar!(
        r#"select add_compression_policy(
               format('%I.events', current_schema)::regclass,
               compress_after => $1::text::interval, if_not_exists => true
           ) as "job!""#,
        COMPRESS_AFTER,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_community_edition_compresses() {
        for (license, compresses) in [("timescale", true), ("apache", false), ("", false)] {
            let edition = Edition {
                version: "2.19.3".to_owned(),
                license: license.to_owned(),
            };
            assert_eq!(edition.compresses(), compresses, "{edition}");
        }
    }
}
