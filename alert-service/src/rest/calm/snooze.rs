//! Snoozing an alert: it is acknowledged, and what is alike is silenced for a time.

use access::Scope;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use service::rest::{
    Always, Body, One, Problem, ProblemKind,
    extract::{Caller, Id, Json},
};
use utoipa::ToSchema;

use super::{end_problem, text_problem};
use crate::{
    alert::Done,
    emission::{Cause, Emissions},
    rest::{
        App,
        alerts::{AlertDetail, shown},
        person::Person,
        refusal::{absent, refuse_if_any},
    },
    store,
};

/// Until when an alert is snoozed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct AlertSnoozeRequest {
    /// At most 366 days ahead.
    until: DateTime<Utc>,
    /// For those who come after; at most 2,000 characters.
    #[serde(default)]
    note: String,
}

/// Snooze an alert
///
/// It is acknowledged, and a silence is made until the time: what the rule makes of the same pattern or model is not
/// notified. Ending the silence ends the snooze.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/snooze", operation_id = "snoozeAlert", tag = "alerts",
    security(("token" = ["alerts:write", "unlimited"])), request_body = AlertSnoozeRequest,
    params(("id" = String, Path, description = "Id of the alert")),
    responses((status = 200, description = "The alert", body = AlertDetail), Always, Body, One)
)]
pub(in crate::rest) async fn snooze(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(request): Json<AlertSnoozeRequest>,
) -> Result<axum::Json<AlertDetail>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let note = request.note.trim();
    let found = [
        ("until", end_problem(now, request.until, now)),
        ("note", text_problem(note, 0)),
    ];
    let problems = found.into_iter();
    let problems = problems.filter_map(|(field, problem)| Some((field.to_owned(), problem?)));
    refuse_if_any(problems.collect())?;
    let mut transaction = app.pool.begin().await?;
    let alert = store::lock_alert(&mut transaction, person.tenant(), &id).await?;
    let alert = alert.ok_or_else(|| absent("alert", &id))?;
    if !alert.is_open() {
        let detail = format!("the alert is {} already", alert.state);
        return Err(Problem::new(ProblemKind::Conflict, detail).with("state", alert.state));
    }
    let cause = Cause {
        by: person.name.clone(),
        note: note.to_owned(),
        ..Cause::default()
    };
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let mut writer = app.writer(&mut transaction, &mut emissions, &mut done, now);
    let silence_id = app.context.id(now).to_string();
    let until = (&*silence_id, request.until);
    writer.snooze(alert, until, &cause).await?;
    app.commit(transaction, emissions, &done).await?;
    shown(&app, &person, &id).await
}
