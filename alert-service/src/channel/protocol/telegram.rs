use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::channel::{
    ChatId, Destination, Message, MessageKind, Outcome, Problem, Secret, Severity,
    kind::required,
    outcome::{disabled, failed, refused},
    render::{Unit, body, clean, cut, heading, links},
    secret::exposed,
    web::{Answer, Failure, KEPT_BYTES_MAX, Target, WebAttempt, pause},
};

/// The longest text, in units of UTF-16.
const TEXT_UNITS_MAX: usize = 4096;
const BUTTONS_MAX: usize = 10;
const TOKEN_PROBLEM: &str = "must be a token of a bot: digits, a colon, letters and digits";

/// What is wrong with the chat or the secret.
pub(in crate::channel) fn check(chat_id: &ChatId, secret: &Secret) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let ChatId::Name(name) = chat_id {
        let rest = name.strip_prefix('@').unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if rest.is_empty() || rest.len() > 64 || !rest.bytes().all(plain) {
            problems.push(Problem::new("chat_id", "must be a number or @name"));
        }
    }
    match required("token", secret.token.as_ref()) {
        Err(problem) => problems.push(problem),
        Ok(token) if bot(token).is_none() => {
            problems.push(Problem::new("secret.token", TOKEN_PROBLEM));
        }
        Ok(_) => {}
    }
    problems
}

/// The bot's number, which is no secret. The rest may hold nothing that would change the path.
fn bot(token: &str) -> Option<&str> {
    let (bot, rest) = token.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let good = !bot.is_empty()
        && bot.len() <= 20
        && bot.bytes().all(|byte| byte.is_ascii_digit())
        && !rest.is_empty()
        && rest.len() <= 100
        && rest.bytes().all(plain);
    good.then_some(bot)
}

/// The bot: Telegram's pauses are for all that it sends.
pub(in crate::channel) fn destination(secret: &Secret) -> Destination {
    let bot = exposed(secret.token.as_ref()).and_then(bot);
    Destination::new(format!("telegram:{}", bot.unwrap_or_default()))
}

/// The API with one bot's token.
pub(in crate::channel) struct Api<'a> {
    web: &'a WebAttempt<'a>,
    /// `None` if the secret is no token.
    url: Option<Url>,
}

#[derive(Deserialize)]
struct Called {
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
    result: Option<Sent>,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

#[derive(Deserialize)]
struct Sent {
    message_id: i64,
}

impl<'a> Api<'a> {
    pub(in crate::channel) fn new(web: &'a WebAttempt<'a>, base: &Url, secret: &Secret) -> Self {
        let token = exposed(secret.token.as_ref()).filter(|token| bot(token).is_some());
        let url = token.and_then(|token| {
            let base = base.as_str().trim_end_matches('/');
            Url::parse(&format!("{base}/bot{token}/sendMessage")).ok()
        });
        Self { web, url }
    }

    /// Calls another method; its result, or why there is none, for people and without the token.
    pub(in crate::channel) async fn call(
        &self,
        method: &str,
        payload: Value,
    ) -> Result<Value, String> {
        let url = self.url.as_ref().and_then(|url| url.join(method).ok());
        let url = url.ok_or_else(|| TOKEN_PROBLEM.to_owned())?;
        let body = payload.to_string().into_bytes();
        let asked = self
            .web
            .post(Target::Operator(&url), HeaderMap::new(), body);
        let answer = asked.await.map_err(|failure| match failure {
            Failure::Denied(reason) | Failure::NotSent(reason) | Failure::Lost(reason) => reason,
        })?;
        match answer.json::<Called>() {
            Some(called) if called.ok => Ok(called.result),
            Some(called) => {
                let reason = format!("answered {}: {}", answer.status, called.description);
                Err(clean(&reason, KEPT_BYTES_MAX))
            }
            None => Err(answer.reason()),
        }
    }

    /// Sends a message; once more as text alone where Telegram does not take its markup.
    pub(in crate::channel) async fn send(
        &self,
        chat: (&ChatId, Option<i64>),
        message: &Message,
        now: DateTime<Utc>,
    ) -> Outcome {
        let (answer, reply) = match self.post(rich(chat, message, now)).await {
            Ok(answered) => answered,
            Err(failure) => return failure.unrepeatable(),
        };
        if !refuses_markup(answer.status.as_u16(), reply.as_ref()) {
            return outcome(&answer, reply, now);
        }
        match self.post(plain(chat, message, now)).await {
            Ok((answer, reply)) => outcome(&answer, reply, now),
            Err(failure) => failure.unrepeatable(),
        }
    }

    async fn post(&self, payload: Value) -> Result<(Answer, Option<Reply>), Failure> {
        let Some(url) = &self.url else {
            return Err(Failure::Denied(TOKEN_PROBLEM.to_owned()));
        };
        let body = payload.to_string().into_bytes();
        let target = Target::Operator(url);
        let answer = self.web.post(target, HeaderMap::new(), body).await?;
        let reply = answer.json();
        Ok((answer, reply))
    }
}

fn refuses_markup(status: u16, reply: Option<&Reply>) -> bool {
    let description = reply.map_or("", |reply| &reply.description);
    let markup = [
        "can't parse entities",
        "BUTTON_URL_INVALID",
        "Wrong HTTP URL",
    ];
    status == 400 && markup.iter().any(|text| description.contains(text))
}

fn outcome(answer: &Answer, reply: Option<Reply>, now: DateTime<Utc>) -> Outcome {
    let Some(reply) = reply else {
        // Not Telegram: a proxy, or an outage. After a success nobody knows.
        return match answer.status.is_success() {
            true => Outcome::Unknown {
                reason: answer.reason(),
            },
            false => answer.failure(now),
        };
    };
    if reply.ok {
        let receipt = reply.result.map(|sent| sent.message_id.to_string());
        return Outcome::Accepted { receipt };
    }
    if let Some(to) = reply.parameters.migrate_to_chat_id {
        return Outcome::Moved { to: to.to_string() };
    }
    let status = answer.status;
    let reason = format!("answered {status}: {}", reply.description);
    let reason = clean(&reason, KEPT_BYTES_MAX);
    if let Some(seconds) = reply.parameters.retry_after {
        let pause = pause(Duration::from_secs(seconds));
        return Outcome::Slower { pause, reason };
    }
    match status.as_u16() {
        400 if reply.description.contains("chat not found") => disabled(reason),
        401 | 403 | 404 => disabled(reason),
        400 | 413 => refused(reason),
        429 => answer.failure(now),
        _ => failed(reason),
    }
}

/// Plain text, of which the heading is bold, with buttons: no text can break the markup.
fn rich(chat: (&ChatId, Option<i64>), message: &Message, now: DateTime<Utc>) -> Value {
    let heading = heading(message);
    let heading_units = Unit::Utf16.width(&heading);
    let rest = TEXT_UNITS_MAX - heading_units - 1;
    let text = format!("{heading}\n{}", body(message, now, rest, Unit::Utf16));
    let mut payload = payload(chat, message, text);
    payload["entities"] = json!([{"type": "bold", "offset": 0, "length": heading_units}]);
    let buttons = links(message).take(BUTTONS_MAX).map(|(label, url)| {
        let label = cut(&label, 60, Unit::Utf16).into_owned();
        json!([{"text": label, "url": url}])
    });
    let pressed = message.chat_actions.iter().map(|action| {
        let label = cut(&action.label, 60, Unit::Utf16).into_owned();
        json!([{"text": label, "callback_data": action.data}])
    });
    let buttons: Vec<Value> = pressed.chain(buttons).collect();
    if !buttons.is_empty() {
        payload["reply_markup"] = json!({"inline_keyboard": buttons});
    }
    payload
}

/// The same without markup: links stand in the text. One that does not fit is left out whole.
fn plain(chat: (&ChatId, Option<i64>), message: &Message, now: DateTime<Utc>) -> Value {
    let heading = heading(message);
    let mut lines = String::new();
    for (label, url) in links(message).take(BUTTONS_MAX) {
        let line = format!("\n{}: {url}", cut(&label, 60, Unit::Utf16));
        if Unit::Utf16.width(&lines) + Unit::Utf16.width(&line) <= TEXT_UNITS_MAX / 2 {
            lines.push_str(&line);
        }
    }
    let rest = TEXT_UNITS_MAX - Unit::Utf16.width(&heading) - Unit::Utf16.width(&lines) - 1;
    let text = body(message, now, rest, Unit::Utf16);
    payload(chat, message, format!("{heading}\n{text}{lines}"))
}

fn payload((chat_id, thread_id): (&ChatId, Option<i64>), message: &Message, text: String) -> Value {
    let quiet = message.kind == MessageKind::Resolved || message.severity == Severity::Info;
    let mut payload = json!({
        "chat_id": chat_id,
        "text": text,
        // A preview opens the link, as a person would.
        "link_preview_options": {"is_disabled": true},
        "disable_notification": quiet,
    });
    if let Some(thread_id) = thread_id {
        payload["message_thread_id"] = thread_id.into();
    }
    payload
}
