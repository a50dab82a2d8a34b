use sqlx::{PgPool, Postgres, Transaction};

/// Begins a transaction, in a task of its own. A `begin` that is dropped before its answer gives
/// the connection back to the pool with the transaction open, and what is stored through that
/// connection later would never be committed. Collections may be dropped at any time; the task is
/// not, and rolls back what nobody waits for any more.
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
