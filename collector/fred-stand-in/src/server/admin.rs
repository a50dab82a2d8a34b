//! `/stand-in/…`: the stand-in's own controls, for other processes.

use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::stand_in::Shared;
use crate::{Fault, Release, RequestRecord, StandInError};

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/stand-in/requests", get(requests))
        .route("/stand-in/series", get(series))
        .route("/stand-in/series/{id}/observations", post(release))
        .route("/stand-in/faults", post(plan_faults).delete(clear_faults))
        .route("/stand-in/today", get(today).put(set_today))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Today {
    today: NaiveDate,
}

#[derive(Deserialize)]
struct Faults {
    times: usize,
    fault: Fault,
    #[serde(default)]
    series_id: Option<String>,
}

#[derive(Serialize)]
struct SeriesSummary {
    id: String,
    title: String,
    /// How many observations are known today.
    observations: usize,
    /// The newest of them.
    last_date: Option<NaiveDate>,
    last_value: Option<String>,
}

async fn requests(Extract(shared): Extract<Arc<Shared>>) -> Json<Vec<RequestRecord>> {
    Json(shared.state().requests())
}

async fn series(Extract(shared): Extract<Arc<Shared>>) -> Json<Vec<SeriesSummary>> {
    let state = shared.state();
    let today = state.today();
    let period = crate::series::Period {
        start: today,
        end: today,
    };
    let summaries = state.series.values().map(|series| {
        let mut known = series.known_in(period, today);
        let observations = known.len();
        let last = known.pop();
        SeriesSummary {
            id: series.info().id.clone(),
            title: series.info().title.clone(),
            observations,
            last_date: last.as_ref().map(|last| last.date),
            last_value: last.map(|last| last.value),
        }
    });
    Json(summaries.collect())
}

async fn release(
    Extract(shared): Extract<Arc<Shared>>,
    Path(id): Path<String>,
    Json(release): Json<Release>,
) -> Result<(StatusCode, Json<Release>), Failure> {
    let released = shared.state().release(&id, release)?;
    Ok((StatusCode::CREATED, Json(released)))
}

async fn plan_faults(
    Extract(shared): Extract<Arc<Shared>>,
    Json(faults): Json<Faults>,
) -> StatusCode {
    shared
        .state()
        .plan_fault(faults.times, faults.fault, faults.series_id);
    StatusCode::NO_CONTENT
}

async fn clear_faults(Extract(shared): Extract<Arc<Shared>>) -> StatusCode {
    shared.state().faults.clear();
    StatusCode::NO_CONTENT
}

async fn today(Extract(shared): Extract<Arc<Shared>>) -> Json<Today> {
    let today = shared.state().today();
    Json(Today { today })
}

async fn set_today(
    Extract(shared): Extract<Arc<Shared>>,
    Json(Today { today }): Json<Today>,
) -> StatusCode {
    shared.set_today(today);
    StatusCode::NO_CONTENT
}

/// What the stand-in could not do, as an answer.
struct Failure(StandInError);

impl From<StandInError> for Failure {
    fn from(error: StandInError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0 {
            StandInError::UnknownSeries { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = serde_json::json!({ "error": self.0.to_string() });
        (status, Json(body)).into_response()
    }
}
