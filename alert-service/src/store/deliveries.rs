use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Json};

use super::Tenant;
use crate::{message::Stored, suppression::Reason};

/// A row of `deliveries`, without its message.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) alert_id: String,
    pub(crate) channel_id: String,
    pub(crate) channel_kind: String,
    pub(crate) destination: String,
    pub(crate) kind: String,
    /// 0, or the number of the escalation.
    pub(crate) step: i32,
    pub(crate) sequence: i32,
    pub(crate) state: String,
    pub(crate) suppressed_by: Option<String>,
    /// The silence, alert or delivery that is the reason, where there is one.
    pub(crate) suppressor: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) not_before: DateTime<Utc>,
    pub(crate) wait_reason: Option<String>,
    pub(crate) deadline: DateTime<Utc>,
    pub(crate) receipt: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) caused_at: Option<DateTime<Utc>>,
}

/// A delivery that is created, pending or suppressed.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub(crate) id: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) alert_id: &'a str,
    pub(crate) channel_id: &'a str,
    pub(crate) channel_kind: &'a str,
    pub(crate) destination: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) step: i32,
    pub(crate) suppressed_by: Option<Reason>,
    pub(crate) suppressor: Option<&'a str>,
    pub(crate) group_key: Option<&'a str>,
    pub(crate) message: &'a Stored,
    pub(crate) not_before: DateTime<Utc>,
    pub(crate) wait_reason: Option<&'a str>,
    pub(crate) deadline: DateTime<Utc>,
    pub(crate) caused_at: Option<DateTime<Utc>>,
    pub(crate) now: DateTime<Utc>,
}

/// Creates a delivery, the next of its alert and channel; `None` if there is one of its kind.
pub(crate) async fn insert_delivery(
    connection: &mut PgConnection,
    new: &NewDelivery<'_>,
) -> Result<Option<Delivery>, sqlx::Error> {
    let suppressed = new.suppressed_by.map(Reason::name);
    sqlx::query_as!(
        Delivery,
        "insert into deliveries (id, tenant, alert_id, channel_id, channel_kind, destination, kind, sequence, state,
             suppressed_by, message, not_before, deadline, created_at, finished_at, caused_at, step, suppressor, group_key,
             wait_reason)
         values ($1, $2, $3, $4, $5, $6, $7,
             coalesce((select max(sequence) from deliveries where alert_id = $3 and channel_id = $4), 0) + 1,
             case when $8::text is null then 'pending' else 'suppressed' end,
             $8, $9, $13, $11, $10::timestamptz, case when $8::text is null then null else $10::timestamptz end, $12,
             $14, $15, $16, $17)
         on conflict (alert_id, channel_id, kind, step) do nothing
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        new.id,
        new.tenant,
        new.alert_id,
        new.channel_id,
        new.channel_kind,
        new.destination,
        new.kind,
        suppressed,
        Json(new.message) as _,
        new.now,
        new.deadline,
        new.caused_at,
        new.not_before,
        new.step,
        new.suppressor,
        new.group_key,
        new.wait_reason,
    )
    .fetch_optional(connection)
    .await
}

/// The pending messages of the beginning of an alert are not sent any more.
pub(crate) async fn supersede(
    connection: &mut PgConnection,
    alert_id: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = 'suppressed', suppressed_by = 'superseded', finished_at = $2, wait_reason = null
         where alert_id = $1 and state = 'pending' and kind <> 'correction'
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        alert_id,
        now,
    )
    .fetch_all(connection)
    .await
}

/// What waits for a channel is not sent.
pub(crate) async fn suppress_pending_of_channel(
    connection: &mut PgConnection,
    channel_id: &str,
    reason: Reason,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = 'suppressed', suppressed_by = $2, finished_at = $3, wait_reason = null
         where channel_id = $1 and state = 'pending'
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        channel_id,
        reason.name(),
        now,
    )
    .fetch_all(connection)
    .await
}

/// All deliveries of an alert, in the order of their channels and of sending. Those that wait do so also for their
/// destination.
pub(crate) async fn deliveries_of_alert(
    database: impl PgExecutor<'_>,
    alert_id: &str,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        r#"select d.id, tenant, alert_id, channel_id, channel_kind, d.destination, kind, step, sequence, state, suppressed_by,
               suppressor, attempts, greatest(not_before, p.paused_until) as "not_before!",
               case when p.paused_until > not_before then p.pause_reason else wait_reason end as wait_reason,
               deadline, receipt, last_error, created_at, finished_at, caused_at
           from deliveries d left join destinations p on p.destination = d.destination and state = 'pending'
           where alert_id = $1 order by channel_id, sequence"#,
        alert_id,
    )
    .fetch_all(database)
    .await
}

/// Which deliveries are wanted; all conditions hold.
#[derive(Debug, Default)]
pub(crate) struct DeliveryFilter {
    pub(crate) states: Option<Vec<String>>,
    pub(crate) channel_id: Option<String>,
    pub(crate) alert_id: Option<String>,
    /// Those with lesser ids.
    pub(crate) before: Option<String>,
}

/// Deliveries, the newest first.
pub(crate) async fn deliveries(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    filter: &DeliveryFilter,
    limit: i64,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        r#"select d.id, tenant, alert_id, channel_id, channel_kind, d.destination, kind, step, sequence, state, suppressed_by,
               suppressor, attempts, greatest(not_before, p.paused_until) as "not_before!",
               case when p.paused_until > not_before then p.pause_reason else wait_reason end as wait_reason,
               deadline, receipt, last_error, created_at, finished_at, caused_at
           from deliveries d left join destinations p on p.destination = d.destination and state = 'pending'
           where ($1::text is null or tenant = $1) and ($2::text[] is null or state = any ($2))
               and ($3::text is null or channel_id = $3) and ($4::text is null or alert_id = $4)
               and ($5::text is null or d.id < $5)
           order by d.id desc limit $6"#,
        tenant.name(),
        filter.states.as_deref(),
        filter.channel_id.as_deref(),
        filter.alert_id.as_deref(),
        filter.before.as_deref(),
        limit,
    )
    .fetch_all(database)
    .await
}

/// Sends a delivery that failed or was given up once more; `None` if it is not there or is neither.
pub(crate) async fn retry(
    connection: &mut PgConnection,
    tenant: Tenant<'_>,
    id: &str,
    (now, deadline): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = 'pending', not_before = $3, deadline = $4, finished_at = null, unknown_attempts = 0
         where id = $1 and ($2::text is null or tenant = $2) and state in ('failed', 'given_up')
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        id,
        tenant.name(),
        now,
        deadline,
    )
    .fetch_optional(connection)
    .await
}

/// Gives up a delivery that waits or failed; `None` if it is not there or is neither.
pub(crate) async fn discard(
    connection: &mut PgConnection,
    tenant: Tenant<'_>,
    id: &str,
    (now, reason): (DateTime<Utc>, &str),
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = 'given_up', finished_at = $3, last_error = $4, wait_reason = null
         where id = $1 and ($2::text is null or tenant = $2) and state in ('pending', 'failed')
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        id,
        tenant.name(),
        now,
        reason,
    )
    .fetch_optional(connection)
    .await
}

/// How many deliveries are in the states that are not final for good.
pub(crate) async fn pending_by_state(
    database: impl PgExecutor<'_>,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select state, count(*) as "count!" from deliveries
           where state in ('pending', 'sending', 'failed', 'given_up') group by state"#
    )
    .fetch_all(database)
    .await?;
    Ok(rows.into_iter().map(|row| (row.state, row.count)).collect())
}
