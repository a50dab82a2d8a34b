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
               jobs.succeeded_at as compressed_at
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
