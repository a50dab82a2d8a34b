use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use super::Tenant;

/// A row of `alerts`.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) rule_id: String,
    pub(crate) fingerprint: String,
    pub(crate) episode: i64,
    pub(crate) state: String,
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) labels: Json<BTreeMap<String, String>>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) cause_log_id: Option<Uuid>,
    pub(crate) cause_event_id: String,
    pub(crate) cause_position: i64,
}

impl Alert {
    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }
}

/// An alert that begins.
#[derive(Debug)]
pub(crate) struct NewAlert<'a> {
    pub(crate) id: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) rule_id: &'a str,
    pub(crate) fingerprint: &'a str,
    pub(crate) severity: &'a str,
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) cause_log_id: Option<Uuid>,
    pub(crate) cause_event_id: &'a str,
    pub(crate) cause_position: i64,
    pub(crate) now: DateTime<Utc>,
}

/// Stores an alert as the next episode; `None` where one of the fingerprint is open.
pub(crate) async fn insert_alert(
    connection: &mut PgConnection,
    new: &NewAlert<'_>,
) -> Result<Option<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"insert into alerts (id, tenant, rule_id, fingerprint, episode, state, severity, title, message, labels,
               started_at, cause_log_id, cause_event_id, cause_position, created_at)
           values ($1, $2, $3, $4,
               coalesce((select max(episode) from alerts where rule_id = $3 and fingerprint = $4), 0) + 1,
               'firing', $5, $6, $7, $8, $9, $10, $11, $12, $13)
           on conflict (rule_id, fingerprint) where state in ('firing', 'acknowledged') do nothing
           returning id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position"#,
        new.id,
        new.tenant,
        new.rule_id,
        new.fingerprint,
        new.severity,
        new.title,
        new.message,
        Json(new.labels) as _,
        new.started_at,
        new.cause_log_id,
        new.cause_event_id,
        new.cause_position,
        new.now,
    )
    .fetch_optional(connection)
    .await
}

/// Which of these fingerprints have open alerts.
pub(crate) async fn open_fingerprints(
    connection: &mut PgConnection,
    fingerprints: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct fingerprint from alerts
         where fingerprint = any ($1) and state in ('firing', 'acknowledged')",
        fingerprints
    )
    .fetch_all(connection)
    .await
}

/// The open alerts of a fingerprint, locked.
pub(crate) async fn open_alerts(
    connection: &mut PgConnection,
    fingerprint: &str,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts where fingerprint = $1 and state in ('firing', 'acknowledged') order by id
           for no key update"#,
        fingerprint
    )
    .fetch_all(connection)
    .await
}

/// The alerts that began with an event and are not withdrawn, locked.
pub(crate) async fn alerts_by_cause(
    connection: &mut PgConnection,
    event_id: &str,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts where cause_event_id = $1 and state <> 'withdrawn' order by id
           for no key update"#,
        event_id
    )
    .fetch_all(connection)
    .await
}

/// An alert, locked.
pub(crate) async fn lock_alert(
    connection: &mut PgConnection,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts where id = $1 and ($2::text is null or tenant = $2)
           for no key update"#,
        id,
        tenant.name(),
    )
    .fetch_optional(connection)
    .await
}

/// An alert.
pub(crate) async fn alert(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts where id = $1 and ($2::text is null or tenant = $2)"#,
        id,
        tenant.name(),
    )
    .fetch_optional(database)
    .await
}

/// Which alerts are wanted; all conditions hold.
#[derive(Debug, Default)]
pub(crate) struct AlertFilter {
    pub(crate) states: Option<Vec<String>>,
    pub(crate) rule_id: Option<String>,
    pub(crate) severity: Option<String>,
    /// Those with lesser ids.
    pub(crate) before: Option<String>,
}

/// Alerts, the newest first.
pub(crate) async fn alerts(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    filter: &AlertFilter,
    limit: i64,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts
           where ($1::text is null or tenant = $1) and ($2::text[] is null or state = any ($2))
               and ($3::text is null or rule_id = $3) and ($4::text is null or severity = $4)
               and ($5::text is null or id < $5)
           order by id desc limit $6"#,
        tenant.name(),
        filter.states.as_deref(),
        filter.rule_id.as_deref(),
        filter.severity.as_deref(),
        filter.before.as_deref(),
        limit,
    )
    .fetch_all(database)
    .await
}

/// Moves an alert to another state.
pub(crate) async fn set_alert_state(
    connection: &mut PgConnection,
    id: &str,
    state: &str,
    ended_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update alerts set state = $2, ended_at = $3 where id = $1",
        id,
        state,
        ended_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that an alert is notified.
pub(crate) async fn set_notified(
    connection: &mut PgConnection,
    id: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("update alerts set notified_at = $2 where id = $1", id, at)
        .execute(connection)
        .await?;
    Ok(())
}

/// When a rule last notified of a fingerprint, and how many alerts since a time.
pub(crate) async fn last_notified(
    connection: &mut PgConnection,
    rule_id: &str,
    fingerprint: &str,
    since: DateTime<Utc>,
) -> Result<(Option<DateTime<Utc>>, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"select
               (select max(notified_at) from alerts where rule_id = $1 and fingerprint = $2) as "last",
               (select count(*) from alerts where rule_id = $1 and notified_at > $3) as "count!""#,
        rule_id,
        fingerprint,
        since
    )
    .fetch_one(connection)
    .await?;
    Ok((row.last, row.count))
}

/// The open alerts of rules, locked.
pub(crate) async fn open_alerts_of_rules(
    connection: &mut PgConnection,
    rule_ids: &[String],
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts where rule_id = any ($1) and state in ('firing', 'acknowledged') order by id
           for no key update"#,
        rule_ids
    )
    .fetch_all(connection)
    .await
}

/// The alerts of a rule that began for a date and are not withdrawn, locked.
pub(crate) async fn alerts_of_date(
    connection: &mut PgConnection,
    (rule_id, fingerprint): (&str, &str),
    date: &str,
) -> Result<Vec<Alert>, sqlx::Error> {
    sqlx::query_as!(
        Alert,
        r#"select id, tenant, rule_id, fingerprint, episode, state, severity, title, message,
               labels as "labels: Json<BTreeMap<String, String>>", started_at, ended_at, cause_log_id,
               cause_event_id, cause_position
           from alerts
           where rule_id = $1 and fingerprint = $2 and labels->>'date' = $3 and state <> 'withdrawn'
           order by id for no key update"#,
        rule_id,
        fingerprint,
        date
    )
    .fetch_all(connection)
    .await
}
