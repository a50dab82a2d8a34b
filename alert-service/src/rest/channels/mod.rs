//! Channels: where messages are sent.

mod view;

use access::Scope;
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use service::rest::{
    Always, Body, FieldError, One, Parameters, Problem, ProblemKind,
    extract::{Caller, Id, Json, Query, parsed},
};
use ulid::Ulid;
use utoipa::IntoParams;

use self::view::{ChannelPage, ChannelRequest, ChannelView, TestView};
use super::{
    App,
    page::Page,
    person::Person,
    refusal::{absent, conflict},
};
use crate::{
    alert::Done,
    channel::{Channel, Outcome, Secret},
    delivery::{open_secret, outcome_name},
    emission::Emissions,
    message,
    store::{self, ChannelDraft},
    suppression::Reason,
};

const NAME_CHARS_MAX: usize = 100;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChannelsQuery {
    /// Those after this id.
    after: Option<String>,
    /// At most this many, 1 to 1,000; 100 if absent.
    #[serde(default, deserialize_with = "parsed")]
    limit: Option<u32>,
}

/// Channels
#[utoipa::path(
    get, path = "/v1/channels", operation_id = "listChannels", tag = "channels", params(ChannelsQuery),
    security(("token" = ["alerts:read", "unlimited"])),
    responses((status = 200, description = "A page", body = ChannelPage), Always, Parameters)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    Query(query): Query<ChannelsQuery>,
) -> Result<axum::Json<ChannelPage>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let page = Page::of(query.limit)?;
    let after = query.after.as_deref();
    let channels = store::channels(&app.pool, person.tenant(), after, page.probe()).await?;
    let (channels, next) = page.cut(channels, |one| &one.id, Into::into);
    Ok(axum::Json(ChannelPage { channels, next }))
}

/// One channel
#[utoipa::path(
    get, path = "/v1/channels/{id}", operation_id = "getChannel", tag = "channels",
    security(("token" = ["alerts:read", "unlimited"])),
    params(("id" = String, Path, description = "Id of the channel")),
    responses((status = 200, description = "The channel", body = ChannelView), Always, One)
)]
pub(super) async fn get(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<ChannelView>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let channel = store::channel(&app.pool, person.tenant(), &id).await?;
    let channel = channel.ok_or_else(|| absent("channel", &id))?;
    Ok(axum::Json(channel.into()))
}

/// Create a channel
#[utoipa::path(
    post, path = "/v1/channels", operation_id = "createChannel", tag = "channels",
    security(("token" = ["alerts:write", "unlimited"])), request_body = ChannelRequest,
    responses((status = 201, description = "The channel", body = ChannelView), Always, Body)
)]
pub(super) async fn create(
    State(app): State<App>,
    Caller(access): Caller,
    Json(request): Json<ChannelRequest>,
) -> Result<(StatusCode, axum::Json<ChannelView>), Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let id = app.context.id(now);
    let mut secret = request.secret.clone().unwrap_or_default();
    let mut generated_key = None;
    if matches!(request.configuration, Channel::Webhook { .. }) && secret.key.is_none() {
        let key = Secret::new_webhook_key().map_err(|error| internal(&error))?;
        generated_key = Some(key.expose_secret().to_owned());
        secret.key = Some(key);
    }
    let prepared = prepare(&app, &request, &secret, id)?;
    let mut transaction = app.pool.begin().await?;
    let draft = prepared.draft(&request, &person.name, now);
    store::insert_channel(&mut transaction, &draft).await?;
    let object = (&*person.name, "channel", draft.id);
    person
        .record(&mut transaction, object, ("created", ""), now)
        .await?;
    transaction.commit().await?;
    let stored = store::channel(&app.pool, person.tenant(), draft.id).await?;
    let stored = stored.ok_or_else(|| absent("channel", draft.id))?;
    let mut view = ChannelView::from(stored);
    view.generated_key = generated_key;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// Change a channel
///
/// What waits to be sent goes where the channel leads then. A disabled channel is enabled again by this.
#[utoipa::path(
    put, path = "/v1/channels/{id}", operation_id = "updateChannel", tag = "channels",
    security(("token" = ["alerts:write", "unlimited"])), request_body = ChannelRequest,
    params(("id" = String, Path, description = "Id of the channel")),
    responses((status = 200, description = "The channel", body = ChannelView), Always, Body, One)
)]
pub(super) async fn update(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    Json(request): Json<ChannelRequest>,
) -> Result<axum::Json<ChannelView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let Some(version) = request.version else {
        let problem = "is required: the version that the update is made from";
        return Err(Problem::field(
            ProblemKind::InvalidRequest,
            "version",
            problem,
        ));
    };
    let now = app.context.now();
    let mut transaction = app.pool.begin().await?;
    let stored = store::lock_channel(&mut transaction, person.tenant(), &id).await?;
    let stored = stored.ok_or_else(|| absent("channel", &id))?;
    if stored.version != version {
        return Err(conflict(version, stored.version));
    }
    let channel_id = Ulid::from_string(&stored.id).map_err(|error| internal(&error))?;
    let kept = match (&request.secret, stored.kind == request.configuration.kind()) {
        (Some(given), _) => given.clone(),
        (None, false) => Secret::default(),
        (None, true) => {
            let sealed = stored.sealed_secret.as_deref();
            open_secret(app.seal.as_deref(), channel_id, sealed).map_err(|problem| {
                let problem = format!("is to be given anew: {problem}");
                Problem::field(ProblemKind::InvalidRequest, "secret", problem)
            })?
        }
    };
    let prepared = prepare(&app, &request, &kept, channel_id)?;
    let draft = prepared.draft(&request, &stored.tenant, now);
    store::update_channel(&mut transaction, &draft).await?;
    let object = (&*stored.tenant, "channel", draft.id);
    person
        .record(&mut transaction, object, ("updated", ""), now)
        .await?;
    transaction.commit().await?;
    app.wake.notify_one();
    let stored = store::channel(&app.pool, person.tenant(), &id).await?;
    let stored = stored.ok_or_else(|| absent("channel", &id))?;
    Ok(axum::Json(stored.into()))
}

/// Delete a channel
///
/// Not while a rule or the preferences of its owner name it. What waits to be sent by it is not sent any more.
#[utoipa::path(
    delete, path = "/v1/channels/{id}", operation_id = "deleteChannel", tag = "channels",
    security(("token" = ["alerts:write", "unlimited"])),
    params(("id" = String, Path, description = "Id of the channel")),
    responses((status = 204, description = "It is deleted"), Always, One)
)]
pub(super) async fn delete(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let mut transaction = app.pool.begin().await?;
    let stored = store::lock_channel(&mut transaction, person.tenant(), &id).await?;
    let stored = stored.ok_or_else(|| absent("channel", &id))?;
    let rules = store::rules_with_channel(&mut transaction, &stored.tenant, &id).await?;
    if !rules.is_empty() {
        let detail = format!("rules send to it: {}", rules.join(", "));
        return Err(Problem::new(ProblemKind::Conflict, detail));
    }
    if store::name_channel(&mut transaction, &stored.tenant, &id).await? {
        let detail = "the owner's preferences name it";
        return Err(Problem::new(ProblemKind::Conflict, detail));
    }
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let reason = Reason::ChannelDeleted;
    for row in store::suppress_pending_of_channel(&mut transaction, &id, reason, now).await? {
        emissions.delivery(&row);
        done.suppressed.push(reason);
    }
    store::delete_channel(&mut transaction, &id).await?;
    let object = (&*stored.tenant, "channel", &*id);
    person
        .record(&mut transaction, object, ("deleted", &stored.name), now)
        .await?;
    app.commit(transaction, emissions, &done).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a sample
///
/// In the way in which alerts are sent. Also by a channel that is not enabled.
#[utoipa::path(
    post, path = "/v1/channels/{id}/test", operation_id = "testChannel", tag = "channels",
    security(("token" = ["alerts:write", "unlimited"])),
    params(("id" = String, Path, description = "Id of the channel")),
    responses((status = 200, description = "What the channel answered", body = TestView), Always, One)
)]
pub(super) async fn test(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<TestView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let stored = store::channel(&app.pool, person.tenant(), &id).await?;
    let stored = stored.ok_or_else(|| absent("channel", &id))?;
    let channel: Channel =
        serde_json::from_value(stored.configuration).map_err(|error| internal(&error))?;
    let channel_id = Ulid::from_string(&stored.id).map_err(|error| internal(&error))?;
    let sealed = stored.sealed_secret.as_deref();
    let secret = open_secret(app.seal.as_deref(), channel_id, sealed)
        .map_err(|problem| Problem::new(ProblemKind::Conflict, problem))?;
    let now = app.context.now();
    let ids = (app.context.id(now), app.context.id(now));
    let sample = message::sample(now).message(ids, 1, now);
    let outcome = app.sender.send(&channel, &secret, &sample).await;
    let name = outcome_name(&outcome);
    let detail = match outcome {
        Outcome::Accepted { receipt } => receipt.unwrap_or_default(),
        Outcome::Slower { reason, .. }
        | Outcome::Failed { reason }
        | Outcome::Unknown { reason }
        | Outcome::Refused { reason, .. } => reason,
        Outcome::Moved { to } => format!("the destination is {to} now; update the channel"),
    };
    Ok(axum::Json(TestView {
        outcome: name,
        detail,
    }))
}

/// What is stored of a channel.
struct Prepared {
    id: String,
    configuration: serde_json::Value,
    sealed: Option<Vec<u8>>,
    destination: String,
}

impl Prepared {
    fn draft<'a>(
        &'a self,
        request: &'a ChannelRequest,
        tenant: &'a str,
        now: DateTime<Utc>,
    ) -> ChannelDraft<'a> {
        ChannelDraft {
            id: &self.id,
            tenant,
            name: request.name.trim(),
            kind: request.configuration.kind(),
            configuration: &self.configuration,
            sealed_secret: self.sealed.as_deref(),
            destination: &self.destination,
            enabled: request.enabled,
            now,
        }
    }
}

fn prepare(
    app: &App,
    request: &ChannelRequest,
    secret: &Secret,
    id: Ulid,
) -> Result<Prepared, Problem> {
    let channel = &request.configuration;
    let mut errors = Vec::new();
    let chars = request.name.trim().chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || request.name.chars().any(char::is_control) {
        errors.push(FieldError {
            field: "name".to_owned(),
            problem: format!("is to have 1 to {NAME_CHARS_MAX} characters"),
        });
    }
    for problem in app.sender.check(channel, secret) {
        let field = match problem.field.starts_with("secret") {
            true => problem.field,
            false => format!("configuration.{}", problem.field),
        };
        errors.push(FieldError {
            field,
            problem: problem.message,
        });
    }
    let sealed = match (secret.is_empty(), app.seal.as_deref()) {
        (true, _) => None,
        (false, Some(seal)) => Some(secret.seal(seal, id).map_err(|error| internal(&error))?),
        (false, None) => {
            errors.push(FieldError {
                field: "secret".to_owned(),
                problem: "cannot be stored, as channels.key_files names no key".to_owned(),
            });
            None
        }
    };
    if !errors.is_empty() {
        return Err(Problem::fields(ProblemKind::InvalidRequest, errors));
    }
    Ok(Prepared {
        id: id.to_string(),
        configuration: serde_json::to_value(channel).map_err(|error| internal(&error))?,
        sealed,
        destination: channel.destination(secret).to_string(),
    })
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a channel cannot be read or stored");
    Problem::new(
        ProblemKind::Internal,
        "the channel cannot be read or stored",
    )
}
