//! What people write to a bot, and press. Pure.

use serde::Deserialize;
use serde_json::Value;
use ulid::Ulid;

/// At most so many hours of a snooze.
const HOURS_MAX: u32 = 24 * 31;
const HOURS_DEFAULT: u32 = 4;

/// One of what Telegram reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    /// Grows; what is asked for next is greater.
    pub(super) id: i64,
    /// `None`: nothing that a bot of this service is for.
    pub(super) request: Option<(i64, Request)>,
    /// Of a press, so that the button stops to spin.
    pub(super) callback_id: Option<String>,
}

/// What somebody in a chat wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// The open alerts of the chat.
    List,
    Acknowledge(Which),
    Snooze(Which, u32),
    /// A command that cannot be read.
    Help,
}

/// Which alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of the message that the button is under.
    Delivery(Ulid),
    /// The one whose id ends so, as lists have it.
    Code(String),
}

#[derive(Deserialize)]
struct Raw {
    update_id: i64,
    message: Option<RawMessage>,
    callback_query: Option<RawPress>,
}

#[derive(Deserialize)]
struct RawMessage {
    chat: RawChat,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct RawChat {
    id: i64,
}

#[derive(Deserialize)]
struct RawPress {
    id: String,
    message: Option<RawMessage>,
    #[serde(default)]
    data: String,
}

/// The updates of an answer, in order; what cannot be read is left out if it has no id.
pub(super) fn read(result: &Value) -> Vec<Update> {
    let listed = result.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut updates: Vec<_> = listed.iter().filter_map(read_one).collect();
    updates.sort_by_key(|update| update.id);
    updates
}

fn read_one(value: &Value) -> Option<Update> {
    let Ok(raw) = serde_json::from_value::<Raw>(value.clone()) else {
        let id = value["update_id"].as_i64()?;
        return Some(Update {
            id,
            request: None,
            callback_id: None,
        });
    };
    let written = raw
        .message
        .and_then(|message| Some((message.chat.id, command(&message.text)?)));
    let (pressed, callback_id) = match raw.callback_query {
        Some(press) => {
            let chat = press.message.map(|message| message.chat.id);
            (chat.zip(button(&press.data)), Some(press.id))
        }
        None => (None, None),
    };
    Some(Update {
        id: raw.update_id,
        request: written.or(pressed),
        callback_id,
    })
}

/// What a button of ours carries: at most 64 bytes.
pub(crate) fn acknowledge_data(delivery_id: Ulid) -> String {
    format!("ack:{delivery_id}")
}

/// The same for a snooze.
pub(crate) fn snooze_data(delivery_id: Ulid) -> String {
    format!("snooze:{delivery_id}")
}

fn button(data: &str) -> Option<Request> {
    let (what, id) = data.split_once(':')?;
    let which = Which::Delivery(Ulid::from_string(id).ok()?);
    match what {
        "ack" => Some(Request::Acknowledge(which)),
        "snooze" => Some(Request::Snooze(which, HOURS_DEFAULT)),
        _ => None,
    }
}

/// `/alerts`, `/ack CODE`, `/snooze CODE [HOURS]`, also with the name of the bot as groups have it: `/ack@bot CODE`.
fn command(text: &str) -> Option<Request> {
    let mut words = text.split_whitespace();
    let first = words.next()?.strip_prefix('/')?;
    let name = first.split('@').next().unwrap_or(first);
    let code = words.next().filter(|code| {
        (4..=26).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let code = code.map(|code| Which::Code(code.to_ascii_uppercase()));
    let hours = match words.next() {
        None => Some(HOURS_DEFAULT),
        Some(word) => word
            .parse()
            .ok()
            .filter(|hours| (1..=HOURS_MAX).contains(hours)),
    };
    match (name, code, hours) {
        ("alerts", _, _) => Some(Request::List),
        ("ack", Some(code), _) => Some(Request::Acknowledge(code)),
        ("snooze", Some(code), Some(hours)) => Some(Request::Snooze(code, hours)),
        ("ack" | "snooze" | "start" | "help", _, _) => Some(Request::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_and_presses_are_read_and_the_rest_is_passed_over() {
        let id = Ulid::from(7_u128);
        let code = |text: &str| Which::Code(text.to_owned());
        for (text, request) in [
            ("/alerts", Some(Request::List)),
            ("/alerts@atlas_bot", Some(Request::List)),
            ("/ack 3f9c0c", Some(Request::Acknowledge(code("3F9C0C")))),
            ("/snooze@b 3F9C0C", Some(Request::Snooze(code("3F9C0C"), 4))),
            (
                "/snooze 3F9C0C 12",
                Some(Request::Snooze(code("3F9C0C"), 12)),
            ),
            ("/snooze 3F9C0C 0", Some(Request::Help)),
            ("/snooze 3F9C0C x", Some(Request::Help)),
            ("/ack", Some(Request::Help)),
            ("/ack %25%25", Some(Request::Help)),
            ("/start", Some(Request::Help)),
            ("ack 3F9C0C", None),
            ("/other", None),
            ("", None),
        ] {
            assert_eq!(command(text), request, "{text}");
        }
        let ack = Request::Acknowledge(Which::Delivery(id));
        assert_eq!(button(&acknowledge_data(id)), Some(ack));
        let snooze = Request::Snooze(Which::Delivery(id), 4);
        assert_eq!(button(&snooze_data(id)), Some(snooze));
        assert!(snooze_data(id).len() <= 64);
        for data in [
            "",
            "ack",
            "ack:",
            "resolve:00000000000000000000000007",
            "ack:x",
        ] {
            assert_eq!(button(data), None, "{data}");
        }
        let updates = json!([
            {"update_id": 9, "message": {"chat": {"id": -5}, "text": "/alerts"}},
            {"update_id": 7, "edited_message": {}},
            {"update_id": 8, "callback_query": {"id": "c", "data": "x", "message": {"chat": {"id": 1}}}},
            {"update_id": 10, "message": "odd"},
            {"odd": 1},
        ]);
        let read = read(&updates);
        let ids: Vec<_> = read.iter().map(|update| update.id).collect();
        assert_eq!(ids, [7, 8, 9, 10]);
        assert_eq!(read[2].request, Some((-5, Request::List)));
        let callback = read[1].callback_id.as_deref();
        assert_eq!((callback, &read[1].request), (Some("c"), &None));
    }
}
