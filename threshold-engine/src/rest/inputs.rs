//! The series that are read, and how fresh they are.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use service::rest::{Always, Problem, extract::Caller};
use utoipa::ToSchema;

use super::{App, patterns::sees};

/// The events that report inputs.
const COLLECTED: &str = "SeriesCollectedEvent";

/// Every series that a pattern reads.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InputList {
    inputs: Vec<FreshnessView>,
}

/// How fresh a series is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FreshnessView {
    #[schema(example = "UNRATE")]
    series: String,
    /// Date of the latest observation; absent if there is none.
    date: Option<NaiveDate>,
    value: Option<Decimal>,
    /// From when it was known.
    known_from: Option<DateTime<Utc>>,
    /// Days from that date to today.
    age_days: Option<i64>,
    /// The patterns that read it, and whether it is too old for each.
    too_old_for: BTreeMap<String, bool>,
}

/// Every series that a pattern reads, and how fresh it is
#[utoipa::path(
    get, path = "/v1/inputs", operation_id = "listInputs", tag = "patterns",
    security(("token" = ["read"])),
    responses((status = 200, description = "All series, by id", body = InputList), Always)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
) -> Result<Json<InputList>, Problem> {
    let today = Utc::now().date_naive();
    let mut inputs = {
        let memory = app.memory.lock().await;
        let mut inputs = memory.engine.inputs(today);
        let sees_reader = |id: &str| {
            let run = memory.engine.pattern(id);
            run.is_some_and(|run| sees(&access, run.pattern()))
        };
        for input in &mut inputs {
            input
                .readers
                .retain(|id, _| !access.is_limited() || sees_reader(id));
        }
        inputs
    };
    inputs.retain(|input| {
        let series = [input.series.as_str()];
        access.check_derived(COLLECTED, series, "series").is_ok()
    });
    let inputs = inputs.into_iter().map(|input| FreshnessView {
        series: input.series,
        date: input.date,
        value: input.value,
        known_from: input.known_from,
        age_days: input.age_days,
        too_old_for: input.readers,
    });
    Ok(Json(InputList {
        inputs: inputs.collect(),
    }))
}
