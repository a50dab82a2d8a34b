use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Json};

use crate::{
    message::Stored,
    store::{Alert, Delivery},
};

/// The message that is to stand for others of a group, locked: one that waits and was not attempted yet, of a channel,
/// group and kind.
pub(crate) async fn lock_carrier(
    connection: &mut PgConnection,
    (channel_id, group_key, kind): (&str, &str, &str),
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from deliveries
         where channel_id = $1 and group_key = $2 and kind = $3 and state = 'pending' and attempts = 0
         order by created_at limit 1 for no key update",
        channel_id,
        group_key,
        kind,
    )
    .fetch_optional(connection)
    .await
}

/// When the last message of a group was sent, or is to be.
pub(crate) async fn last_of_group(
    connection: &mut PgConnection,
    (channel_id, group_key, kind): (&str, &str, &str),
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select max(coalesce(finished_at, not_before)) from deliveries
         where channel_id = $1 and group_key = $2 and kind = $3 and state in ('pending', 'sending', 'sent')",
        channel_id,
        group_key,
        kind,
    )
    .fetch_one(connection)
    .await
}

/// One of those that a message was to stand for takes its place, at its time, if there are any; only of an alert that
/// has not ended.
pub(crate) async fn promote(
    connection: &mut PgConnection,
    carrier_id: &str,
) -> Result<Option<Delivery>, sqlx::Error> {
    let next = sqlx::query_as!(
        Delivery,
        "update deliveries d
         set state = 'pending', suppressed_by = null, suppressor = null, finished_at = null, group_key = c.group_key,
             not_before = c.not_before,
             wait_reason = 'the message whose place it takes was due then', deadline = c.deadline
         from deliveries c
         where c.id = $1 and d.id = (
             select m.id from deliveries m join alerts a on a.id = m.alert_id
             where m.suppressor = $1 and m.suppressed_by = 'grouped'
                 and (m.kind <> 'firing' or a.state in ('firing', 'acknowledged'))
             order by m.id limit 1)
         returning d.id, d.tenant, d.alert_id, d.channel_id, d.channel_kind, d.destination, d.kind, d.step, d.sequence,
             d.state, d.suppressed_by, d.suppressor, d.attempts, d.not_before, d.wait_reason, d.deadline, d.receipt,
             d.last_error, d.created_at, d.finished_at, d.caused_at",
        carrier_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(next) = &next {
        // With it also the one that was superseded: limits count the message once.
        sqlx::query!(
            "update deliveries set suppressor = $2 where suppressor = $1 and suppressed_by = 'grouped' or id = $1",
            carrier_id,
            next.id,
        )
        .execute(connection)
        .await?;
    }
    Ok(next)
}

/// Takes an alert that has ended out of the messages that were to stand for it, if these were not attempted yet.
pub(crate) async fn release_grouped(
    connection: &mut PgConnection,
    alert_id: &str,
) -> Result<Vec<Delivery>, sqlx::Error> {
    // Locked, so that none of them is claimed meanwhile.
    let carriers = sqlx::query_scalar!(
        "select id from deliveries
         where id in (select suppressor from deliveries where alert_id = $1 and suppressed_by = 'grouped')
             and state = 'pending' and attempts = 0
         order by id for no key update",
        alert_id,
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query_as!(
        Delivery,
        "update deliveries set suppressed_by = 'superseded'
         where alert_id = $1 and suppressed_by = 'grouped' and suppressor = any ($2)
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        alert_id,
        &carriers,
    )
    .fetch_all(connection)
    .await
}

/// The grouped messages of an alert, each with whether the one that stands for it was attempted.
pub(crate) async fn carried(
    connection: &mut PgConnection,
    alert_id: &str,
) -> Result<Vec<(String, bool)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.id, c.state in ('sent', 'sending') or c.state = 'pending' and c.attempts > 0 as "is_known!"
           from deliveries d join deliveries c on c.id = d.suppressor
           where d.alert_id = $1 and d.suppressed_by = 'grouped'"#,
        alert_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.is_known)).collect())
}

/// What a message stands for, beside itself.
pub(crate) async fn members(
    database: impl PgExecutor<'_>,
    carrier_id: &str,
) -> Result<Vec<Stored>, sqlx::Error> {
    let messages = sqlx::query_scalar!(
        r#"select message as "message: Json<Stored>" from deliveries
           where suppressor = $1 and suppressed_by = 'grouped' order by id"#,
        carrier_id,
    )
    .fetch_all(database)
    .await?;
    Ok(messages.into_iter().map(|message| message.0).collect())
}

/// Tenant and alert of a message that a link stands in.
pub(crate) async fn linked(
    database: impl PgExecutor<'_>,
    delivery_id: &str,
) -> Result<Option<(String, String, String)>, sqlx::Error> {
    let row = sqlx::query!(
        "select tenant, alert_id, channel_id from deliveries where id = $1",
        delivery_id
    )
    .fetch_optional(database)
    .await?;
    Ok(row.map(|row| (row.tenant, row.alert_id, row.channel_id)))
}

/// The alerts that a message is about, locked: its own, and those that it stands for.
pub(crate) async fn linked_alerts(
    connection: &mut PgConnection,
    delivery_id: &str,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<std::collections::BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts
           where id in (
               select alert_id from deliveries where id = $1 or suppressor = $1 and suppressed_by = 'grouped')
           order by id for no key update"#,
        delivery_id,
    )
    .fetch_all(connection)
    .await
}
