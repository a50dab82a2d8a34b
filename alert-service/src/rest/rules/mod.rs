//! Rules: what makes an alert.

mod combined;
pub(crate) mod test;
pub(crate) mod view;
pub(crate) mod work;

use axum::{body::Bytes, extract::State, http::StatusCode};
use serde::Deserialize;
use service::rest::{
    Always, Body, One, Parameters, Problem,
    extract::{Caller, Id, Json, Query, parsed},
};
use utoipa::IntoParams;

use self::{
    view::{RulePage, RuleUpdate, RuleView, SnoozeRequest},
    work::{Switch, Wanted},
};
use super::{
    App,
    person::{NoteRequest, note},
};
use crate::rule::Rule;

/// Which page; all conditions hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RulesQuery {
    /// Only rules of this kind: `pattern`, `regime`, `price`, `indicator`, `composite`, `time`, `no_data`,
    /// `external` or `rules`.
    kind: Option<String>,
    /// Only `active`, `paused`, `triggered`, `acknowledged`, `snoozed`, `resolved` or `expired` ones.
    state: Option<String>,
    /// Only those with this tag, as `name` or `name=value`.
    tag: Option<String>,
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
    let wanted = Wanted {
        kind: query.kind,
        state: query.state,
        tag: query.tag,
        after: query.after,
        limit: query.limit,
    };
    work::list(&app, &access, &wanted).await.map(axum::Json)
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
    work::get(&app, &access, &id).await.map(axum::Json)
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
    let created = work::create(&app, &access, &rule).await?;
    Ok((StatusCode::CREATED, axum::Json(created)))
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
    let updated = work::update(&app, &access, &id, &update).await;
    updated.map(axum::Json)
}

/// Delete a rule
///
/// Its alerts stay. Open ones end when their causes do, those of a rule over series or over other rules now. A rule that
/// others combine cannot be deleted (409, with their ids in `rules`).
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
    work::delete(&app, &access, &id).await?;
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
    let switch = (Switch::Pause, &*note(body)?);
    let switched = work::switch(&app, &access, &id, switch).await;
    switched.map(axum::Json)
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
    let switch = (Switch::Resume, &*note(body)?);
    let switched = work::switch(&app, &access, &id, switch).await;
    switched.map(axum::Json)
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
    let snoozed = work::snooze(&app, &access, &id, &request).await;
    snoozed.map(axum::Json)
}
