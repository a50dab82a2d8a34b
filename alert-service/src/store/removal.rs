use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Removes alerts that ended before a time, with their deliveries and changes, at most `limit` of them. One of
/// which something is still to be sent stays, and one whose message stood for an alert that is open: at the end of that
/// one it says whether its beginning was sent. Gives how many were removed.
pub(crate) async fn remove_ended_alerts(
    pool: &PgPool,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<usize, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // What another instance removes at this moment is passed over.
    let ids = sqlx::query_scalar!(
        "select id from alerts
         where ended_at < $1 and not exists (
             select from deliveries d
             where d.alert_id = alerts.id and (
                 d.state in ('pending', 'sending')
                 or exists (
                     select from deliveries member join alerts other on other.id = member.alert_id
                     where member.suppressor = d.id and member.suppressed_by = 'grouped' and other.ended_at is null
                 )
             )
         )
         order by ended_at limit $2
         for update skip locked",
        before,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query!("delete from deliveries where alert_id = any ($1)", &ids)
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "delete from changes where object = 'alert' and object_id = any ($1)",
        &ids
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("delete from alerts where id = any ($1)", &ids)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(ids.len())
}

/// Removes silences that ended before a time, with their changes, at most `limit` of them. Gives how many.
pub(crate) async fn remove_ended_silences(
    pool: &PgPool,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<usize, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let ids = sqlx::query_scalar!(
        "delete from silences where id in (
             select id from silences where ends_at < $1 order by ends_at limit $2 for update skip locked
         )
         returning id",
        before,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query!(
        "delete from changes where object = 'silence' and object_id = any ($1)",
        &ids
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(ids.len())
}

/// Forgets requests with an idempotency key that came before a time, at most `limit` of them. Gives how many.
pub(crate) async fn forget_requests(
    pool: &PgPool,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<usize, sqlx::Error> {
    let removed = sqlx::query!(
        "delete from intake_requests where (tenant, key) in (
             select tenant, key from intake_requests where created_at < $1 limit $2 for update skip locked
         )",
        before,
        limit,
    )
    .execute(pool)
    .await?;
    Ok(usize::try_from(removed.rows_affected()).unwrap_or(usize::MAX))
}
