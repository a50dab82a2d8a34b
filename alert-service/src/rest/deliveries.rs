//! Deliveries: what was sent, what waits, and why.

use access::Scope;
use axum::{body::Bytes, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use service::rest::{
    Always, Body, One, Parameters, Problem,
    extract::{Caller, Id, Query, parsed},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    page::Page,
    person::{NoteRequest, Person, note},
    refusal::absent,
};
use crate::{
    alert::Done,
    emission::Emissions,
    store::{self, Delivery, DeliveryFilter},
};

/// Which page; all conditions hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Only `pending`, `sending`, `sent`, `failed`, `suppressed` or `given_up` ones; repeatable. Dead letters are
    /// `failed` and `given_up`.
    #[serde(default)]
    state: Vec<String>,
    /// Only those by this channel.
    channel: Option<String>,
    /// Only those of this alert.
    alert: Option<String>,
    /// Those before this id.
    before: Option<String>,
    /// At most this many, 1 to 1,000; 100 if absent.
    #[serde(default, deserialize_with = "parsed")]
    limit: Option<u32>,
}

/// One message about an alert to one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryView {
    /// Also the idempotency key that the channel gets.
    id: String,
    owner: String,
    alert_id: String,
    channel_id: String,
    channel_kind: String,
    /// What shares its limits: a host, a bot, the mail server.
    destination: String,
    /// `firing`, `resolved` or `correction`.
    kind: String,
    /// 1, 2, 3, … within alert and channel: the order of sending.
    sequence: i32,
    /// `pending`, `sending`, `sent`, `failed`, `suppressed` or `given_up`.
    state: String,
    /// 0, or the number of the escalation that it is of.
    step: i32,
    /// The reason, of a suppressed one.
    suppressed_by: Option<String>,
    /// Of a silenced one the silence, of an inhibited one the alert, of a grouped one the delivery that stands for it.
    suppressor: Option<String>,
    attempts: i32,
    /// Of a pending one: it is not attempted before.
    not_before: DateTime<Utc>,
    /// Why it waits until then.
    wait_reason: Option<String>,
    /// It is given up then.
    deadline: DateTime<Utc>,
    /// What the channel calls it, or answered.
    receipt: Option<String>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryPage {
    /// The newest first.
    deliveries: Vec<DeliveryView>,
    /// What to give as `before` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            owner: delivery.tenant,
            alert_id: delivery.alert_id,
            channel_id: delivery.channel_id,
            channel_kind: delivery.channel_kind,
            destination: delivery.destination,
            kind: delivery.kind,
            sequence: delivery.sequence,
            state: delivery.state,
            step: delivery.step,
            suppressed_by: delivery.suppressed_by,
            suppressor: delivery.suppressor,
            attempts: delivery.attempts,
            not_before: delivery.not_before,
            wait_reason: delivery.wait_reason,
            deadline: delivery.deadline,
            receipt: delivery.receipt,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
        }
    }
}

/// Deliveries
#[utoipa::path(
    get, path = "/v1/deliveries", operation_id = "listDeliveries", tag = "deliveries", params(DeliveriesQuery),
    security(("token" = ["alerts:read", "unlimited"])),
    responses((status = 200, description = "A page", body = DeliveryPage), Always, Parameters)
)]
pub(super) async fn list(
    State(app): State<App>,
    Caller(access): Caller,
    Query(query): Query<DeliveriesQuery>,
) -> Result<axum::Json<DeliveryPage>, Problem> {
    let person = Person::of(&access, Scope::AlertsRead)?;
    let page = Page::of(query.limit)?;
    let filter = DeliveryFilter {
        states: (!query.state.is_empty()).then_some(query.state),
        channel_id: query.channel,
        alert_id: query.alert,
        before: query.before,
    };
    let deliveries = store::deliveries(&app.pool, person.tenant(), &filter, page.probe()).await?;
    let (deliveries, next) = page.cut(deliveries, |one| &one.id, Into::into);
    Ok(axum::Json(DeliveryPage { deliveries, next }))
}

/// Send a dead letter once more
///
/// One that is `failed` or `given_up`, with the same idempotency key and a new deadline.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/retry", operation_id = "retryDelivery", tag = "deliveries",
    security(("token" = ["alerts:write", "unlimited"])),
    params(("id" = String, Path, description = "Id of the delivery")),
    responses((status = 200, description = "The delivery", body = DeliveryView), Always, One)
)]
pub(super) async fn retry(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
) -> Result<axum::Json<DeliveryView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let mut transaction = app.pool.begin().await?;
    let times = (now, now + app.patience);
    let retried = store::retry(&mut transaction, person.tenant(), &id, times).await?;
    let delivery = retried.ok_or_else(|| absent("failed or given up delivery", &id))?;
    let mut emissions = Emissions::default();
    emissions.delivery(&delivery);
    app.commit(transaction, emissions, &Done::default()).await?;
    Ok(axum::Json(delivery.into()))
}

/// Give a delivery up
///
/// One that is `pending` or `failed`.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/discard", operation_id = "discardDelivery", tag = "deliveries",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Option<NoteRequest>,
    params(("id" = String, Path, description = "Id of the delivery")),
    responses((status = 200, description = "The delivery", body = DeliveryView), Always, Body, One)
)]
pub(super) async fn discard(
    State(app): State<App>,
    Caller(access): Caller,
    Id(id): Id,
    body: Bytes,
) -> Result<axum::Json<DeliveryView>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let note = note(body)?;
    let reason = match note.as_str() {
        "" => format!("discarded by {}", person.name),
        note => format!("discarded by {}: {note}", person.name),
    };
    let mut transaction = app.pool.begin().await?;
    let given_up = (app.context.now(), &*reason);
    let discarded = store::discard(&mut transaction, person.tenant(), &id, given_up).await?;
    let delivery = discarded.ok_or_else(|| absent("pending or failed delivery", &id))?;
    let mut emissions = Emissions::default();
    emissions.delivery(&delivery);
    app.commit(transaction, emissions, &Done::default()).await?;
    Ok(axum::Json(delivery.into()))
}
