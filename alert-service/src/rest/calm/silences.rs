//! Silences: alerts that match them are not notified.

use access::Scope;
use axum::{body::Bytes, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, One, Parameters, Problem, ProblemKind,
    extract::{Caller, Id, Json, Query, parsed},
};
use utoipa::{IntoParams, ToSchema};

use super::{end_problem, text_problem};
use crate::{
    calm::Matchers,
    rest::{
        App,
        alerts::ChangeView,
        page::Page,
        person::{NoteRequest, Person, note},
        refusal::{absent, refuse_if_any},
    },
    store::{self, NewSilence, Silence, SilenceFilter},
};

/// So many of its newest changes are shown.
const HISTORY_MAX: i64 = 100;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct SilencesQuery {
    /// Whether only those are wanted that hold now or will.
    #[serde(default, deserialize_with = "parsed")]
    open: Option<bool>,
    /// Those before this id.
    before: Option<String>,
    /// At most this many, 1 to 1,000; 100 if absent.
    #[serde(default, deserialize_with = "parsed")]
    limit: Option<u32>,
}

/// A silence that somebody wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct SilenceRequest {
    /// 1 to 20 matchers as in Alertmanager, all of which have to match: `theme="stress"`, `severity!=critical`,
    /// `pattern=~"vix-.*"`, `team!~"a|b"`. `rule`, `fingerprint` and `severity` are those of the alert, every other
    /// name is a label; one that is absent is empty. An expression has to match the whole value.
    #[schema(value_type = Vec<String>)]
    matchers: Matchers,
    /// Why, for those who come after; 1 to 2,000 characters.
    reason: String,
    /// From when on; now if absent.
    starts_at: Option<DateTime<Utc>>,
    /// Until when; at most 366 days ahead.
    ends_at: DateTime<Utc>,
}

/// A silence.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct SilenceView {
    id: String,
    /// Whose alerts it is about.
    owner: String,
    #[schema(value_type = Vec<String>)]
    matchers: Matchers,
    reason: String,
    /// Name of the token that made it.
    created_by: String,
    /// `pending`, `active` or `expired`.
    state: &'static str,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Its newest changes, the oldest of them first; of one silence only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<ChangeView>,
}

/// A page of silences.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct SilencePage {
    /// The newest first.
    silences: Vec<SilenceView>,
    /// What to give as `before` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn view(silence: Silence, now: DateTime<Utc>) -> SilenceView {
    let state = match () {
        () if silence.ends_at <= now => "expired",
        () if silence.starts_at > now => "pending",
        () => "active",
    };
    SilenceView {
        id: silence.id,
        owner: silence.tenant,
        matchers: silence.matchers.0,
        reason: silence.reason,
        created_by: silence.created_by,
        state,
        starts_at: silence.starts_at,
        ends_at: silence.ends_at,
        version: silence.version,
        created_at: silence.created_at,
        updated_at: silence.updated_at,
        history: Vec::new(),
    }
}

/// Silences
#[utoipa::path(
    get, path = "/v1/silences", operation_id = "listSilences", tag = "silences", params(SilencesQuery),
    security(("token" = ["alerts:read", "unlimited"])),
    responses((status = 200, description = "A page", body = SilencePage), Always, Parameters)
)]
pub(in crate::rest) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    Query(query): Query<SilencesQuery>,
) -> Result<axum::Json<SilencePage>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let page = Page::of(query.limit)?;
    let now = app.context.now();
    let filter = SilenceFilter {
        ends_after: (query.open == Some(true)).then_some(now),
        before: query.before,
    };
    let silences = store::silences(&app.pool, person.tenant(), &filter, page.probe()).await?;
    let (silences, next) = page.cut(silences, |one| &one.id, |one| view(one, now));
    Ok(axum::Json(SilencePage { silences, next }))
}

/// One silence, with its history
#[utoipa::path(
    get, path = "/v1/silences/{id}", operation_id = "getSilence", tag = "silences",
    security(("token" = ["alerts:read", "unlimited"])),
    params(("id" = String, Path, description = "Id of the silence")),
    responses((status = 200, description = "The silence", body = SilenceView), Always, One)
)]
pub(in crate::rest) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<SilenceView>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    shown(&app, &person, &id).await
}

/// Silence alerts
///
/// Those that begin while it holds and match are not notified (`silenced`), nor when it ends. Who was notified of an
/// alert before is notified of its end.
#[utoipa::path(
    post, path = "/v1/silences", operation_id = "createSilence", tag = "silences",
    security(("token" = ["alerts:write", "unlimited"])), request_body = SilenceRequest,
    responses((status = 201, description = "The silence", body = SilenceView), Always, Body)
)]
pub(in crate::rest) async fn create(
    State(app): State<App>,
    Caller(access): Caller,
    Json(request): Json<SilenceRequest>,
) -> Result<(StatusCode, axum::Json<SilenceView>), Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let starts_at = request.starts_at.unwrap_or(now);
    let (reason, matchers) = (request.reason.trim(), &request.matchers);
    let mut problems = Vec::new();
    let mut refuse = |field: &str, problem: Option<String>| {
        problems.extend(problem.map(|problem| (field.to_owned(), problem)));
    };
    let none = matchers
        .is_empty()
        .then(|| "is to have at least one matcher; severity=~\".+\" matches everything".to_owned());
    refuse("matchers", none.or_else(|| matchers.problem()));
    refuse("reason", text_problem(reason, 1));
    refuse("ends_at", end_problem(starts_at, request.ends_at, now));
    refuse_if_any(problems)?;
    let id = app.context.id(now).to_string();
    let new = NewSilence {
        id: &id,
        tenant: &person.name,
        matchers,
        reason,
        created_by: &person.name,
        starts_at,
        ends_at: request.ends_at,
        now,
    };
    let mut transaction = app.pool.begin().await?;
    store::insert_silence(&mut transaction, &new).await?;
    let object = (&*person.name, "silence", &*id);
    person
        .record(&mut transaction, object, ("created", reason), now)
        .await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, shown(&app, &person, &id).await?))
}

/// End a silence early
///
/// It stays in the list.
#[utoipa::path(
    post, path = "/v1/silences/{id}/end", operation_id = "endSilence", tag = "silences",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Option<NoteRequest>,
    params(("id" = String, Path, description = "Id of the silence")),
    responses((status = 200, description = "The silence", body = SilenceView), Always, Body, One)
)]
pub(in crate::rest) async fn end(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    body: Bytes,
) -> Result<axum::Json<SilenceView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let note = note(body)?;
    let now = app.context.now();
    let mut transaction = app.pool.begin().await?;
    let silence = store::lock_silence(&mut transaction, person.tenant(), &id).await?;
    let silence = silence.ok_or_else(|| absent("silence", &id))?;
    if silence.ends_at <= now {
        let detail = format!("the silence ended at {} already", silence.ends_at);
        return Err(Problem::new(ProblemKind::Conflict, detail));
    }
    store::change_silence(&mut transaction, &id, now, now).await?;
    let object = (&*silence.tenant, "silence", &*id);
    person
        .record(&mut transaction, object, ("ended", &note), now)
        .await?;
    transaction.commit().await?;
    shown(&app, &person, &id).await
}

async fn shown(app: &App, person: &Person, id: &str) -> Result<axum::Json<SilenceView>, Problem> {
    let silence = store::silence(&app.pool, person.tenant(), id).await?;
    let silence = silence.ok_or_else(|| absent("silence", id))?;
    let history = store::changes_of(&app.pool, "silence", id, HISTORY_MAX).await?;
    Ok(axum::Json(SilenceView {
        history: history.into_iter().map(Into::into).collect(),
        ..view(silence, app.context.now())
    }))
}
