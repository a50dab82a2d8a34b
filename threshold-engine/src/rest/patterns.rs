//! Patterns, and switching them on and off.

use access::Access;
use axum::extract::State;
use chrono::Utc;
use serde::Deserialize;
use service::rest::{
    Always, Body, One, Problem, ProblemKind,
    extract::{Caller, Id, Json},
};
use utoipa::ToSchema;

use super::{
    App,
    pattern_view::{PatternDetail, PatternList, PatternView},
};
use crate::{pattern::Pattern, store};

/// The events that report patterns.
pub(super) const CROSSED: &str = "ThresholdCrossedEvent";
const REASON_CHARS_MAX: usize = 500;

/// Why a pattern is switched.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchRequest {
    /// For those who come after; 1 to 500 characters.
    #[schema(example = "flickers until the source is repaired")]
    reason: String,
}

/// All patterns, what they are and why
#[utoipa::path(
    get, path = "/v1/patterns", operation_id = "listPatterns", tag = "patterns",
    security(("token" = ["read"])),
    responses((status = 200, description = "All patterns, by id", body = PatternList), Always)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
) -> Result<axum::Json<PatternList>, Problem> {
    let suspensions = store::suspensions(&app.pool).await?;
    let mut patterns: Vec<PatternView> = {
        let memory = app.memory.lock().await;
        let sees_id = |id: &str| {
            let run = memory.engine.pattern(id);
            run.is_some_and(|run| sees(&access, run.pattern()))
        };
        let statuses = memory
            .engine
            .status(today())
            .into_iter()
            .map(PatternView::from);
        statuses.filter(|view| sees_id(&view.id)).collect()
    };
    for (id, pattern) in &app.definitions.report().patterns {
        if sees(&access, pattern) && !patterns.iter().any(|view| view.id == *id) {
            patterns.push((&**pattern).into());
        }
    }
    patterns.sort_by(|a, b| a.id.cmp(&b.id));
    let patterns = patterns.into_iter();
    let patterns = patterns.map(|view| view.suspended(&suspensions)).collect();
    Ok(axum::Json(PatternList { patterns }))
}

/// One pattern, with its definition and its past
#[utoipa::path(
    get, path = "/v1/patterns/{id}", operation_id = "getPattern", tag = "patterns",
    security(("token" = ["read"])),
    params(("id" = String, Path, description = "Id of the pattern")),
    responses((status = 200, description = "The pattern", body = PatternDetail), Always, One)
)]
pub(super) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<PatternDetail>, Problem> {
    Ok(axum::Json(detail(&app, &access, &id).await?))
}

/// Evaluate a pattern that was switched off
///
/// It is evaluated from now on as though it had been on all the time; nothing is emitted about the past.
/// This holds whatever its file says, until it is switched again.
#[utoipa::path(
    post, path = "/v1/patterns/{id}/enable", operation_id = "enablePattern", tag = "patterns",
    security(("token" = ["admin"])),
    params(("id" = String, Path, description = "Id of the pattern")), request_body = SwitchRequest,
    responses((status = 200, description = "The pattern", body = PatternDetail), Always, Body, One)
)]
pub(super) async fn enable(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(request): Json<SwitchRequest>,
) -> Result<axum::Json<PatternDetail>, Problem> {
    switch(&app, &access, &id, true, &request).await
}

/// Evaluate a pattern no longer
///
/// This holds whatever its file says, until it is switched again.
#[utoipa::path(
    post, path = "/v1/patterns/{id}/disable", operation_id = "disablePattern", tag = "patterns",
    security(("token" = ["admin"])),
    params(("id" = String, Path, description = "Id of the pattern")), request_body = SwitchRequest,
    responses((status = 200, description = "The pattern", body = PatternDetail), Always, Body, One)
)]
pub(super) async fn disable(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(request): Json<SwitchRequest>,
) -> Result<axum::Json<PatternDetail>, Problem> {
    switch(&app, &access, &id, false, &request).await
}

async fn switch(
    app: &App,
    access: &Access,
    id: &str,
    enabled: bool,
    request: &SwitchRequest,
) -> Result<axum::Json<PatternDetail>, Problem> {
    let chars = request.reason.trim().chars().count();
    if !(1..=REASON_CHARS_MAX).contains(&chars) || request.reason.contains('\0') {
        let problem = format!("is to have 1 to {REASON_CHARS_MAX} characters");
        return Err(Problem::field(
            ProblemKind::InvalidRequest,
            "reason",
            problem,
        ));
    }
    detail(app, access, id).await?;
    let reason = request.reason.trim();
    app.definitions.switch(id, enabled, reason).await?;
    Ok(axum::Json(detail(app, access, id).await?))
}

/// Whether whoever asks may know of a pattern: what it reads is all theirs.
pub(super) fn sees(access: &Access, pattern: &Pattern) -> bool {
    let series = pattern.program().inputs().iter();
    let series = series.map(|input| input.series.as_str());
    access.check_derived(CROSSED, series, "id").is_ok()
}

async fn detail(app: &App, access: &Access, id: &str) -> Result<PatternDetail, Problem> {
    let switches = store::switches_of(&app.pool, id).await?;
    let suspensions = store::suspensions(&app.pool).await?;
    {
        let memory = app.memory.lock().await;
        let run = memory.engine.pattern(id);
        let run = run.filter(|run| sees(access, run.pattern()));
        if let Some((run, now)) = run.zip(memory.engine.pattern_status(id, today())) {
            let (now, spells) = (PatternView::from(now), run.spells());
            let now = now.suspended(&suspensions);
            return Ok(PatternDetail::new(run.pattern(), now, spells, switches));
        }
    }
    // What is not theirs is not there, in the same words.
    match app.definitions.report().patterns.get(id) {
        Some(pattern) if sees(access, pattern) => {
            let now = PatternView::from(&**pattern).suspended(&suspensions);
            Ok(PatternDetail::new(pattern, now, Vec::new(), switches))
        }
        _ => Err(Problem::field(
            ProblemKind::NotFound,
            "id",
            format!("there is no pattern {id}"),
        )),
    }
}

fn today() -> chrono::NaiveDate {
    Utc::now().date_naive()
}
