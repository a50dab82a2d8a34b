//! What a log takes on disk, and how the database's own jobs on it do.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::LogError;

/// What a log takes on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
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
pub(crate) async fn read(pool: &PgPool) -> Result<Usage, LogError> {
    let usage = sqlx::query_as!(
        Usage,
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
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use test_support::{TestDatabase, drafts};

    use super::*;
    use crate::{EventLog, LogConfig, storage::Edition};

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

    /// The job itself, where the edition has it, with a run that compresses and one that fails; where
    /// it has none, one that is written into the catalogue by hand and not scheduled.
    #[tokio::test]
    async fn the_job_that_compresses_is_seen_with_its_failures() {
        let database = TestDatabase::create().await;
        let (log, pool) = log_in(&database).await;
        log.append(drafts(0..10)).await.unwrap();
        let made = read(&pool).await.unwrap();
        match Edition::read(&pool).await.unwrap().compresses() {
            true => {
                assert_eq!((made.compression_jobs, made.compressed_at), (1, None));
                the_job_runs_and_fails(&pool).await;
            }
            false => {
                assert_eq!((made.compression_jobs, made.compressed_at), (0, None));
                a_job_written_by_hand_is_seen(&pool).await;
            }
        }
    }

    /// Run by hand, which is what its runs do; its statistics are those of the scheduler, which no
    /// database of a test has.
    async fn the_job_runs_and_fails(pool: &PgPool) {
        sqlx::raw_sql(
            "select alter_job(job_id, config => config || '{\"compress_after\": \"-30 days\"}')
             from timescaledb_information.jobs where proc_name like 'policy_co%'",
        )
        .execute(pool)
        .await
        .unwrap();
        let job: i32 = sqlx::query_scalar(
            "select job_id from timescaledb_information.jobs where proc_name like 'policy_co%'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("call run_job({job})")))
            .execute(pool)
            .await
            .unwrap();
        let compressed = read(pool).await.unwrap();
        assert_eq!((compressed.chunks, compressed.compressed_chunks), (1, 1));
        write_statistics(pool).await;
    }

    async fn a_job_written_by_hand_is_seen(pool: &PgPool) {
        sqlx::raw_sql(
            "insert into _timescaledb_config.bgw_job
                 (application_name, schedule_interval, max_runtime, max_retries, retry_period,
                  proc_schema, proc_name, scheduled, hypertable_id)
             select 'Columnstore Policy', '12 hours', '0', -1, '1 hour',
                    '_timescaledb_functions', 'policy_compression', false, id
             from _timescaledb_catalog.hypertable where table_name = 'events'",
        )
        .execute(pool)
        .await
        .unwrap();
        let new = read(pool).await.unwrap();
        assert_eq!((new.compression_jobs, new.compressed_at), (1, None));
        write_statistics(pool).await;
    }

    async fn write_statistics(pool: &PgPool) {
        sqlx::raw_sql(
            "insert into _timescaledb_internal.bgw_job_stat
             select id, now(), now(), now(), '2026-01-02 03:04:05+00', false, 5, '0', '0', 3, 2, 0, 1, 0
             from _timescaledb_config.bgw_job where proc_name = 'policy_compression'",
        )
        .execute(pool)
        .await
        .unwrap();
        let ran = read(pool).await.unwrap();
        assert_eq!((ran.compression_jobs, ran.compression_failures), (1, 2));
        let succeeded = "2026-01-02T03:04:05Z".parse().ok();
        assert_eq!(ran.compressed_at, succeeded);
    }
}
