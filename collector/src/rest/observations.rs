//! Values of series, as they are known now, were known then, or ever were.

use axum::{Json, extract::State};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use service::rest::{
    Problem, ProblemKind,
    extract::{self, Caller, Id, Query, check_limit},
    rfc3339,
};

use super::{
    App,
    document::{Always, One, Parameters},
};
use crate::{
    observations::{Observation, Vintage},
    series::SeriesError,
};

const LIMIT_DEFAULT: usize = 1_000;
const LIMIT_MAX: usize = 10_000;

/// Which values.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ObservationsQuery {
    /// The first date.
    #[serde(default, deserialize_with = "extract::date")]
    from: Option<NaiveDate>,
    /// The last date.
    #[serde(default, deserialize_with = "extract::date")]
    to: Option<NaiveDate>,
    /// Only what was known at this time (`2024-05-01T12:00:00Z`, or a date); now, if absent.
    #[serde(default, deserialize_with = "extract::time")]
    as_of: Option<DateTime<Utc>>,
    /// Every value that a date ever had, and not the newest known one only. Excludes `as_of`.
    #[serde(default, deserialize_with = "extract::parsed")]
    #[param(default = false)]
    vintages: Option<bool>,
    /// At most this many values, 1 to 10,000.
    #[serde(default, deserialize_with = "extract::parsed")]
    #[param(default = 1_000, minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A value of a series.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObservationView {
    /// The date that it is for.
    date: NaiveDate,
    /// The exact value, in the units of the series; `null` in a vintage that withdraws one.
    #[schema(value_type = Option<String>, example = "4.1")]
    value: Option<Decimal>,
    /// From when it was known.
    known_from: DateTime<Utc>,
    /// Position of the event that reported it.
    position: u64,
}

/// A page of values.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObservationsPage {
    /// The series.
    series_id: String,
    /// By date; vintages of a date by the time from which they were known.
    observations: Vec<ObservationView>,
    /// `after` of the next page; `null` on the last one.
    next: Option<String>,
}

impl From<Observation> for ObservationView {
    fn from(observation: Observation) -> Self {
        Self {
            date: observation.date,
            value: Some(observation.value),
            known_from: observation.known_from,
            position: observation.position,
        }
    }
}

impl From<Vintage> for ObservationView {
    fn from(vintage: Vintage) -> Self {
        Self {
            date: vintage.date,
            value: vintage.value,
            known_from: vintage.known_from,
            position: vintage.position,
        }
    }
}

/// Values of a series
///
/// Of each date the newest known value, or with `vintages` every value it ever had.
#[utoipa::path(
    get, path = "/v1/series/{id}/observations", operation_id = "listObservations", tag = "observations",
    security(("token" = ["read"])),
    params(("id" = String, Path, description = "Id of the series"), ObservationsQuery),
    responses((status = 200, description = "A page", body = ObservationsPage),
        Always, Parameters, One)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Query(query): Query<ObservationsQuery>,
) -> Result<Json<ObservationsPage>, Problem> {
    access.check_derived("SeriesCollectedEvent", [id.as_str()], "id")?;
    let rows_max = check_limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    check_dates(&query)?;
    // One more than asked for shows whether there is a next page.
    let probe = u32::try_from(rows_max + 1).unwrap_or(u32::MAX);
    let mut observations = if query.vintages.unwrap_or(false) {
        vintages(&app, &id, &query, probe).await?
    } else {
        range(&app, &id, &query, probe).await?
    };
    if observations.is_empty() {
        check_exists(&app, &id).await?;
    }
    let has_more = observations.len() > rows_max;
    observations.truncate(rows_max);
    let last = observations.last().filter(|_| has_more);
    let next = last.map(|last| {
        let known_from = rfc3339(last.known_from);
        format!("{}_{known_from}_{}", last.date, last.position)
    });
    Ok(Json(ObservationsPage {
        series_id: id,
        observations,
        next,
    }))
}

async fn range(
    app: &App,
    id: &str,
    query: &ObservationsQuery,
    rows_max: u32,
) -> Result<Vec<ObservationView>, Problem> {
    let after = query.after.as_deref().map(read_cursor).transpose()?;
    let next_date = after.and_then(|(date, ..)| date.succ_opt());
    let from = query.from.max(next_date);
    let found = app
        .observations
        .range(id, from, query.to, query.as_of, rows_max)
        .await?;
    Ok(found.into_iter().map(ObservationView::from).collect())
}

async fn vintages(
    app: &App,
    id: &str,
    query: &ObservationsQuery,
    rows_max: u32,
) -> Result<Vec<ObservationView>, Problem> {
    let after = query.after.as_deref().map(read_cursor).transpose()?;
    let found = app
        .observations
        .vintages(id, query.from, query.to, after, rows_max)
        .await?;
    Ok(found.into_iter().map(ObservationView::from).collect())
}

fn check_dates(query: &ObservationsQuery) -> Result<(), Problem> {
    let refused =
        |field, problem: &str| Err(Problem::field(ProblemKind::InvalidRequest, field, problem));
    if let (Some(from), Some(to)) = (query.from, query.to)
        && to < from
    {
        return refused("to", "lies before from");
    }
    if query.as_of.is_some() && query.vintages == Some(true) {
        return refused("as_of", "cannot be combined with vintages");
    }
    Ok(())
}

/// Reads the place where a page ended: date, time from which it was known, position.
fn read_cursor(text: &str) -> Result<(NaiveDate, DateTime<Utc>, u64), Problem> {
    let read = || {
        let (date, rest) = text.split_once('_')?;
        let (known_from, position) = rest.split_once('_')?;
        let known_from = known_from.parse().ok()?;
        Some((date.parse().ok()?, known_from, position.parse().ok()?))
    };
    read().ok_or_else(|| {
        let problem = "is not what a page gave as next";
        Problem::field(ProblemKind::InvalidRequest, "after", problem)
    })
}

/// A series without values is unknown unless it is collected, or has values elsewhere.
async fn check_exists(app: &App, id: &str) -> Result<(), Problem> {
    match app.registry.get(id).await {
        Ok(_) => Ok(()),
        Err(SeriesError::NotFound(_)) if app.observations.latest(id).await?.is_some() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The newest value of a series
///
/// The newest known value of the newest date that has one.
#[utoipa::path(
    get, path = "/v1/series/{id}/latest", operation_id = "getLatestObservation", tag = "observations",
    security(("token" = ["read"])),
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "The value", body = ObservationView), Always, One)
)]
pub(super) async fn latest(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<Json<ObservationView>, Problem> {
    access.check_derived("SeriesCollectedEvent", [id.as_str()], "id")?;
    if let Some(latest) = app.observations.latest(&id).await? {
        return Ok(Json(latest.into()));
    }
    check_exists(&app, &id).await?;
    Err(Problem::field(
        ProblemKind::NotFound,
        "id",
        "the series has no value yet",
    ))
}
