//! What a log takes on disk, and how the database's own jobs on it fare.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::LogError;

/// What a log takes on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Events with their indexes.
    pub(crate) log_bytes: i64,
    /// The whole database.
    pub(crate) database_bytes: i64,
    pub(crate) chunks: i64,
    pub(crate) compressed_chunks: i64,
    /// Policies that compress chunks, which only the community edition has.
    pub(crate) compression_jobs: i64,
    /// Their runs that failed, ever.
    pub(crate) compression_failures: i64,
    /// When one last succeeded.
    pub(crate) compressed_at: Option<DateTime<Utc>>,
    /// For how long the oldest transaction has been open that keeps the database from removing what
    /// is dead, in seconds: of those that this role may see, and of prepared ones.
    pub(crate) oldest_snapshot_seconds: i64,
}

/// Looks at catalogues and file sizes only, but at those of every chunk.
pub(crate) async fn read(pool: &PgPool) -> Result<Storage, LogError> {
    let storage = sqlx::query_as!(
        Storage,
        r#"select
               hypertable_size(format('%I.events', current_schema)::regclass) as "log_bytes!",
               pg_database_size(current_database()) as "database_bytes!",
               chunks.present as "chunks!", chunks.compressed as "compressed_chunks!",
               jobs.present as "compression_jobs!", jobs.failures as "compression_failures!",
               jobs.succeeded_at as compressed_at,
               extract(epoch from clock_timestamp() - least(
                   clock_timestamp(),
                   (select min(xact_start) from pg_stat_activity
                    where datname = current_database() and backend_xmin is not null),
                   (select min(prepared) from pg_prepared_xacts
                    where database = current_database())
               ))::bigint as "oldest_snapshot_seconds!"
           from
               (select count(*) as present, count(*) filter (where is_compressed) as compressed
                from timescaledb_information.chunks
                where hypertable_schema = current_schema and hypertable_name = 'events') chunks,
               (select count(*) as present,
                       coalesce(sum(total_failures), 0)::bigint as failures,
                       max(last_successful_finish)
                           filter (where isfinite(last_successful_finish)) as succeeded_at
                from timescaledb_information.jobs
                left join timescaledb_information.job_stats using (job_id)
                where jobs.hypertable_schema = current_schema and jobs.hypertable_name = 'events'
                    and proc_name in ('policy_compression', 'policy_columnstore')) jobs"#
    )
    .fetch_one(pool)
    .await?;
    Ok(storage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventLog, LogConfig, compression, database};
    use test_support::{TestDatabase, drafts};

    async fn log_in(database: &TestDatabase) -> (EventLog, PgPool) {
        let pool = crate::connect(&database.url(), "collector", 4)
            .await
            .unwrap();
        let log = EventLog::open(pool.clone(), LogConfig::default(), None)
            .await
            .unwrap();
        (log, pool)
    }

    #[tokio::test]
    async fn sizes_and_chunks_grow_with_what_is_stored() {
        let database = TestDatabase::create().await;
        let (log, pool) = log_in(&database).await;
        let empty = read(&pool).await.unwrap();
        assert_eq!((empty.chunks, empty.compressed_chunks), (0, 0));
        log.append(drafts(0..10)).await.unwrap();
        let stored = read(&pool).await.unwrap();
        assert_eq!((stored.chunks, stored.compressed_chunks), (1, 0));
        assert!(stored.log_bytes > empty.log_bytes, "{stored:?}");
        assert!(stored.database_bytes > stored.log_bytes, "{stored:?}");
    }

    /// Where the database has none, the job is written into its catalogue by hand and not scheduled:
    /// every edition shows one that is there.
    #[tokio::test]
    async fn the_job_that_compresses_is_seen_with_its_failures() {
        let database = TestDatabase::create().await;
        let (_log, pool) = log_in(&database).await;
        let made = read(&pool).await.unwrap().compression_jobs;
        if database::edition(&pool).await.unwrap().compresses() {
            assert_eq!(made, 1);
            return;
        }
        assert_eq!(made, 0);
        sqlx::raw_sql(
            "insert into _timescaledb_config.bgw_job
                 (application_name, schedule_interval, max_runtime, max_retries, retry_period,
                  proc_schema, proc_name, scheduled, hypertable_id)
             select 'Columnstore Policy', '12 hours', '0', -1, '1 hour',
                    '_timescaledb_functions', 'policy_compression', false, id
             from _timescaledb_catalog.hypertable where table_name = 'events'",
        )
        .execute(&pool)
        .await
        .unwrap();
        let new = read(&pool).await.unwrap();
        assert_eq!((new.compression_jobs, new.compressed_at), (1, None));
        sqlx::raw_sql(
            "insert into _timescaledb_internal.bgw_job_stat
             select id, now(), now(), now(), '2026-01-02 03:04:05+00', false, 5, '0', '0', 3, 2, 0, 1, 0
             from _timescaledb_config.bgw_job where proc_name = 'policy_compression'",
        )
        .execute(&pool)
        .await
        .unwrap();
        let ran = read(&pool).await.unwrap();
        assert_eq!((ran.compression_jobs, ran.compression_failures), (1, 2));
        let succeeded = "2026-01-02T03:04:05Z".parse().ok();
        assert_eq!(ran.compressed_at, succeeded);
    }

    /// A policy that cannot be made is told of and keeps nothing from working.
    #[tokio::test]
    async fn a_log_works_where_compression_cannot_be_set_up() {
        let database = TestDatabase::create().await;
        let (log, pool) = log_in(&database).await;
        let edition = database::edition(&pool).await.unwrap();
        let pretended = compression::Edition {
            license: "timescale".to_owned(),
            ..edition.clone()
        };
        compression::ensure(&pool, &pretended).await;
        log.append(drafts(0..10)).await.unwrap();
        let jobs = read(&pool).await.unwrap().compression_jobs;
        assert_eq!(jobs, i64::from(edition.compresses()));
    }
}
