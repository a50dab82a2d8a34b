//! Ending mail with one click (RFC 8058).
//!
//! Programs for mail post to the link of a mail, without a login; scanners of mail open it, which changes nothing.

use axum::{extract::State, http::StatusCode, response::Response};
use service::rest::{Always, Problem, extract::Id};
use ulid::Ulid;

use super::page::{button, html};
use crate::{
    alert::Done,
    calm::{Links, Subscription},
    channel,
    delivery::{Disabling, disable},
    emission::Emissions,
    rest::App,
    store::{self, Tenant},
};

const REASON: &str = "somebody unsubscribed by the link in a mail";
const LABEL: &str = "Unsubscribe";

/// Ask before mail is ended
///
/// The page has a button that posts to the same address. Nothing is changed by opening it.
#[utoipa::path(
    get, path = "/u/{token}", operation_id = "showSubscription", tag = "links", security(()),
    params(("token" = String, Path, description = "From a mail")),
    responses(
        (status = 200, description = "What the link does", content_type = "text/html"),
        (status = 404, description = "There is no such link", content_type = "text/html"),
        Always
    )
)]
pub(in crate::rest) async fn show(
    State(app): State<App>,
    Id(token): Id,
) -> Result<Response, Problem> {
    Ok(match channel_of(&app, &token).await? {
        None => unknown(),
        Some(channel) if !channel.enabled => ended(&channel.to),
        Some(channel) => html(
            StatusCode::OK,
            "Unsubscribe from these alerts",
            &[channel.to],
            &button(LABEL),
        ),
    })
}

/// End mail
///
/// The channel that the mail came by is disabled: nothing is sent by it until its owner enables it again. What the body
/// says does not matter; programs for mail send `List-Unsubscribe=One-Click`.
#[utoipa::path(
    post, path = "/u/{token}", operation_id = "endSubscription", tag = "links", security(()),
    params(("token" = String, Path, description = "From a mail")),
    responses(
        (status = 200, description = "It is ended, or was", content_type = "text/html"),
        (status = 404, description = "There is no such link", content_type = "text/html"),
        Always
    )
)]
pub(in crate::rest) async fn end(
    State(app): State<App>,
    Id(token): Id,
) -> Result<Response, Problem> {
    let Some(channel) = channel_of(&app, &token).await? else {
        return Ok(unknown());
    };
    let now = app.context.now();
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let mut transaction = app.pool.begin().await?;
    let disabling = Disabling {
        channel_id: &channel.id,
        tenant: &channel.tenant,
        change: "unsubscribed",
        by: Some("link"),
        reason: REASON,
    };
    if let Some(suppressed) = disable(&mut transaction, &disabling, &mut emissions, now).await? {
        done.suppressed = suppressed;
        app.commit(transaction, emissions, &done).await?;
    }
    Ok(ended(&channel.to))
}

/// A channel of mail, and where it leads.
struct MailChannel {
    id: String,
    tenant: String,
    to: String,
    enabled: bool,
}

/// The channel of a genuine link.
async fn channel_of(app: &App, token: &str) -> Result<Option<MailChannel>, Problem> {
    let Some(links) = &app.links else {
        return Ok(None);
    };
    let Some(id) = links.subscribed(token) else {
        return Ok(None);
    };
    let stored = store::channel(&app.pool, Tenant::All, &id.to_string()).await?;
    Ok(stored.and_then(|stored| genuine(links, token, id, stored)))
}

fn genuine(links: &Links, token: &str, id: Ulid, stored: store::Channel) -> Option<MailChannel> {
    let configuration = serde_json::from_value(stored.configuration).ok()?;
    let channel::Channel::Mail { to } = configuration else {
        return None;
    };
    let subscription = Subscription {
        channel_id: id,
        tenant: &stored.tenant,
        to: &to,
    };
    links.ends(token, subscription).then_some(MailChannel {
        id: stored.id,
        tenant: stored.tenant,
        enabled: stored.enabled,
        to,
    })
}

fn unknown() -> Response {
    html(StatusCode::NOT_FOUND, "There is no such link", &[], "")
}

fn ended(to: &str) -> Response {
    let items = [format!(
        "No alerts are mailed to {to} by this channel any more."
    )];
    html(StatusCode::OK, "Unsubscribed", &items, "")
}
