use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};

use crate::store::{Alert, Delivery};

/// How many messages about beginnings each channel of a tenant was to get since two times, the earlier of them second:
/// those that were superseded later included, those of escalations not.
pub(crate) async fn begun_since(
    connection: &mut PgConnection,
    tenant: &str,
    (hour, day): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<(String, (u32, u32))>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select channel_id, count(*) filter (where created_at > $2) as "hour!", count(*) as "day!"
           from deliveries
           where tenant = $1 and created_at > $3 and kind = 'firing' and step = 0
               and (suppressed_by is null or suppressed_by = 'superseded' and suppressor is null)
           group by channel_id"#,
        tenant,
        hour,
        day,
    )
    .fetch_all(connection)
    .await?;
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(rows
        .into_iter()
        .map(|row| (row.channel_id, (count(row.hour), count(row.day))))
        .collect())
}

/// The open alerts of a tenant but one that have these labels and, if given, this severity.
pub(crate) async fn open_alerts_with(
    connection: &mut PgConnection,
    (tenant, id): (&str, &str),
    labels: &BTreeMap<String, String>,
    severity: Option<&str>,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts
           where tenant = $1 and id <> $2 and state in ('firing', 'acknowledged') and labels @> $3
               and ($4::text is null or severity = $4)
           order by id"#,
        tenant,
        id,
        Json(labels) as _,
        severity,
    )
    .fetch_all(connection)
    .await
}

/// What was to be sent of an alert unless it was acknowledged is not sent.
pub(crate) async fn end_escalations(
    connection: &mut PgConnection,
    alert_id: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = 'suppressed', suppressed_by = 'acknowledged', finished_at = $2, wait_reason = null
         where alert_id = $1 and state = 'pending' and step > 0
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        alert_id,
        now,
    )
    .fetch_all(connection)
    .await
}
