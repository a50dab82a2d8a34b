//! Why messages are not sent: random sequences, compared with a model that is written down here.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Running, cleared, entered},
    receiver::Receiver,
};

const SEQUENCES: u64 = 4;
const STEPS: usize = 40;
const COOLDOWN_MINUTES: i64 = 60;
const SNOOZE_MINUTES: i64 = 100;
const DAILY_MAX: usize = 6;

/// What a rule does, minute by minute.
#[derive(Debug, Default)]
struct Model {
    minute: i64,
    once: bool,
    is_paused: bool,
    has_notified: bool,
    snoozed_until: i64,
    /// Minutes at which it notified, by pattern.
    notified: Vec<(i64, String)>,
    open: BTreeSet<String>,
    /// Expected reason or none, of each beginning, by pattern and episode.
    firing: BTreeMap<(String, i64), Option<&'static str>>,
    episodes: BTreeMap<String, i64>,
}

impl Model {
    fn begin(&mut self, pattern: &str) {
        if !self.open.insert(pattern.to_owned()) {
            return;
        }
        let same = self.notified.iter().filter(|(_, of)| of == pattern);
        let is_cooling = same
            .clone()
            .any(|(at, _)| self.minute < at + COOLDOWN_MINUTES);
        let today = self
            .notified
            .iter()
            .filter(|(at, _)| *at > self.minute - 24 * 60);
        let reason = if self.is_paused {
            Some("paused")
        } else if self.once && self.has_notified {
            Some("once")
        } else if self.minute < self.snoozed_until {
            Some("snoozed")
        } else if is_cooling {
            Some("cooldown")
        } else if today.count() >= DAILY_MAX {
            Some("daily_limit")
        } else {
            None
        };
        if reason.is_none() {
            self.notified.push((self.minute, pattern.to_owned()));
            self.has_notified = true;
        }
        let episode = self.episodes.entry(pattern.to_owned()).or_default();
        *episode += 1;
        self.firing.insert((pattern.to_owned(), *episode), reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_sent_or_has_the_one_reason_that_a_model_has() {
    let settings = [
        "alerts.event_age_max_seconds=31536000",
        "alerts.observation_age_max_days=36600",
    ];
    for seed in 0..SEQUENCES {
        let (bed, receiver) = (Bed::create(&settings).await, Receiver::start(|_| 200).await);
        let service = bed.start().await;
        let channel = service.webhook(&receiver.url("a")).await;
        let once = seed == 1;
        let limits = json!({
            "cooldown_seconds": COOLDOWN_MINUTES * 60, "daily_max": DAILY_MAX, "once": once,
        });
        let rule = service.rule(&channel, limits).await;
        let mut model = Model {
            once,
            ..Model::default()
        };
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..STEPS {
            step(&bed, &service, &rule, &mut model, &mut random).await;
        }
        compare(&service, &receiver, &model).await;
        service.end().await;
    }
}

async fn step(bed: &Bed, service: &Running, rule: &str, model: &mut Model, random: &mut StdRng) {
    let pattern = ["p", "q", "r"][random.random_range(0..3)];
    match random.random_range(0..100) {
        0..50 => {
            bed.publish(entered(pattern)).await;
            bed.processed().await;
            model.begin(pattern);
        }
        50..75 => {
            bed.publish(cleared(pattern)).await;
            bed.processed().await;
            model.open.remove(pattern);
        }
        75..90 => {
            // Never to a bound itself, as the clock of the machine goes on meanwhile.
            bed.move_clock(TimeDelta::minutes(25));
            model.minute += 25;
        }
        90..94 if !model.once => {
            let (what, paused) = if model.is_paused {
                ("resume", false)
            } else {
                ("pause", true)
            };
            let path = format!("/v1/rules/{rule}/{what}");
            service.ask_as(None, Method::POST, &path, None).await;
            model.is_paused = paused;
            if !paused {
                model.snoozed_until = model.minute;
            }
        }
        _ => {
            let until = Utc::now() + TimeDelta::minutes(model.minute + SNOOZE_MINUTES + 1);
            service
                .post(&format!("/v1/rules/{rule}/snooze"), json!({"until": until}))
                .await;
            model.snoozed_until = model.minute + SNOOZE_MINUTES + 1;
        }
    }
}

async fn compare(service: &Running, receiver: &Receiver, model: &Model) {
    eventually(DEADLINE, async || {
        let open = service
            .get("/v1/deliveries?state=pending&state=sending")
            .await;
        open["deliveries"].as_array().unwrap().is_empty()
    })
    .await;
    let alerts = service.get("/v1/alerts?limit=1000").await;
    let alerts = alerts["alerts"].as_array().unwrap().clone();
    assert_eq!(alerts.len(), model.firing.len());
    let mut sent = 0;
    for alert in alerts {
        let detail = service
            .get(&format!("/v1/alerts/{}", alert["id"].as_str().unwrap()))
            .await;
        let pattern = alert["labels"]["pattern"].as_str().unwrap().to_owned();
        let key = (pattern, alert["episode"].as_i64().unwrap());
        let expected = model.firing[&key];
        for delivery in detail["deliveries"].as_array().unwrap() {
            let is_firing = delivery["kind"] == "firing";
            // The end of what was superseded is sent, as it is the news then.
            let superseded = delivery["suppressed_by"] == "superseded";
            let expected = match expected {
                None if superseded && is_firing => Some("superseded"),
                None => None,
                reason if is_firing => reason,
                Some(_) => Some("not_notified"),
            };
            let state = if expected.is_some() {
                "suppressed"
            } else {
                "sent"
            };
            assert_eq!(delivery["state"], state, "{key:?} {delivery}");
            assert_eq!(
                delivery["suppressed_by"],
                Value::from(expected),
                "{key:?} {delivery}"
            );
            sent += usize::from(expected.is_none());
        }
    }
    assert_eq!(receiver.accepted().len(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_not_notified() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    let mut old = crate::bed::crossing("p", atlas_events::CrossingDirection::Entered);
    old.observation_date = "1980-01-01".to_owned();
    bed.publish(atlas_events::event::Payload::ThresholdCrossed(old))
        .await;
    bed.publish(entered("q")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    let suppressed = service.get("/v1/deliveries?state=suppressed").await;
    assert_eq!(
        suppressed["deliveries"][0]["suppressed_by"], "too_old",
        "{suppressed}"
    );
    service.end().await;
}
