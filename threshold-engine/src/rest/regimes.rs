//! Regimes.

use axum::{Json, extract::State};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use service::rest::{Always, Problem, extract::Caller};
use utoipa::ToSchema;

use super::App;
use crate::status::RegimeStatus;

/// The events that report regimes.
const TRANSITION: &str = "RegimeTransitionEvent";

/// All models of regimes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegimeList {
    regimes: Vec<RegimeView>,
}

/// A model of regimes now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegimeView {
    id: String,
    name: String,
    /// Hash of its definition.
    version: String,
    /// The regime that holds; absent before the first evaluation.
    #[schema(example = "late_cycle")]
    state: Option<String>,
    /// Since which observation date.
    since: Option<NaiveDate>,
    /// Its score, if it has signals.
    score: Option<Decimal>,
    /// Every regime that held, oldest first, as known now.
    history: Vec<RegimeSpellView>,
}

/// A time for which a regime held: until the next one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegimeSpellView {
    state: String,
    since: NaiveDate,
}

impl From<RegimeStatus> for RegimeView {
    fn from(status: RegimeStatus) -> Self {
        let history = status.history.into_iter().map(|spell| RegimeSpellView {
            state: spell.state,
            since: spell.since,
        });
        Self {
            id: status.id,
            name: status.name,
            version: status.version,
            state: status.state,
            since: status.since,
            score: status.score,
            history: history.collect(),
        }
    }
}

/// All models of regimes, which regime holds, and which ones did
#[utoipa::path(
    get, path = "/v1/regimes", operation_id = "listRegimes", tag = "regimes",
    security(("token" = ["read"])),
    responses((status = 200, description = "All models, by id", body = RegimeList), Always)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
) -> Result<Json<RegimeList>, Problem> {
    // Regimes are about no series: whoever is limited to series does not see their events either.
    if access.check_derived(TRANSITION, [], "id").is_err() {
        let regimes = Vec::new();
        return Ok(Json(RegimeList { regimes }));
    }
    let regimes = app.memory.lock().await.engine.regime_status();
    let regimes = regimes.into_iter().map(Into::into).collect();
    Ok(Json(RegimeList { regimes }))
}
