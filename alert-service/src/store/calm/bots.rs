use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, types::Json};
use std::collections::BTreeMap;

use crate::store::Alert;

/// An enabled channel of Telegram.
#[derive(Debug, Clone)]
pub(crate) struct ChatChannel {
    pub(crate) id: String,
    pub(crate) configuration: Value,
    pub(crate) sealed_secret: Option<Vec<u8>>,
}

/// All enabled channels of Telegram, of all tenants.
pub(crate) async fn chat_channels(
    database: impl PgExecutor<'_>,
) -> Result<Vec<ChatChannel>, sqlx::Error> {
    sqlx::query_as!(
        ChatChannel,
        "select id, configuration, sealed_secret from channels where kind = 'telegram' and enabled order by id"
    )
    .fetch_all(database)
    .await
}

/// Takes or extends the right to ask Telegram what a bot was sent, and gives the first update that is wanted; `None` if
/// another instance has it.
pub(crate) async fn lease_bot(
    database: impl PgExecutor<'_>,
    (bot, holder): (&str, &str),
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into telegram_bots as b (bot, holder, lease_until) values ($1, $2, $4)
         on conflict (bot) do update set holder = $2, lease_until = $4
         where b.holder = $2 or b.lease_until <= $3
         returning next_update",
        bot,
        holder,
        now,
        until,
    )
    .fetch_optional(database)
    .await
}

/// Records that an update is applied, in the transaction that applies it. Whether this instance still holds the bot and
/// the update was not applied yet.
pub(crate) async fn take_update(
    connection: &mut PgConnection,
    (bot, holder): (&str, &str),
    update_id: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update telegram_bots set next_update = $3::bigint + 1 where bot = $1 and holder = $2 and next_update <= $3",
        bot,
        holder,
        update_id,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The newest open alerts of which a channel was notified.
pub(crate) async fn open_alerts_of_channel(
    connection: &mut PgConnection,
    channel_id: &str,
    limit: i64,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts
           where state in ('firing', 'acknowledged')
               and tenant = (select tenant from channels where id = $1)
               and exists (
                   select from deliveries d
                   where d.alert_id = alerts.id and d.channel_id = $1 and d.kind = 'firing'
                       and (d.state in ('sent', 'sending') or d.suppressed_by = 'grouped'))
           order by id desc limit $2
           for no key update of alerts"#,
        channel_id,
        limit,
    )
    .fetch_all(connection)
    .await
}
