use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde_json::{Value, json};
use url::Url;

use crate::channel::{
    AddressRules, Destination, Message, Outcome, Problem, Secret,
    kind::required,
    outcome::{disabled, refused},
    render::{Unit, body, cut, heading, links},
    secret::exposed,
    web::{Answer, Target, WebAttempt},
};

/// Bounds of Slack, after escaping: a header, a section, links that are shown.
const HEADER_UNITS_MAX: usize = 150;
const SECTION_UNITS_MAX: usize = 3000;
const LINKS_MAX: usize = 10;

/// What is wrong with the secret's `url`.
pub(in crate::channel) fn check_url(secret: &Secret, rules: &AddressRules) -> Option<Problem> {
    let problem = match required("url", secret.url.as_ref()) {
        Err(problem) => return Some(problem),
        Ok(text) => match Url::parse(text) {
            Ok(url) => rules.check(&url).err()?,
            Err(_) => "is not a URL".to_owned(),
        },
    };
    Some(Problem::new("secret.url", problem))
}

/// One for each address, since Slack counts for each.
pub(in crate::channel) fn destination(secret: &Secret) -> Destination {
    match url(secret) {
        Some(url) => Destination::address("slack", &url),
        None => Destination::new("slack"),
    }
}

fn url(secret: &Secret) -> Option<Url> {
    Url::parse(exposed(secret.url.as_ref())?).ok()
}

/// The host of the address, which may be shown.
pub(in crate::channel) fn host(secret: &Secret) -> Option<String> {
    url(secret)?.host_str().map(str::to_owned)
}

/// Sends a message.
pub(in crate::channel) async fn send(
    web: &WebAttempt<'_>,
    secret: &Secret,
    message: &Message,
    now: DateTime<Utc>,
) -> Outcome {
    let Some(url) = url(secret) else {
        return disabled("secret.url is not a URL");
    };
    let body = payload(message, now).to_string().into_bytes();
    match web.post(Target::User(&url), HeaderMap::new(), body).await {
        Ok(answer) => outcome(&answer, now),
        Err(failure) => failure.unrepeatable(),
    }
}

/// The status decides: compatible servers have texts of their own.
fn outcome(answer: &Answer, now: DateTime<Utc>) -> Outcome {
    match answer.status.as_u16() {
        200..=299 => Outcome::Accepted {
            receipt: answer.receipt(),
        },
        // The message is wrong, not the channel, unless the text says that the channel is.
        400 if !is_gone(&answer.text()) => refused(answer.reason()),
        400 | 401 | 403 | 404 | 410 => disabled(answer.reason()),
        413 => refused(answer.reason()),
        _ => answer.failure(now),
    }
}

/// Answers that no message to this address will be taken.
fn is_gone(text: &str) -> bool {
    [
        "user_not_found",
        "team_disabled",
        "no_active_hooks",
        "no_service",
        "no_team",
    ]
    .contains(&text)
}

/// The whole message as text, for servers that know no blocks and for notifications, and as blocks.
fn payload(message: &Message, now: DateTime<Utc>) -> Value {
    let heading = heading(message);
    let header = escape(&cut(&heading, HEADER_UNITS_MAX, Unit::Escaped));
    let section = escape(&body(message, now, SECTION_UNITS_MAX, Unit::Escaped));
    let links = joined_links(message);
    let mut text = format!("*{}*\n{section}", escape(&heading).replace('*', "∗"));
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": header, "emoji": false}}),
        markup(&section),
    ];
    if !links.is_empty() {
        text = format!("{text}\n{links}");
        blocks.push(markup(&links));
    }
    json!({"text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

/// `verbatim`: Slack makes no links and mentions of what looks like one.
fn markup(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// Links as Slack writes them. One that does not fit is left out whole.
fn joined_links(message: &Message) -> String {
    let mut joined = String::new();
    for (label, url) in links(message).take(LINKS_MAX) {
        let url = escape(url.as_str()).replace('|', "%7C");
        let link = format!(
            "<{url}|{}>",
            escape(&cut(&label, 75, Unit::Escaped)).replace('|', "/")
        );
        let gap = if joined.is_empty() { "" } else { " · " };
        let width = [&joined, gap, &link].map(|part| part.encode_utf16().count());
        if width.into_iter().sum::<usize>() <= SECTION_UNITS_MAX {
            joined.push_str(gap);
            joined.push_str(&link);
        }
    }
    joined
}

/// The three characters that mean something to Slack.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
