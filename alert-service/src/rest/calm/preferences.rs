//! Preferences: what an owner wants of all alerts of theirs.

use access::Scope;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, Problem,
    extract::{Caller, Json},
};
use utoipa::ToSchema;

use crate::{
    calm::Preferences,
    rest::{
        App,
        alerts::ChangeView,
        person::Person,
        refusal::{conflict, refuse_if_any},
    },
    store,
};

/// So many of the newest changes are shown.
const HISTORY_MAX: i64 = 100;

/// Preferences as they are to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct PreferencesUpdate {
    /// The version that they are made from; 0: none were stored.
    version: i64,
    preferences: Preferences,
}

/// Preferences.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct PreferencesView {
    /// Name of the token whose alerts they are about.
    owner: String,
    preferences: Preferences,
    /// What an update is to name; 0: none are stored.
    version: i64,
    updated_at: Option<DateTime<Utc>>,
    /// The newest changes, the oldest of them first.
    history: Vec<ChangeView>,
}

/// What the caller prefers
#[utoipa::path(
    get, path = "/v1/preferences", operation_id = "getPreferences", tag = "preferences",
    security(("token" = ["alerts:read", "unlimited"])),
    responses((status = 200, description = "Those of the caller", body = PreferencesView), Always)
)]
pub(in crate::rest) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
) -> Result<axum::Json<PreferencesView>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    shown(&app, &person).await
}

/// Change what the caller prefers
///
/// All of it: what is left out is not preferred any more. It holds for alerts that begin, and messages that are made,
/// from then on.
#[utoipa::path(
    put, path = "/v1/preferences", operation_id = "updatePreferences", tag = "preferences",
    security(("token" = ["alerts:write", "unlimited"])), request_body = PreferencesUpdate,
    responses((status = 200, description = "Those of the caller", body = PreferencesView), Always, Body)
)]
pub(in crate::rest) async fn update(
    State(app): State<App>,
    Caller(access): Caller,
    Json(update): Json<PreferencesUpdate>,
) -> Result<axum::Json<PreferencesView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let (preferences, owner) = (&update.preferences, &*person.name);
    let now = app.context.now();
    let mut transaction = app.pool.begin().await?;
    let mut problems = preferences.problems();
    let named = preferences.channels();
    let ids: Vec<_> = named.iter().map(|(_, id)| (*id).to_owned()).collect();
    let channels = store::channels_of(&mut transaction, owner, &ids).await?;
    for (field, id) in named {
        if !channels.iter().any(|channel| channel.id == *id) {
            let problem = format!("there is no channel {}", atlas_events::clip(id, 100));
            problems.push((field, problem));
        }
    }
    refuse_if_any(problems)?;
    let versioned = (update.version, now);
    let put = store::put_preferences(&mut transaction, owner, preferences, versioned).await?;
    if put.is_none() {
        let stored = store::preferences(&mut *transaction, owner).await?;
        let version = stored.map_or(0, |stored| stored.version);
        return Err(conflict(update.version, version));
    }
    let object = (owner, "preferences", owner);
    person
        .record(&mut transaction, object, ("updated", ""), now)
        .await?;
    transaction.commit().await?;
    shown(&app, &person).await
}

async fn shown(app: &App, person: &Person) -> Result<axum::Json<PreferencesView>, Problem> {
    let owner = &*person.name;
    let stored = store::preferences(&app.pool, owner).await?;
    let history = store::changes_of(&app.pool, "preferences", owner, HISTORY_MAX).await?;
    Ok(axum::Json(PreferencesView {
        owner: owner.to_owned(),
        version: stored.as_ref().map_or(0, |stored| stored.version),
        updated_at: stored.as_ref().map(|stored| stored.updated_at),
        preferences: stored.map(|stored| stored.settings.0).unwrap_or_default(),
        history: history.into_iter().map(Into::into).collect(),
    }))
}
