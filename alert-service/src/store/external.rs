use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::{Alert, StoredRule};
use crate::rule::Rule;

/// What is known of a request with an idempotency key.
#[derive(Debug)]
pub(crate) enum Remembered {
    /// It is new, and remembered from now on.
    New,
    /// It was carried out, and answered so.
    Answered(Value),
    /// The key stands for another request.
    Other,
}

/// The rules of a tenant for alerts that others send, locked against edits. So the requests of one tenant are
/// carried out one after another.
pub(crate) async fn external_rules(
    connection: &mut PgConnection,
    tenant: &str,
) -> Result<Vec<StoredRule>, sqlx::Error> {
    sqlx::query_as!(
        StoredRule,
        r#"select id, tenant, definition as "definition: Json<Rule>", state, snoozed_until, version, created_at,
               updated_at
           from rules where tenant = $1 and kind = 'external' order by id
           for no key update"#,
        tenant,
    )
    .fetch_all(connection)
    .await
}

/// The open alerts of a tenant with a fingerprint that began at a time or before, locked.
pub(crate) async fn open_alerts_of_tenant(
    connection: &mut PgConnection,
    tenant: &str,
    fingerprint: &str,
    until: DateTime<Utc>,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts
           where fingerprint = $1 and tenant = $2 and started_at <= $3 and state in ('firing', 'acknowledged')
           order by id
           for no key update"#,
        fingerprint,
        tenant,
        until,
    )
    .fetch_all(connection)
    .await
}

/// Whether a rule has an alert of a fingerprint, open or ended, that began at a time or after it.
pub(crate) async fn has_begun_since(
    connection: &mut PgConnection,
    rule_id: &str,
    fingerprint: &str,
    since: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from alerts where rule_id = $1 and fingerprint = $2 and started_at >= $3
           ) as "exists!""#,
        rule_id,
        fingerprint,
        since,
    )
    .fetch_one(connection)
    .await
}

/// Remembers a request; a concurrent one with the same key waits for the end of this transaction.
pub(crate) async fn remember_request(
    connection: &mut PgConnection,
    (tenant, key): (&str, &str),
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Remembered, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into intake_requests (tenant, key, digest, response, created_at)
         values ($1, $2, $3, 'null', $4) on conflict do nothing",
        tenant,
        key,
        digest,
        now,
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() > 0 {
        return Ok(Remembered::New);
    }
    let stored = sqlx::query!(
        "select digest, response from intake_requests where tenant = $1 and key = $2",
        tenant,
        key,
    )
    .fetch_one(connection)
    .await?;
    Ok(match stored.digest == digest {
        true => Remembered::Answered(stored.response),
        false => Remembered::Other,
    })
}

/// Stores what a remembered request is answered.
pub(crate) async fn answer_request(
    connection: &mut PgConnection,
    (tenant, key): (&str, &str),
    response: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update intake_requests set response = $3 where tenant = $1 and key = $2",
        tenant,
        key,
        response,
    )
    .execute(connection)
    .await?;
    Ok(())
}
