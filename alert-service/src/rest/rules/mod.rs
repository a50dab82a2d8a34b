//! Rules: what makes an alert.

pub(super) mod test;
mod view;

use access::Scope;
use axum::{body::Bytes, extract::State, http::StatusCode};
use chrono::TimeDelta;
use serde::Deserialize;
use service::rest::{
    Always, Body, One, Parameters, Problem, ProblemKind,
    extract::{Caller, Id, Json, Query, parsed},
};
use sqlx::PgTransaction;
use utoipa::IntoParams;

use self::view::{RulePage, RuleUpdate, RuleView, SnoozeRequest};
use super::{
    App,
    page::Page,
    person::{NoteRequest, Person, checked_note, note},
    refusal::{absent, conflict, refuse_if_any},
};
use crate::{
    rule::Rule,
    series,
    store::{self, RuleChange, StoredRule},
};

/// So many of its newest changes are shown.
const HISTORY_MAX: i64 = 100;
const SNOOZE_DAYS_MAX: i64 = 366;
/// Among so many series the nearest to an unknown one is looked for.
const NEAREST_AMONG_MAX: i64 = 50_000;

/// Which page; all conditions hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RulesQuery {
    /// Only rules of this kind: `pattern`, `regime`, `price`, `indicator`, `composite`, `time`, `no_data`
    /// or `external`.
    kind: Option<String>,
    /// Only `active`, `paused` or `triggered` ones.
    state: Option<String>,
    /// Those after this id.
    after: Option<String>,
    /// At most this many, 1 to 1,000; 100 if absent.
    #[serde(default, deserialize_with = "parsed")]
    limit: Option<u32>,
}

/// Rules
#[utoipa::path(
    get, path = "/v1/rules", operation_id = "listRules", tag = "rules", params(RulesQuery),
    security(("token" = ["alerts:read", "unlimited"])),
    responses((status = 200, description = "A page", body = RulePage), Always, Parameters)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    Query(query): Query<RulesQuery>,
) -> Result<axum::Json<RulePage>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let page = Page::of(query.limit)?;
    let wanted = (query.kind.as_deref(), query.state.as_deref());
    let after = query.after.as_deref();
    let rules = store::rules(&app.pool, person.tenant(), wanted, after, page.probe()).await?;
    let (rules, next) = page.cut(rules, |one| &one.id, Into::into);
    Ok(axum::Json(RulePage { rules, next }))
}

/// One rule, with its history
#[utoipa::path(
    get, path = "/v1/rules/{id}", operation_id = "getRule", tag = "rules",
    security(("token" = ["alerts:read", "unlimited"])),
    params(("id" = String, Path, description = "Id of the rule")),
    responses((status = 200, description = "The rule", body = RuleView), Always, One)
)]
pub(super) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<RuleView>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    shown(&app, &person, &id).await
}

/// Create a rule
#[utoipa::path(
    post, path = "/v1/rules", operation_id = "createRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Rule,
    responses((status = 201, description = "The rule", body = RuleView), Always, Body)
)]
pub(super) async fn create(
    State(app): State<App>,
    Caller(access): Caller,
    Json(rule): Json<Rule>,
) -> Result<(StatusCode, axum::Json<RuleView>), Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let id = app.context.id(now).to_string();
    let mut transaction = app.pool.begin().await?;
    if rule.condition.is_over_series() {
        store::edit_series_rule(&mut transaction, &id).await?;
    }
    check(&mut transaction, &person.name, &rule).await?;
    store::insert_rule(&mut transaction, (&id, &person.name), &rule, now).await?;
    let object = (&*person.name, "rule", &*id);
    person
        .record(&mut transaction, object, ("created", ""), now)
        .await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, shown(&app, &person, &id).await?))
}

/// Change a rule
///
/// A rule that has notified once is active again by this.
#[utoipa::path(
    put, path = "/v1/rules/{id}", operation_id = "updateRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])), request_body = RuleUpdate,
    params(("id" = String, Path, description = "Id of the rule")),
    responses((status = 200, description = "The rule", body = RuleView), Always, Body, One)
)]
pub(super) async fn update(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(update): Json<RuleUpdate>,
) -> Result<axum::Json<RuleView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let (mut transaction, stored) = editing(&app, &person, &id).await?;
    if stored.version != update.version {
        return Err(conflict(update.version, stored.version));
    }
    let conditions = [&stored.definition.0.condition, &update.rule.condition];
    if conditions
        .iter()
        .any(|condition| condition.is_over_series())
    {
        store::edit_series_rule(&mut transaction, &id).await?;
    }
    check(&mut transaction, &stored.tenant, &update.rule).await?;
    let change = RuleChange {
        definition: Some(&update.rule),
        state: (stored.state == "triggered").then_some("active"),
        ..RuleChange::default()
    };
    changed(
        &app,
        &person,
        transaction,
        &stored,
        &change,
        ("updated", ""),
    )
    .await
}

/// Delete a rule
///
/// Its alerts stay. Open ones end when their causes do, those of a rule over series now.
#[utoipa::path(
    delete, path = "/v1/rules/{id}", operation_id = "deleteRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])),
    params(("id" = String, Path, description = "Id of the rule")),
    responses((status = 204, description = "It is deleted"), Always, One)
)]
pub(super) async fn delete(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let (mut transaction, stored) = editing(&app, &person, &id).await?;
    if stored.definition.0.condition.is_over_series() {
        store::edit_series_rule(&mut transaction, &id).await?;
    }
    store::delete_rule(&mut transaction, &id).await?;
    let what = ("deleted", &*stored.definition.0.name);
    let now = app.context.now();
    let object = (&*stored.tenant, "rule", &*id);
    person.record(&mut transaction, object, what, now).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Notify nothing until resumed
///
/// Alerts are still made; their deliveries are suppressed (`paused`).
#[utoipa::path(
    post, path = "/v1/rules/{id}/pause", operation_id = "pauseRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Option<NoteRequest>,
    params(("id" = String, Path, description = "Id of the rule")),
    responses((status = 200, description = "The rule", body = RuleView), Always, Body, One)
)]
pub(super) async fn pause(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    body: Bytes,
) -> Result<axum::Json<RuleView>, Problem> {
    switch(
        &app,
        &Person::of(&access, Scope::AlertsWrite)?,
        &id,
        ("paused", "paused"),
        body,
    )
    .await
}

/// Notify again
#[utoipa::path(
    post, path = "/v1/rules/{id}/resume", operation_id = "resumeRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Option<NoteRequest>,
    params(("id" = String, Path, description = "Id of the rule")),
    responses((status = 200, description = "The rule", body = RuleView), Always, Body, One)
)]
pub(super) async fn resume(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    body: Bytes,
) -> Result<axum::Json<RuleView>, Problem> {
    switch(
        &app,
        &Person::of(&access, Scope::AlertsWrite)?,
        &id,
        ("active", "resumed"),
        body,
    )
    .await
}

/// Notify nothing until a time
#[utoipa::path(
    post, path = "/v1/rules/{id}/snooze", operation_id = "snoozeRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])), request_body = SnoozeRequest,
    params(("id" = String, Path, description = "Id of the rule")),
    responses((status = 200, description = "The rule", body = RuleView), Always, Body, One)
)]
pub(super) async fn snooze(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(request): Json<SnoozeRequest>,
) -> Result<axum::Json<RuleView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    if request.until > app.context.now() + TimeDelta::days(SNOOZE_DAYS_MAX) {
        let problem = format!("is more than {SNOOZE_DAYS_MAX} days ahead");
        return Err(Problem::field(
            ProblemKind::InvalidRequest,
            "until",
            problem,
        ));
    }
    let (transaction, stored) = locked(&app, &person, &id).await?;
    let change = RuleChange {
        snoozed_until: Some(Some(request.until)),
        ..RuleChange::default()
    };
    let note = checked_note(&request.note)?;
    changed(
        &app,
        &person,
        transaction,
        &stored,
        &change,
        ("snoozed", &note),
    )
    .await
}

async fn switch(
    app: &App,
    person: &Person,
    id: &str,
    (state, what): (&str, &str),
    body: Bytes,
) -> Result<axum::Json<RuleView>, Problem> {
    let note = note(body)?;
    let (transaction, stored) = locked(app, person, id).await?;
    let change = RuleChange {
        state: Some(state),
        // Whoever resumes means now.
        snoozed_until: (state == "active").then_some(None),
        ..RuleChange::default()
    };
    changed(app, person, transaction, &stored, &change, (what, &note)).await
}

async fn locked<'a>(
    app: &App,
    person: &Person,
    id: &str,
) -> Result<(PgTransaction<'a>, StoredRule), Problem> {
    lock(app.pool.begin().await?, person, id).await
}

/// As [`locked`], for edits of what is evaluated: those wait for each other and for batches of observations, which lock
/// the head of series before rules.
async fn editing<'a>(
    app: &App,
    person: &Person,
    id: &str,
) -> Result<(PgTransaction<'a>, StoredRule), Problem> {
    let mut transaction = app.pool.begin().await?;
    store::lock_series_head(&mut transaction).await?;
    lock(transaction, person, id).await
}

async fn lock<'a>(
    mut transaction: PgTransaction<'a>,
    person: &Person,
    id: &str,
) -> Result<(PgTransaction<'a>, StoredRule), Problem> {
    let stored = store::lock_rule(&mut transaction, person.tenant(), id).await?;
    let stored = stored.ok_or_else(|| absent("rule", id))?;
    Ok((transaction, stored))
}

async fn changed(
    app: &App,
    person: &Person,
    mut transaction: PgTransaction<'_>,
    stored: &StoredRule,
    change: &RuleChange<'_>,
    what: (&str, &str),
) -> Result<axum::Json<RuleView>, Problem> {
    let now = app.context.now();
    store::change_rule(&mut transaction, &stored.id, change, now).await?;
    let object = (&*stored.tenant, "rule", &*stored.id);
    person.record(&mut transaction, object, what, now).await?;
    transaction.commit().await?;
    shown(app, person, &stored.id).await
}

async fn shown(app: &App, person: &Person, id: &str) -> Result<axum::Json<RuleView>, Problem> {
    let stored = store::rule(&app.pool, person.tenant(), id).await?;
    let stored = stored.ok_or_else(|| absent("rule", id))?;
    let history = store::changes_of(&app.pool, "rule", id, HISTORY_MAX).await?;
    Ok(axum::Json(RuleView {
        history: history.into_iter().map(Into::into).collect(),
        ..stored.into()
    }))
}

/// What is wrong with a rule, its channels included: they have to be of its owner.
pub(super) async fn check(
    transaction: &mut PgTransaction<'_>,
    tenant: &str,
    rule: &Rule,
) -> Result<(), Problem> {
    let mut problems = rule.problems();
    problems.extend(unknown_series(transaction, rule).await?);
    let channels = store::channels_of(transaction, tenant, &rule.channels).await?;
    for (index, id) in rule.channels.iter().enumerate() {
        if !channels.iter().any(|channel| channel.id == *id) {
            let problem = format!("there is no channel {}", atlas_events::clip(id, 100));
            problems.push((format!("channels[{index}]"), problem));
        }
    }
    refuse_if_any(problems)
}

/// Series that a rule reads and of which nothing was seen yet, each with the nearest that is known.
async fn unknown_series(
    transaction: &mut PgTransaction<'_>,
    rule: &Rule,
) -> Result<Vec<(String, String)>, Problem> {
    let wanted: Vec<_> = series::series_to_be_known(&rule.condition)
        .into_iter()
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let unknown = store::unknown_series(transaction, &wanted).await?;
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let known = store::series_ids(transaction, NEAREST_AMONG_MAX).await?;
    let problems = unknown.iter().map(|id| {
        let meant = evaluation::did_you_mean(id, known.iter().map(String::as_str));
        let problem = format!(
            "nothing was seen of {} yet{meant}; set series_may_be_unknown to accept it",
            atlas_events::clip(id, 100)
        );
        ("condition.series".to_owned(), problem)
    });
    Ok(problems.collect())
}
