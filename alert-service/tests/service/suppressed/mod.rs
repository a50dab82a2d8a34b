//! Why messages are not sent: random sequences, compared with a model that is written down beside this.

mod model;

use std::collections::BTreeSet;

use atlas_events::{CrossingDirection, event::Payload};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::eventually;

use self::model::{Matched, Model, PATTERNS};
use crate::{
    bed::{Bed, DEADLINE, Running, cleared, crossing, entered},
    calm::prefer,
    receiver::Receiver,
};

/// Those of one kind of settings each that show every reason.
const SEEDS: std::ops::Range<u64> = 6..12;
const STEPS: usize = 70;
const STEP_MINUTES: i64 = 25;
const SNOOZE_MINUTES: i64 = 101;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_sent_or_has_the_one_reason_that_a_model_has() {
    let settings = [
        "alerts.event_age_max_seconds=31536000",
        "alerts.observation_age_max_days=36600",
    ];
    let mut reasons = BTreeSet::new();
    for seed in SEEDS {
        let (bed, receiver) = (Bed::create(&settings).await, Receiver::start(|_| 200).await);
        let service = bed.start().await;
        let channel = service.webhook(&receiver.url("a")).await;
        let mut model = Model::new(seed);
        let rule = service.rule(&channel, model.settings.rule()).await;
        let begun_at = Utc::now().duration_trunc(TimeDelta::minutes(1)).unwrap();
        let at = |minute| {
            (begun_at + TimeDelta::minutes(minute))
                .format("%H:%M")
                .to_string()
        };
        prefer(&service, model.settings.preferences(&channel, at)).await;
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..STEPS {
            step(&bed, &service, &rule, &mut model, &mut random).await;
        }
        bed.processed().await;
        while model.is_quiet(model.minute) {
            pass(&bed, &service, &mut model).await;
        }
        compare(&service, &receiver, &model, begun_at).await;
        reasons.extend(model.firing.values().filter_map(|expected| expected.reason));
        service.end().await;
    }
    // What these sequences show, and no less.
    let all = [
        "channel_limit",
        "cooldown",
        "daily_limit",
        "inhibited",
        "once",
        "paused",
        "quiet_hours",
        "silenced",
        "snoozed",
        "user_limit",
    ];
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), all);
}

/// Time goes on, once nothing is due any more.
async fn pass(bed: &Bed, service: &Running, model: &mut Model) {
    eventually(DEADLINE, async || {
        let open = service
            .get("/v1/deliveries?state=pending&state=sending&limit=1000")
            .await;
        let mut open = open["deliveries"].as_array().unwrap().iter();
        open.all(|delivery| delivery["wait_reason"] == "quiet hours")
    })
    .await;
    bed.move_clock(TimeDelta::minutes(STEP_MINUTES));
    model.minute += STEP_MINUTES;
}

async fn step(bed: &Bed, service: &Running, rule: &str, model: &mut Model, random: &mut StdRng) {
    let pattern = PATTERNS[random.random_range(0..PATTERNS.len())];
    let later = |minute: i64| Utc::now() + TimeDelta::minutes(minute);
    let choice = random.random_range(0..100);
    if choice >= 70 {
        // What was published is decided by what holds so far.
        bed.processed().await;
    }
    match choice {
        // It begins or ends; now and then it is said again that it did.
        0..70 if model.is_open(pattern) == random.random_bool(0.15) => {
            let is_critical = random.random_bool(0.2);
            let mut crossed = crossing(pattern, CrossingDirection::Entered);
            if is_critical {
                "critical".clone_into(&mut crossed.severity);
            }
            bed.publish(Payload::ThresholdCrossed(crossed)).await;
            model.begin(pattern, is_critical);
        }
        0..70 => {
            bed.publish(cleared(pattern)).await;
            model.end(pattern);
        }
        70..86 => pass(bed, service, model).await,
        // More often back than there.
        86..90 if !model.settings.once && (model.is_paused || random.random_bool(0.3)) => {
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
        92..93 => {
            model.snoozed_until = model.minute + SNOOZE_MINUTES;
            let until = json!({"until": later(model.snoozed_until)});
            service
                .post(&format!("/v1/rules/{rule}/snooze"), until)
                .await;
        }
        93..96 => {
            let (matched, matcher) = match random.random_bool(0.3) {
                true => (Matched::Warnings, "severity!=critical".to_owned()),
                false => (
                    Matched::Pattern(pattern),
                    format!("pattern=~\"{pattern}|x\""),
                ),
            };
            let until = model.minute + SNOOZE_MINUTES;
            let body = json!({"matchers": [matcher], "reason": "r", "ends_at": later(until)});
            let made = service.post("/v1/silences", body).await;
            model.silence(made["id"].as_str().unwrap().to_owned(), matched, until);
        }
        _ => {
            if let Some(id) = model.end_silence() {
                let path = format!("/v1/silences/{id}/end");
                service.ask_as(None, Method::POST, &path, None).await;
            }
        }
    }
}

async fn compare(service: &Running, receiver: &Receiver, model: &Model, begun_at: DateTime<Utc>) {
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
            let reason = match expected.reason {
                None if superseded && is_firing => Some("superseded"),
                None => None,
                reason if is_firing => reason,
                Some(_) => Some("not_notified"),
            };
            let state = if reason.is_some() {
                "suppressed"
            } else {
                "sent"
            };
            let shown = format!("{key:?} {:?} {delivery}", model.settings);
            assert_eq!(delivery["state"], state, "{shown}");
            assert_eq!(delivery["suppressed_by"], Value::from(reason), "{shown}");
            if reason.is_none() {
                sent += 1;
                let finished: DateTime<Utc> =
                    delivery["finished_at"].as_str().unwrap().parse().unwrap();
                let minute = (finished - begun_at).num_minutes();
                assert!(expected.is_critical || !model.is_quiet(minute), "{shown}");
            }
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
