//! Trying a pattern out.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use axum::extract::State;
use chrono::{NaiveDate, Utc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, Problem, ProblemKind,
    extract::{Caller, Json},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use utoipa::ToSchema;

use super::{
    App,
    pattern_view::{PatternDetail, PatternView},
    patterns::CROSSED,
};
use crate::{Engine, pattern::Pattern, store};
use evaluation::{Work, series::Point};

/// At most so much work in one evaluation: some seconds of a core.
const STEPS_MAX: u64 = 100_000_000;
/// At most so many values kept for windows: some 150 MB.
const ENTRIES_MAX: u64 = 4_000_000;
/// At most so many data points: some 100 MB.
const POINTS_MAX: usize = 500_000;
/// At most so many evaluations at a time.
pub(super) const EVALUATIONS_MAX: usize = 2;
/// How long an evaluation waits for others.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

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
    /// The pattern as it would be now, had it been running all the time.
    pattern: PatternDetail,
    /// How many data points it was evaluated over.
    points: usize,
}

/// Evaluate a pattern now, without any effect
///
/// Over everything that the engine knows. Nothing is stored or emitted.
#[utoipa::path(
    post, path = "/v1/evaluate", operation_id = "evaluatePattern", tag = "patterns",
    security(("token" = ["read", "derived:ThresholdCrossedEvent"])), extensions(("x-body-bytes-max" = json!(1_048_576))),
    request_body = EvaluateRequest,
    responses((status = 200, description = "What it would be", body = EvaluatedView), Always, Body)
)]
pub(super) async fn evaluate(
    State(app): State<App>,
    Caller(access): Caller,
    Json(request): Json<EvaluateRequest>,
) -> Result<axum::Json<EvaluatedView>, Problem> {
    let _turn = turn(&app.evaluations).await?;
    let work = Work::bounded(STEPS_MAX, ENTRIES_MAX);
    // Also where the request is given up.
    let _cancel = CancelOnDrop(work.clone());
    let pattern = blocking(move || read(&request.definition)).await??;
    let inputs = pattern.program().inputs().iter();
    let series: Vec<String> = inputs.map(|input| input.series.clone()).collect();
    access.check_derived(CROSSED, series.iter().map(String::as_str), "definition")?;
    let evaluated_at: Vec<String> = pattern.program().series_ids().map(str::to_owned).collect();
    let points = points(&app, &evaluated_at).await?;
    let at = request.at.unwrap_or_else(|| Utc::now().date_naive());
    let evaluated = blocking(move || evaluated(&pattern, &points, at, &work)).await??;
    Ok(axum::Json(evaluated))
}

/// Waits for a place among the evaluations, not for long.
async fn turn(evaluations: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    let overloaded = || Problem::new(ProblemKind::Overloaded, "others are evaluated at present");
    match timeout(TURN_PATIENCE, evaluations.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(overloaded()),
    }
}

/// Work off the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let failed = |_| Problem::new(ProblemKind::Internal, "the pattern could not be evaluated");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn read(definition: &str) -> Result<Arc<Pattern>, Problem> {
    let mut pattern = Pattern::read(Path::new("definition"), definition)
        .map_err(|mistake| refused(&format!("{mistake:#}")))?;
    pattern.enabled = true;
    Ok(Arc::new(pattern))
}

/// All that is known of the series.
async fn points(app: &App, series: &[String]) -> Result<Vec<Point>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let mut stored = pin!(store::points_of(&mut connection, series));
    let mut points = Vec::new();
    while let Some((_, point)) = stored.try_next().await? {
        if points.len() == POINTS_MAX {
            let reason = format!("its series have more than {POINTS_MAX} data points");
            return Err(refused(&reason));
        }
        points.push(point);
    }
    Ok(points)
}

fn evaluated(
    pattern: &Arc<Pattern>,
    points: &[Point],
    at: NaiveDate,
    work: &Work,
) -> Result<EvaluatedView, Problem> {
    let mut engine = Engine::new([Arc::clone(pattern)], []);
    let rebuilt = engine.rebuild_within(points, work);
    rebuilt.map_err(|spent| refused(&spent.to_string()))?;
    let now = engine.pattern_status(&pattern.id, at);
    let now = now.map_or_else(|| PatternView::from(&**pattern), Into::into);
    let run = engine.pattern(&pattern.id);
    let spells = run.map(|run| run.spells()).unwrap_or_default();
    Ok(EvaluatedView {
        pattern: PatternDetail::new(pattern, now, spells, Vec::new()),
        points: points.len(),
    })
}

/// Ends an evaluation that nobody waits for any more.
struct CancelOnDrop(Work);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn refused(mistake: &str) -> Problem {
    Problem::field(ProblemKind::InvalidRequest, "definition", mistake)
}
