//! What people press and write in a chat, with a stand-in that answers in the documented shapes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::post,
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use test_support::eventually;
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{alert, becomes, happens};
use crate::bed::{Bed, DEADLINE, Running, cleared, entered};

const TOKEN: &str = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11";
const CHAT: i64 = -1_001_234_567_890;
/// How long it waits for something to report.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Telegram {
    address: SocketAddr,
    state: Arc<Mutex<Chats>>,
    /// There is an update more.
    reported: Arc<Notify>,
}

#[derive(Default)]
struct Chats {
    updates: Vec<Value>,
    /// Methods and payloads, but for `getUpdates`.
    called: Vec<(String, Value)>,
    asking: usize,
    asking_max: usize,
}

impl Telegram {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let telegram = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            reported: Arc::default(),
        };
        let router = Router::new()
            .route("/{bot}/{method}", post(answer))
            .with_state(telegram.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        telegram
    }

    fn settings(&self) -> Vec<String> {
        vec![
            format!("channels.telegram_url=http://{}/", self.address),
            "channels.telegram_polling=true".to_owned(),
        ]
    }

    fn called(&self, method: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let called = state.called.iter().filter(|(of, _)| of == method);
        called.map(|(_, payload)| payload.clone()).collect()
    }

    fn report(&self, mut update: Value) {
        let mut state = self.state.lock().unwrap();
        update["update_id"] = (100 + state.updates.len()).into();
        state.updates.push(update);
        self.reported.notify_waiters();
    }

    fn write(&self, chat: i64, text: &str) {
        self.report(json!({"message": {"chat": {"id": chat}, "from": {"id": 1}, "text": text}}));
    }

    fn press(&self, chat: i64, data: &str) {
        self.report(json!({"callback_query": {
            "id": "q", "from": {"id": 1}, "data": data, "message": {"chat": {"id": chat}},
        }}));
    }

    /// The text of the last answer to what was written, once there are so many.
    async fn answer(&self, count: usize) -> String {
        let answers = || {
            let sent = self.called("sendMessage").into_iter();
            let answers = sent.filter(|payload| payload["entities"].is_null());
            answers.collect::<Vec<_>>()
        };
        eventually(DEADLINE, async || answers().len() == count).await;
        let answers = answers();
        answers[count - 1]["text"].as_str().unwrap().to_owned()
    }
}

async fn answer(
    State(telegram): State<Telegram>,
    Path((bot, method)): Path<(String, String)>,
    Json(payload): Json<Value>,
) -> Json<Value> {
    assert_eq!(bot, format!("bot{TOKEN}"));
    if method != "getUpdates" {
        let mut state = telegram.state.lock().unwrap();
        state.called.push((method, payload));
        return Json(json!({"ok": true, "result": {"message_id": 1}}));
    }
    let offset = payload["offset"].as_i64().unwrap();
    let found = |state: &Chats| {
        let updates = state.updates.iter();
        let wanted = updates.filter(|update| update["update_id"].as_i64().unwrap() >= offset);
        wanted.cloned().collect::<Vec<_>>()
    };
    {
        let mut state = telegram.state.lock().unwrap();
        state.asking += 1;
        state.asking_max = state.asking_max.max(state.asking);
    }
    let until = Instant::now() + PATIENCE;
    let updates = loop {
        // Made before the look, so that no report falls between the two.
        let reported = telegram.reported.notified();
        let updates = found(&telegram.state.lock().unwrap());
        if !updates.is_empty() || timeout_at(until, reported).await.is_err() {
            break updates;
        }
    };
    telegram.state.lock().unwrap().asking -= 1;
    Json(json!({"ok": true, "result": updates}))
}

async fn chat(service: &Running, chat: i64) -> String {
    let body = json!({
        "name": "chat", "configuration": {"kind": "telegram", "chat_id": chat}, "secret": {"token": TOKEN},
    });
    let channel = service.post("/v1/channels", body).await;
    channel["id"].as_str().unwrap().to_owned()
}

async fn state(service: &Running, pattern: &str) -> Value {
    alert(service, pattern).await["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buttons_and_commands_act_in_their_own_chat_and_once() {
    let (bed, telegram) = (Bed::create(&[]).await, Telegram::start().await);
    let service = bed.start_with(&telegram.settings()).await;
    let channel = chat(&service, CHAT).await;
    service.rule(&channel, json!({})).await;
    // Of the same bot, and of another rule.
    let other = chat(&service, 77).await;
    let regime = json!({"condition": {"kind": "regime"}});
    service.rule(&other, regime).await;
    for pattern in ["p", "q", "r"] {
        happens(&bed, entered(pattern)).await;
        becomes(&service, pattern, "firing", "sent").await;
    }
    let first = telegram.called("sendMessage")[0].clone();
    let keyboard = first["reply_markup"]["inline_keyboard"].clone();
    assert_eq!(keyboard[0][0]["text"], "Acknowledge here", "{first}");
    let acknowledge = keyboard[0][0]["callback_data"].as_str().unwrap();
    let snooze = keyboard[1][0]["callback_data"].as_str().unwrap();
    // From chats that were not notified of it, known and unknown.
    telegram.press(77, acknowledge);
    telegram.press(78, acknowledge);
    telegram.write(78, "/alerts");
    telegram.write(77, "/alerts");
    assert_eq!(telegram.answer(1).await, "Nothing is open.");
    assert_eq!(telegram.called("answerCallbackQuery").len(), 2);
    assert_eq!(state(&service, "p").await, "firing");

    telegram.press(CHAT, acknowledge);
    telegram.press(CHAT, acknowledge);
    telegram.press(CHAT, snooze);
    eventually(DEADLINE, async || {
        telegram.called("answerCallbackQuery").len() == 5
    })
    .await;
    let answers = telegram.called("answerCallbackQuery").into_iter();
    let answers: Vec<_> = answers.map(|answer| answer["text"].clone()).collect();
    let expected = [
        "There is no such open alert.",
        "This chat is no channel of this service.",
        "Acknowledged.",
        "It was done already.",
        "Snoozed for 4 h.",
    ];
    assert_eq!(answers, expected);
    assert_eq!(state(&service, "p").await, "acknowledged");

    telegram.write(CHAT, "/alerts");
    let list = telegram.answer(2).await;
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    let code = |pattern: &str| {
        let line = lines.iter().find(|line| line.contains(pattern)).unwrap();
        line.split(' ').next().unwrap().to_owned()
    };
    // A command of a chat that has not been notified of the alert.
    telegram.write(77, &format!("/ack {}", code("Name of q")));
    assert_eq!(telegram.answer(3).await, "There is no such open alert.");
    telegram.write(
        CHAT,
        &format!("/ack@atlas_bot {}", code("Name of q").to_lowercase()),
    );
    assert_eq!(telegram.answer(4).await, "Acknowledged.");
    telegram.write(CHAT, &format!("/snooze {} 2", code("Name of r")));
    assert_eq!(telegram.answer(5).await, "Snoozed for 2 h.");
    telegram.write(CHAT, "/ack");
    assert!(telegram.answer(6).await.starts_with("/alerts"));
    assert_eq!(state(&service, "q").await, "acknowledged");
    let history = alert(&service, "q").await["history"].clone();
    assert_eq!(history[1]["by"], format!("chat:{channel}"), "{history}");
    happens(&bed, cleared("r")).await;
    happens(&bed, entered("r")).await;
    becomes(&service, "r", "firing", "silenced").await;
    service.end().await;

    // What was applied is not applied again, also by another instance.
    let calls = telegram.called("answerCallbackQuery").len();
    bed.move_clock(TimeDelta::seconds(61));
    let service = bed.start_with(&telegram.settings()).await;
    telegram.write(CHAT, "/alerts");
    telegram.answer(7).await;
    assert_eq!(telegram.called("answerCallbackQuery").len(), calls);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_asks_at_a_time_and_another_goes_on_when_it_is_killed() {
    let (bed, telegram) = (Bed::create(&[]).await, Telegram::start().await);
    let first = bed.start_with(&telegram.settings()).await;
    chat(&first, CHAT).await;
    telegram.write(CHAT, "/alerts");
    telegram.answer(1).await;
    let second = bed.start_with(&telegram.settings()).await;
    for count in 2..8 {
        telegram.write(CHAT, "/alerts");
        telegram.answer(count).await;
    }
    assert_eq!(telegram.state.lock().unwrap().asking_max, 1);
    first.kill().await;
    bed.move_clock(TimeDelta::seconds(61));
    telegram.write(CHAT, "/alerts");
    telegram.answer(8).await;
    second.end().await;
}
