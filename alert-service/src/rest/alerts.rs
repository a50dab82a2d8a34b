//! Alerts: what fires, and what did.

use std::collections::BTreeMap;

use access::Scope;
use axum::{body::Bytes, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, One, Parameters, Problem, ProblemKind,
    extract::{Caller, Id, Query, parsed},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    deliveries::DeliveryView,
    page::Page,
    person::{NoteRequest, Person, note},
    refusal::absent,
};
use crate::{
    alert::{Done, Ending},
    emission::{Cause, Emissions},
    store::{self, Alert, AlertFilter, Change},
};

/// So many of its newest changes are shown.
const HISTORY_MAX: i64 = 100;

/// Which page; all conditions hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsQuery {
    /// Only `firing`, `acknowledged`, `resolved` or `withdrawn` ones; repeatable.
    #[serde(default)]
    state: Vec<String>,
    /// Only those of this rule.
    rule: Option<String>,
    /// Only `info`, `warning` or `critical` ones.
    severity: Option<String>,
    /// Those before this id.
    before: Option<String>,
    /// At most this many, 1 to 1,000; 100 if absent.
    #[serde(default, deserialize_with = "parsed")]
    limit: Option<u32>,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertView {
    id: String,
    owner: String,
    rule_id: String,
    /// What fires, within the rule.
    #[schema(example = "pattern:vix-above-30")]
    fingerprint: String,
    /// 1, 2, 3, … of the fingerprint within the rule.
    episode: i64,
    /// `firing`, `acknowledged`, `resolved` or `withdrawn`.
    state: String,
    /// `info`, `warning` or `critical`.
    severity: String,
    title: String,
    message: String,
    labels: BTreeMap<String, String>,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    cause: CauseView,
}

/// The event that an alert began with.
#[derive(Debug, Serialize, ToSchema)]
struct CauseView {
    log_id: Option<String>,
    event_id: String,
    position: i64,
}

/// An alert with all that became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertDetail {
    #[serde(flatten)]
    alert: AlertView,
    /// Its newest changes, the oldest of them first.
    history: Vec<ChangeView>,
    /// By channel, in the order of sending.
    deliveries: Vec<DeliveryView>,
}

/// A change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// Such as `created`, `firing` or `acknowledged`.
    pub(crate) change: String,
    /// Name of the token; absent: an event caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    pub(crate) at: DateTime<Utc>,
}

/// A page of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertPage {
    /// The newest first.
    alerts: Vec<AlertView>,
    /// What to give as `before` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        Self {
            change: change.change,
            by: change.changed_by,
            note: change.note,
            at: change.changed_at,
        }
    }
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id,
            owner: alert.tenant,
            rule_id: alert.rule_id,
            fingerprint: alert.fingerprint,
            episode: alert.episode,
            state: alert.state,
            severity: alert.severity,
            title: alert.title,
            message: alert.message,
            labels: alert.labels.0,
            started_at: alert.started_at,
            ended_at: alert.ended_at,
            cause: CauseView {
                log_id: alert.cause_log_id.map(|id| id.to_string()),
                event_id: alert.cause_event_id,
                position: alert.cause_position,
            },
        }
    }
}

/// Alerts
#[utoipa::path(
    get, path = "/v1/alerts", operation_id = "listAlerts", tag = "alerts", params(AlertsQuery),
    security(("token" = ["alerts:read", "unlimited"])),
    responses((status = 200, description = "A page", body = AlertPage), Always, Parameters)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    Query(query): Query<AlertsQuery>,
) -> Result<axum::Json<AlertPage>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let page = Page::of(query.limit)?;
    let filter = AlertFilter {
        states: (!query.state.is_empty()).then_some(query.state),
        rule_id: query.rule,
        severity: query.severity,
        before: query.before,
    };
    let alerts = store::alerts(&app.pool, person.tenant(), &filter, page.probe()).await?;
    let (alerts, next) = page.cut(alerts, |one| &one.id, Into::into);
    Ok(axum::Json(AlertPage { alerts, next }))
}

/// One alert, with its history and deliveries
#[utoipa::path(
    get, path = "/v1/alerts/{id}", operation_id = "getAlert", tag = "alerts",
    security(("token" = ["alerts:read", "unlimited"])),
    params(("id" = String, Path, description = "Id of the alert")),
    responses((status = 200, description = "The alert", body = AlertDetail), Always, One)
)]
pub(super) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<AlertDetail>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    shown(&app, &person, &id).await
}

/// Acknowledge an alert
#[utoipa::path(
    post, path = "/v1/alerts/{id}/acknowledge", operation_id = "acknowledgeAlert", tag = "alerts",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Option<NoteRequest>,
    params(("id" = String, Path, description = "Id of the alert")),
    responses((status = 200, description = "The alert", body = AlertDetail), Always, Body, One)
)]
pub(super) async fn acknowledge(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    body: Bytes,
) -> Result<axum::Json<AlertDetail>, Problem> {
    act(
        &app,
        &Person::of(&access, Scope::AlertsWrite)?,
        &id,
        body,
        false,
    )
    .await
}

/// Resolve an alert
///
/// Whoever was notified of its beginning is notified of its end. The next one begins when its cause begins anew.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/resolve", operation_id = "resolveAlert", tag = "alerts",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Option<NoteRequest>,
    params(("id" = String, Path, description = "Id of the alert")),
    responses((status = 200, description = "The alert", body = AlertDetail), Always, Body, One)
)]
pub(super) async fn resolve(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    body: Bytes,
) -> Result<axum::Json<AlertDetail>, Problem> {
    act(
        &app,
        &Person::of(&access, Scope::AlertsWrite)?,
        &id,
        body,
        true,
    )
    .await
}

async fn act(
    app: &App,
    person: &Person,
    id: &str,
    body: Bytes,
    resolves: bool,
) -> Result<axum::Json<AlertDetail>, Problem> {
    let note = note(body)?;
    let now = app.context.now();
    let mut transaction = app.pool.begin().await?;
    let alert = store::lock_alert(&mut transaction, person.tenant(), id).await?;
    let alert = alert.ok_or_else(|| absent("alert", id))?;
    match (&*alert.state, resolves) {
        ("firing", _) | ("acknowledged", true) => {}
        (state, _) => {
            let detail = format!("the alert is {state} already");
            return Err(Problem::new(ProblemKind::Conflict, detail).with("state", state));
        }
    }
    let cause = Cause {
        by: person.name.clone(),
        note,
        ..Cause::default()
    };
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let mut writer = app.writer(&mut transaction, &mut emissions, &mut done, now);
    if resolves {
        let ending = Ending {
            is_withdrawn: false,
            at: now,
            caused_at: None,
            cause: &cause,
        };
        writer.end(alert, &ending).await?;
    } else {
        writer.acknowledge(alert, &cause).await?;
    }
    app.commit(transaction, emissions, &done).await?;
    shown(app, person, id).await
}

pub(super) async fn shown(
    app: &App,
    person: &Person,
    id: &str,
) -> Result<axum::Json<AlertDetail>, Problem> {
    let alert = store::alert(&app.pool, person.tenant(), id).await?;
    let alert = alert.ok_or_else(|| absent("alert", id))?;
    let history = store::changes_of(&app.pool, "alert", id, HISTORY_MAX).await?;
    let deliveries = store::deliveries_of_alert(&app.pool, id).await?;
    Ok(axum::Json(AlertDetail {
        alert: alert.into(),
        history: history.into_iter().map(Into::into).collect(),
        deliveries: deliveries.into_iter().map(Into::into).collect(),
    }))
}
