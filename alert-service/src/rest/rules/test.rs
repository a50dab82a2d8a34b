//! Trying a rule out over what is stored.

use std::time::Duration;

use access::{Access, Scope};
use axum::extract::State;
use chrono::{Months, NaiveDate};
use evaluation::Work;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, Problem, ProblemKind,
    extract::{Caller, Json},
};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    rest::{App, person::Person, rules::work},
    rule::Rule,
    series::{DryRun, DryRunError, dry_run, series_read},
    store,
};

/// At most so many rules are tried out at a time.
pub(crate) const EVALUATIONS_MAX: usize = 2;
/// At most so much work: some seconds of a core.
const STEPS_MAX: u64 = 100_000_000;
/// At most so many values kept for windows: some 150 MB.
const ENTRIES_MAX: u64 = 4_000_000;
/// At most so many points of each series.
const POINTS_OF_ONE_MAX: usize = 100_000;
/// At most so many of all series: some 100 MB.
const POINTS_MAX: usize = 500_000;
const FIRINGS_MAX: usize = 1_000;
const TURN_PATIENCE: Duration = Duration::from_secs(2);

/// A rule to try out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleTest {
    pub(crate) rule: Rule,
    /// The first date; absent: the first that is stored, of times today.
    #[serde(default)]
    pub(crate) from: Option<NaiveDate>,
    /// The last date; absent: the last that is stored, of times a month later.
    #[serde(default)]
    pub(crate) to: Option<NaiveDate>,
}

/// When a rule would have fired.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleTestView {
    /// The oldest first, at most 1,000. One that began before `from` and ended after it is among them.
    pub(crate) firings: Vec<FiringView>,
    /// There were more.
    pub(crate) is_cut: bool,
    /// So many observations were looked at.
    pub(crate) points: usize,
}

/// An alert that would have been.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FiringView {
    /// Date of the observation; of times, the time.
    pub(crate) began: String,
    /// Absent: it lasts, or has no duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
    /// What was compared.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Decimal>,
    /// What it was compared with.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold: Option<Decimal>,
}

/// Try a rule out
///
/// When it would have fired over what is stored, by the values in force today: over the last 100,000 points of each
/// series, and of several the last 500,000 in equal parts. Nothing is stored or notified. Of times: when they come. Of a
/// series that stays away: between the times at which its values became known.
#[utoipa::path(
    post, path = "/v1/rules/test", operation_id = "testRule", tag = "rules",
    security(("token" = ["alerts:write", "unlimited"])), request_body = RuleTest,
    responses((status = 200, description = "When it would have fired", body = RuleTestView), Always, Body)
)]
pub(in crate::rest) async fn test(
    State(app): State<App>,
    Caller(access): Caller,
    Json(test): Json<RuleTest>,
) -> Result<axum::Json<RuleTestView>, Problem> {
    try_out(&app, &access, test).await.map(axum::Json)
}

/// When a rule would have fired.
pub(crate) async fn try_out(
    app: &App,
    access: &Access,
    test: RuleTest,
) -> Result<RuleTestView, Problem> {
    let person = Person::of(access, Scope::AlertsWrite)?;
    let overloaded = || Problem::new(ProblemKind::Overloaded, "others are tried out at present");
    let turn = timeout(TURN_PATIENCE, app.evaluations.acquire()).await;
    let _turn = turn.map_err(|_| overloaded())?.map_err(|_| overloaded())?;
    let mut transaction = app.pool.begin().await?;
    work::check(app, &mut transaction, (&person.name, None), &test.rule).await?;
    let condition = test.rule.condition;
    let series = series_read(&condition);
    let of_each = points_of_each(series.len());
    let points = store::last_points(&mut transaction, &series, of_each).await?;
    transaction.rollback().await?;
    let today = app.context.now().date_naive();
    let (first, last) = match series.is_empty() {
        true => (today, today + Months::new(1)),
        false => (NaiveDate::MIN, NaiveDate::MAX),
    };
    let now = app.context.now();
    let bounds = (test.from.unwrap_or(first), test.to.unwrap_or(last));
    let count = points.len();
    let work = Work::bounded(STEPS_MAX, ENTRIES_MAX);
    // Also where the request is given up.
    let _cancel = CancelOnDrop(work.clone());
    let run = move || dry_run(&condition, points, (bounds, now), (&work, FIRINGS_MAX));
    let run = tokio::task::spawn_blocking(run)
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "the rule could not be evaluated"))?;
    let DryRun { firings, is_cut } = run.map_err(|error| refused(&error))?;
    let firings = firings.into_iter().map(|firing| FiringView {
        began: firing.began,
        ended: firing.ended,
        value: firing.value,
        threshold: firing.threshold,
    });
    Ok(RuleTestView {
        firings: firings.collect(),
        is_cut,
        points: count,
    })
}

/// How many points of each of so many series are looked at.
fn points_of_each(series: usize) -> i64 {
    let of_each = (POINTS_MAX / series.max(1)).min(POINTS_OF_ONE_MAX);
    i64::try_from(of_each).unwrap_or_default()
}

fn refused(error: &DryRunError) -> Problem {
    Problem::field(
        ProblemKind::InvalidRequest,
        "rule.condition",
        error.to_string(),
    )
}

/// Ends an evaluation that nobody waits for any more.
struct CancelOnDrop(Work);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_series_a_rule_reads_their_points_are_bounded() {
        assert_eq!(points_of_each(0), 100_000);
        assert_eq!(points_of_each(1), 100_000);
        // Twenty parts with as many inputs as there may be.
        for series in [5, 6, 640] {
            assert!(points_of_each(series) * i64::try_from(series).unwrap() <= 500_000);
        }
        assert_eq!(points_of_each(640), 781);
    }
}
