//! What the links in messages lead to: a page that asks, and what its button does.
//!
//! Whoever has the link may do this one thing, without a login. Scanners of mail and previews open links, so opening
//! one changes nothing.

use axum::{extract::State, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use service::rest::{Always, Problem, extract::Id};
use sqlx::PgTransaction;

use super::page::{button, html};
use crate::{
    alert::{Done, Ending},
    calm::{Action, Bound, Link, SNOOZE},
    emission::{Cause, Emissions},
    rest::App,
    store::{self, Alert},
};

/// So many alerts of a message are named on the page.
const NAMED_MAX: usize = 20;

/// A link that is genuine, and holds.
struct Opened {
    link: Link,
    /// Who acts by it: whoever reads this channel.
    by: String,
}

/// Why a link does nothing.
enum Refusal {
    /// Nobody made it, or its message is gone.
    Unknown,
    Expired,
}

/// Ask before a link acts
///
/// The page has a button that posts to the same address. Nothing is changed by opening it.
#[utoipa::path(
    get, path = "/a/{token}", operation_id = "showLink", tag = "links", security(()),
    params(("token" = String, Path, description = "From a message")),
    responses(
        (status = 200, description = "What the link does", content_type = "text/html"),
        (status = 404, description = "There is no such link", content_type = "text/html"),
        (status = 410, description = "It has expired", content_type = "text/html"),
        Always
    )
)]
pub(in crate::rest) async fn show(
    State(app): State<App>,
    Id(token): Id,
) -> Result<Response, Problem> {
    let (opened, _, alerts) = match to_do(&app, &token).await? {
        Ok(to_do) => to_do,
        Err(page) => return Ok(page),
    };
    let label = opened.link.action.label();
    Ok(page(StatusCode::OK, label, &alerts, &button(label)))
}

/// Do what a link is for
///
/// Once: a second time the answer says that it was done.
#[utoipa::path(
    post, path = "/a/{token}", operation_id = "followLink", tag = "links", security(()),
    params(("token" = String, Path, description = "From a message")),
    responses(
        (status = 200, description = "It is done, or was", content_type = "text/html"),
        (status = 404, description = "There is no such link", content_type = "text/html"),
        (status = 410, description = "It has expired", content_type = "text/html"),
        Always
    )
)]
pub(in crate::rest) async fn follow(
    State(app): State<App>,
    Id(token): Id,
) -> Result<Response, Problem> {
    let (opened, transaction, alerts) = match to_do(&app, &token).await? {
        Ok(to_do) => to_do,
        Err(page) => return Ok(page),
    };
    let now = app.context.now();
    let is_done = act(&app, transaction, &opened, alerts.clone(), now).await?;
    let done = match (opened.link.action, is_done) {
        (_, false) => "This was done already",
        (Action::Acknowledge, true) => "Acknowledged",
        (Action::Snooze, true) => "Snoozed for 4 hours",
        (Action::Resolve, true) => "Resolved",
    };
    Ok(page(StatusCode::OK, done, &alerts, ""))
}

/// What a link does, with its alerts locked; or the page that says why it does nothing.
async fn to_do<'a>(
    app: &App,
    token: &str,
) -> Result<Result<(Opened, PgTransaction<'a>, Vec<Alert>), Response>, Problem> {
    let opened = match open(app, token).await? {
        Ok(opened) => opened,
        Err(refusal) => return Ok(Err(refusal.page())),
    };
    let mut transaction = app.pool.begin().await?;
    let alerts = linked(&mut transaction, &opened.link).await?;
    Ok(match nothing_to_do(opened.link.action, &alerts) {
        Some(reason) => Err(page(StatusCode::OK, reason, &alerts, "")),
        None => Ok((opened, transaction, alerts)),
    })
}

async fn open(app: &App, token: &str) -> Result<Result<Opened, Refusal>, Problem> {
    let found = app.links.as_ref().and_then(|links| links.read(token));
    let (Some(links), Some(link)) = (&app.links, found) else {
        return Ok(Err(Refusal::Unknown));
    };
    let id = link.delivery_id.to_string();
    let Some((tenant, alert_id, channel_id)) = store::linked(&app.pool, &id).await? else {
        return Ok(Err(Refusal::Unknown));
    };
    let bound = Bound {
        tenant: &tenant,
        alert_id: &alert_id,
    };
    if !links.is_genuine(token, bound) {
        return Ok(Err(Refusal::Unknown));
    }
    if link.expires_at <= app.context.now() {
        return Ok(Err(Refusal::Expired));
    }
    let by = format!("link:{channel_id}");
    Ok(Ok(Opened { link, by }))
}

async fn linked(
    transaction: &mut PgTransaction<'_>,
    link: &Link,
) -> Result<Vec<Alert>, sqlx::Error> {
    store::linked_alerts(transaction, &link.delivery_id.to_string()).await
}

/// Why an action changes nothing; `None` if it does.
fn nothing_to_do(action: Action, alerts: &[Alert]) -> Option<&'static str> {
    let any = |wanted: fn(&Alert) -> bool| alerts.iter().any(wanted);
    match action {
        _ if !any(Alert::is_open) => Some("The alert has ended already"),
        Action::Acknowledge if !any(|alert| alert.state == "firing") => {
            Some("It was acknowledged already")
        }
        _ => None,
    }
}

/// Does it to all alerts of the message; whether anything was left to do.
async fn act(
    app: &App,
    mut transaction: PgTransaction<'_>,
    opened: &Opened,
    alerts: Vec<Alert>,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let cause = Cause {
        by: opened.by.clone(),
        note: "by a link in a message".to_owned(),
        ..Cause::default()
    };
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let mut writer = app.writer(&mut transaction, &mut emissions, &mut done, now);
    let mut is_done = false;
    let open = alerts.into_iter().filter(Alert::is_open);
    for (number, alert) in (0_u128..).zip(open) {
        match opened.link.action {
            Action::Acknowledge if alert.state == "firing" => {
                writer.acknowledge(alert, &cause).await?;
                is_done = true;
            }
            Action::Acknowledge => {}
            Action::Snooze => {
                // Of the message's own id, so that following the link once more makes no other.
                let id = ulid::Ulid::from(opened.link.delivery_id.0.wrapping_add(number));
                let until = (&*id.to_string(), now + SNOOZE);
                is_done |= writer.snooze(alert, until, &cause).await?;
            }
            Action::Resolve => {
                let ending = Ending {
                    is_withdrawn: false,
                    at: now,
                    caused_at: None,
                    cause: &cause,
                };
                writer.end(alert, &ending).await?;
                is_done = true;
            }
        }
    }
    app.commit(transaction, emissions, &done).await?;
    Ok(is_done)
}

impl Refusal {
    fn page(&self) -> Response {
        let (status, heading) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "There is no such link"),
            Self::Expired => (StatusCode::GONE, "This link has expired"),
        };
        page(status, heading, &[], "")
    }
}

fn page(status: StatusCode, heading: &str, alerts: &[Alert], form: &str) -> Response {
    let named = alerts.iter().take(NAMED_MAX);
    let mut items: Vec<_> = named
        .map(|alert| format!("{} ({})", alert.title, alert.severity))
        .collect();
    if alerts.len() > NAMED_MAX {
        items.push(format!("and {} more", alerts.len() - NAMED_MAX));
    }
    html(status, heading, &items, form)
}
