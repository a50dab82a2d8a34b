//! Trying a pattern out.

use std::{path::Path, sync::Arc};

use axum::extract::State;
use chrono::{NaiveDate, Utc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, Problem, ProblemKind,
    extract::{Caller, Json},
};
use utoipa::ToSchema;

use super::{
    App,
    pattern_view::{PatternDetail, PatternView},
    patterns::CROSSED,
};
use crate::{Engine, pattern::Pattern, store};

/// A pattern to try out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluateRequest {
    /// The text of its file.
    definition: String,
    /// The date as of which to show it; today if absent.
    at: Option<NaiveDate>,
}

/// What a pattern would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EvaluatedView {
    /// The pattern as it would be now, had it been at work all the time.
    pattern: PatternDetail,
    /// How many data points it was evaluated over.
    points: usize,
}

/// Evaluate a pattern now, without any effect
///
/// Over everything that the engine knows. Nothing is stored or told.
#[utoipa::path(
    post, path = "/v1/evaluate", operation_id = "evaluatePattern", tag = "patterns",
    security(("token" = ["read"])),
    request_body = EvaluateRequest,
    responses((status = 200, description = "What it would be", body = EvaluatedView), Always, Body)
)]
pub(super) async fn evaluate(
    State(app): State<App>,
    Caller(access): Caller,
    Json(request): Json<EvaluateRequest>,
) -> Result<axum::Json<EvaluatedView>, Problem> {
    let mut pattern = Pattern::read(Path::new("definition"), &request.definition)
        .map_err(|mistake| refused(&mistake.to_string()))?;
    pattern.enabled = true;
    let pattern = Arc::new(pattern);
    let inputs = pattern.program.inputs().iter();
    let series: Vec<String> = inputs.map(|input| input.series.clone()).collect();
    let read = series.iter().map(String::as_str);
    access.check_derived(CROSSED, read, "definition")?;
    let mut connection = app.pool.acquire().await?;
    let points: Vec<_> = store::points_of(&mut connection, &series)
        .try_collect()
        .await?;
    drop(connection);
    let at = request.at.unwrap_or_else(|| Utc::now().date_naive());
    let trying = tokio::task::spawn_blocking(move || {
        let mut engine = Engine::new([Arc::clone(&pattern)], []);
        engine.rebuild(points.iter().map(|(_, point)| point));
        let now = engine.pattern_status(&pattern.id, at);
        let now = now.map_or_else(|| PatternView::from(&*pattern), Into::into);
        let run = engine.pattern(&pattern.id);
        let spells = run.map(|run| run.spells()).unwrap_or_default();
        EvaluatedView {
            pattern: PatternDetail::new(&pattern, now, spells, Vec::new()),
            points: points.len(),
        }
    });
    let evaluated = trying
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "the pattern could not be evaluated"))?;
    Ok(axum::Json(evaluated))
}

fn refused(mistake: &str) -> Problem {
    Problem::field(ProblemKind::InvalidRequest, "definition", mistake)
}
