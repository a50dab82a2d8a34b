//! Managing what is collected.

use access::{Access, Denied};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;

use service::rest::{
    Problem, ProblemKind,
    extract::{Caller, Id, Json},
};

use super::{
    App,
    document::{Always, Body, Exists, One, Source},
    series_view::{AddSeries, BackfillSeries, ChangeSeries, CollectedView, SeriesList, SeriesView},
};
use crate::{collection::SOURCE_SERVICE, series::NewSeries};

/// The event that reports a collection.
const COLLECTED: &str = "SeriesCollectedEvent";

/// All series that are collected
#[utoipa::path(
    get, path = "/v1/series", operation_id = "listSeries", tag = "series",
    security(("token" = ["read"])),
    responses((status = 200, description = "All series, by id", body = SeriesList), Always)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
) -> Result<axum::Json<SeriesList>, Problem> {
    let mut series = app.registry.list().await?;
    series.retain(|series| check(&access, &series.id).is_ok());
    let series = series.into_iter().map(SeriesView::from).collect();
    Ok(axum::Json(SeriesList { series }))
}

/// Add a series
///
/// FRED is asked what the series is; its observations are collected soon after.
#[utoipa::path(
    post, path = "/v1/series", operation_id = "addSeries", tag = "series",
    security(("token" = ["admin"])), request_body = AddSeries,
    responses(
        (status = 201, description = "Added", body = SeriesView,
            headers(("location" = String, description = "Path of the series"))),
        Always, Body, One, Exists, Source
    )
)]
pub(super) async fn add(
    State(app): State<App>,
    Caller(access): Caller,
    Json(body): Json<AddSeries>,
) -> Result<Response, Problem> {
    check(&access, &body.id)?;
    check_collects(&app)?;
    let backfill = body.backfill.unwrap_or_default();
    let new = NewSeries {
        id: body.id,
        schedule: body.schedule,
        backfill: backfill.on(Utc::now().date_naive()),
    };
    let added = app.registry.add(&new).await?;
    let location = format!("/v1/series/{}", added.id);
    let mut response = (StatusCode::CREATED, axum::Json(SeriesView::from(added))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One series
#[utoipa::path(
    get, path = "/v1/series/{id}", operation_id = "getSeries", tag = "series",
    security(("token" = ["read"])),
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "The series", body = SeriesView), Always, One)
)]
pub(super) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<SeriesView>, Problem> {
    check(&access, &id)?;
    Ok(axum::Json(app.registry.get(&id).await?.into()))
}

/// Change the schedule of a series
#[utoipa::path(
    patch, path = "/v1/series/{id}", operation_id = "changeSeries", tag = "series",
    security(("token" = ["admin"])), request_body = ChangeSeries,
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "The series as it is now", body = SeriesView),
        Always, Body, One)
)]
pub(super) async fn change(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(body): Json<ChangeSeries>,
) -> Result<axum::Json<SeriesView>, Problem> {
    check(&access, &id)?;
    let schedule = body.schedule.as_deref();
    let changed = app.registry.set_schedule(&id, schedule).await?;
    Ok(axum::Json(changed.into()))
}

/// Stop collecting a series for good
///
/// Its events and observations stay.
#[utoipa::path(
    delete, path = "/v1/series/{id}", operation_id = "deleteSeries", tag = "series",
    security(("token" = ["admin"])),
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 204, description = "It is not collected any more"), Always, One)
)]
pub(super) async fn delete(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    check(&access, &id)?;
    app.registry.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Suspend the schedule of a series
#[utoipa::path(
    post, path = "/v1/series/{id}/pause", operation_id = "pauseSeries", tag = "series",
    security(("token" = ["admin"])),
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "The series as it is now", body = SeriesView),
        Always, One)
)]
pub(super) async fn pause(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<SeriesView>, Problem> {
    check(&access, &id)?;
    Ok(axum::Json(app.registry.pause(&id).await?.into()))
}

/// Take up the schedule of a series again
///
/// What was missed is collected soon.
#[utoipa::path(
    post, path = "/v1/series/{id}/resume", operation_id = "resumeSeries", tag = "series",
    security(("token" = ["admin"])),
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "The series as it is now", body = SeriesView),
        Always, One)
)]
pub(super) async fn resume(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<SeriesView>, Problem> {
    check(&access, &id)?;
    Ok(axum::Json(app.registry.resume(&id).await?.into()))
}

/// Collect a series now
///
/// Paused or not. Answers once what is new has been stored, which takes as long as FRED takes.
#[utoipa::path(
    post, path = "/v1/series/{id}/collect", operation_id = "collectSeries", tag = "series",
    security(("token" = ["admin"])),
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "What it brought", body = CollectedView),
        Always, One, Source)
)]
pub(super) async fn collect(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<CollectedView>, Problem> {
    check(&access, &id)?;
    app.registry.get(&id).await?;
    check_collects(&app)?;
    Ok(axum::Json(app.registry.collect_now(&id).await?.into()))
}

/// Collect a series from further back
///
/// Nothing is collected twice. Answers once what is new has been stored, which for a long past takes
/// minutes; the collection is made also if the answer is not awaited.
#[utoipa::path(
    post, path = "/v1/series/{id}/backfill", operation_id = "backfillSeries", tag = "series",
    security(("token" = ["admin"])), request_body = BackfillSeries,
    params(("id" = String, Path, description = "Id of the series")),
    responses((status = 200, description = "What it brought", body = CollectedView),
        Always, Body, One, Source)
)]
pub(super) async fn backfill(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(body): Json<BackfillSeries>,
) -> Result<axum::Json<CollectedView>, Problem> {
    check(&access, &id)?;
    app.registry.get(&id).await?;
    check_collects(&app)?;
    let from = body.from.first_date(Utc::now().date_naive());
    Ok(axum::Json(app.registry.backfill(&id, from).await?.into()))
}

/// A series is managed and shown to those who may see the events of its collection.
fn check(access: &Access, id: &str) -> Result<(), Denied> {
    access.check_collected((COLLECTED, SOURCE_SERVICE), id, "id")
}

fn check_collects(app: &App) -> Result<(), Problem> {
    if app.collects {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::NotCollecting,
        "this collector has no key for FRED; set FRED_API_KEY and restart it",
    ))
}
